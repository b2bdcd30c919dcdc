"""A mesh's explicit axes: XLA splits our work over them, whatever their types say.

Where a mesh has explicit axes, as `jax.make_mesh` gives them, JAX asks how every
operation's result is split, and refuses what no rule of types can tell: many reshapes
and products of ours. So public functions of arrays compute inside by automatic axes,
and only what they return has a place that is known beforehand.
"""

from collections.abc import Callable

import jax

_EXPLICIT = jax.sharding.AxisType.Explicit
_Spec, _Named = jax.sharding.PartitionSpec, jax.sharding.NamedSharding


def split_by_xla(run: Callable, *arguments, out: Callable):
    """`run(*arguments)`; explicit axes of the arguments are XLA's to split inside.

    Args:
      run: a function of arrays.
      arguments: its arguments; trees of arrays.
      out: where its result lies, a sharding for each array or tree of them; a function
        of the mesh, which is asked for explicit axes alone.
    """
    meshes = (jax.typeof(x).sharding.mesh for x in jax.tree.leaves(arguments))
    mesh = next((mesh for mesh in meshes if _EXPLICIT in mesh.axis_types), None)
    if mesh is None:
        return run(*arguments)
    return jax.sharding.auto_axes(run, out_sharding=out(mesh))(*arguments)


def whole(mesh) -> jax.sharding.NamedSharding:
    """On all of the mesh, not split."""
    return _Named(mesh, _Spec())


def as_it_lies(mesh, tree):
    """The shardings of arrays; of those that are on no mesh, `whole`."""

    def of(x):
        sharding = jax.typeof(x).sharding
        return sharding if sharding.mesh == mesh else whole(mesh)

    return jax.tree.map(of, tree)


def as_rows(mesh, *arrays) -> jax.sharding.NamedSharding:
    """Split along the first axis as the first of these arrays that is."""
    specs = [sharding.spec for sharding in as_it_lies(mesh, arrays)]
    rows = next((spec[0] for spec in specs if spec and spec[0] is not None), None)
    return _Named(mesh, _Spec(rows))
