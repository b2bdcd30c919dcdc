"""Public functions on arrays whose mesh has explicit axes.

With explicit axes, the default of `jax.make_mesh`, JAX has to infer how the output of
every operation is sharded from types, which fails for many of our reshapes and
products. So functions compute inside `jax.sharding.auto_axes`, and only the sharding of
what they return is stated.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_EXPLICIT = jax.sharding.AxisType.Explicit
_Spec, _Named = jax.sharding.PartitionSpec, jax.sharding.NamedSharding
_Mesh = jax.sharding.Mesh | jax.sharding.AbstractMesh


def with_auto_axes(run: Callable, *arguments: Any, out: Callable) -> Any:
    """`run(*arguments)`, in which the mesh's explicit axes are of type Auto.

    Args:
      run: a function of arrays.
      arguments: its arguments; trees of arrays.
      out: where its result lies, a sharding for each array or tree of them; a function
        of the mesh, which is asked for explicit axes alone.

    Raises:
      ValueError: arguments are split over several meshes.
    """
    mesh = _explicit_mesh(arguments)
    if mesh is None:
        return run(*arguments)
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    # A `jax.shard_map` around may have others of them by hand.
    axes = tuple(name for name, kind in kinds if kind == _EXPLICIT)
    run = jax.sharding.auto_axes(run, axes=axes, out_sharding=out(mesh))
    return run(*arguments)


def is_sharded(x: Any) -> bool:
    """Whether an array is known to lie in pieces on several devices."""
    if isinstance(x, jax.core.Tracer):
        return any(jax.typeof(x).sharding.spec)
    return isinstance(x, jax.Array) and not x.sharding.is_fully_replicated


def zero(beside: Any) -> jax.Array:
    """int32 zero, on the devices of the arrays of a tree, of which one is asked."""
    x = next(iter(jax.tree.leaves(beside)), None)
    if x is None or not is_readable(x):
        return _zero()
    where = x.sharding if x.committed else None
    if isinstance(where, _Named):
        where = replicated(where.mesh)
    return jax.device_put(np.int32(0), where)


def is_readable(x: Any) -> bool:
    """Whether this process can read an array: no tracer, and all of it is here."""
    # In this order: a traced array has no such attribute to ask for.
    return not isinstance(x, jax.core.Tracer) and getattr(
        x, "is_fully_addressable", True
    )


def replicated(mesh: _Mesh) -> jax.sharding.NamedSharding:
    """On all of the mesh, not split."""
    return _Named(mesh, _Spec())


def shardings_of(mesh: _Mesh, tree: Any) -> Any:
    """The shardings of arrays; of those that are on no mesh, `replicated`."""

    def of(x):
        sharding = jax.typeof(x).sharding
        return sharding if sharding.mesh == mesh else replicated(mesh)

    return jax.tree.map(of, tree)


def as_rows(mesh: _Mesh, *arrays: Any) -> jax.sharding.NamedSharding:
    """Split along the first axis as the first of these arrays that is."""
    specs = [sharding.spec for sharding in shardings_of(mesh, arrays)]
    rows = next((spec[0] for spec in specs if spec and spec[0] is not None), None)
    return _Named(mesh, _Spec(rows))


def _explicit_mesh(tree):
    """The mesh with explicit axes that arrays lie on, if any does."""
    arrays = (x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array))
    shardings = [jax.typeof(x).sharding for x in arrays]
    explicit = [s for s in shardings if _EXPLICIT in s.mesh.axis_types]
    # What lies whole on another mesh goes along.
    meshes = {s.mesh for s in explicit if any(s.spec)} or {s.mesh for s in explicit[:1]}
    if len(meshes) > 1:
        raise ValueError(
            f"arrays are split over several meshes, {meshes}; bring all to one by "
            "jax.device_put."
        )
    return next(iter(meshes), None)


@jax.jit
def _zero():
    """Of a program, which is on every device of a mesh, of other processes too."""
    return jnp.zeros((), jnp.int32)
