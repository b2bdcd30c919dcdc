"""Matrix products in bfloat16, in the one form that XLA:CPU does fast.

XLA:CPU gives a product to its library, which uses a processor's bfloat16 units (AMX on
Intel's) and is then several times as fast as in float32, only where two bfloat16
factors make float32 and the left one is not seen to be a transpose. All other products
of bfloat16 become products of float32, with copies of both factors. So here they are
summed in float32 and then rounded; a left factor is transposed beforehand; and what
only moves numbers moves integers, for XLA:CPU moves bfloat16 as float32.

In other dtypes, and on other backends, they are the plain ones. The price is that of
`convolutions`: no forward-mode derivatives, in bfloat16 alone.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

Operation = Callable[..., jax.Array]


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """`a @ b`, of a's dtype: [..., K] and [K, N] to [..., N]."""
    if not a.dtype == b.dtype == jnp.bfloat16:
        return a @ b
    return _product(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])


def of_transposed(a: jax.Array, b: jax.Array) -> jax.Array:
    """`a.T @ b`: [N, M] and [N, K] to [M, K]."""
    if not a.dtype == b.dtype == jnp.bfloat16:
        return a.T @ b
    return _of_transposed(a, b)


def on_cpu(
    ours: Operation, plain: Operation, x: jax.Array, *others: jax.Array
) -> jax.Array:
    """`ours` for bfloat16 on a CPU, `plain` elsewhere: of arrays, the same result."""
    if x.dtype != jnp.bfloat16:
        return plain(x, *others)
    return lax.platform_dependent(x, *others, cpu=ours, default=plain)


def as_integers(move: Operation) -> Operation:
    """Decorator of a function of one array that only moves its numbers."""

    @functools.wraps(move)
    def moved(x):
        return move(x) if x.dtype != jnp.bfloat16 else _moved(move, x)

    return moved


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _moved(move, x):
    def bits(x):
        x = lax.bitcast_convert_type(x, jnp.uint16)
        return lax.bitcast_convert_type(move(x), jnp.bfloat16)

    return on_cpu(bits, move, x)


def _moved_forward(move, x):
    return _moved(move, x), x


def _moved_backward(move, x, g):
    return jax.vjp(move, x)[1](g)  # Integers have no gradient.


_moved.defvjp(_moved_forward, _moved_backward)


# Three products, whose gradients are one another.


@jax.custom_vjp
def _product(a, b):
    return on_cpu(_rounded, jnp.matmul, a, b)


@jax.custom_vjp
def _by_transposed(a, b):
    """`a @ b.T`."""
    ours = functools.partial(_rounded, axis_of_b=1)
    return on_cpu(ours, lambda a, b: a @ b.T, a, b)


@jax.custom_vjp
def _of_transposed(a, b):
    def ours(a, b):
        return _rounded(_transpose(a), b)

    return on_cpu(ours, lambda a, b: a.T @ b, a, b)


def _rounded(a, b, axis_of_b=0):
    """The product over a's last axis and one of b, summed in float32."""
    axes = ((1,), (axis_of_b,)), ((), ())
    total = lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)
    return total.astype(a.dtype)


@as_integers
def _transpose(a):
    """`a.T` in memory of its own.

    The third axis hides from XLA that it could be undone, and the barrier that it could
    be done by the product, where it is slow.
    """
    moved = lax.optimization_barrier(a[..., None].transpose(1, 0, 2))
    return moved.reshape(a.shape[::-1])


def _keep(product):
    return lambda a, b: (product(a, b), (a, b))


def _product_backward(factors, g):
    a, b = factors
    return _by_transposed(g, b), _of_transposed(a, g)


def _by_transposed_backward(factors, g):
    a, b = factors
    return _product(g, b), _of_transposed(g, a)


def _of_transposed_backward(factors, g):
    a, b = factors
    return _by_transposed(b, g), _product(a, g)


_product.defvjp(_keep(_product), _product_backward)
_by_transposed.defvjp(_keep(_by_transposed), _by_transposed_backward)
_of_transposed.defvjp(_keep(_of_transposed), _of_transposed_backward)
