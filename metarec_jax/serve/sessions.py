"""Many people at once, each a few ratings into his history: what is his own, and what all of them share.

What `adapt` returns holds the parameters too, tables of every item among them. A server keeps those once, and for each
person the rest: for a ridge head a vector and a small matrix. `Live` is a method's functions on that rest alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Array, Baseline, Examples, Learner, Params

Own = list[Array]  # of one person, or with a leading [T] of many: the leaves that his ratings have changed


class Live(NamedTuple):
    """Pure functions of many people, leading [T] on all that is theirs; parameters are an argument."""

    adapt: Callable[[Params, Examples], Own]  # (parameters, support [T, K]) -> own
    update: Callable[[Params, Own, Examples], Own] | None  # (parameters, own, new ratings [T, N]) -> own
    predict: Callable[[Params, Own, Any], Array]  # (parameters, own, x of [T, M]) -> [T, M]


def live(method: Learner | Baseline, params: Params, support: Examples) -> Live:
    """The functions of a method for many people.

    Args:
      method: a learner or a baseline.
      params: what it was trained to, for its shapes.
      support: of one person, [K], for the shapes of x.
    """
    nothing = map_rows(lambda leaf: leaf[:0], support)
    tree, own = _own_leaves(method, params, support)

    def whole(params: Params, of_one: Own) -> Any:
        """What `adapt` had returned; the shared part is that of nobody in particular."""
        rest, mine = jax.tree.leaves(method.adapt(params, nothing)), iter(of_one)
        return tree.unflatten([next(mine) if changed else leaf for leaf, changed in zip(rest, own, strict=True)])

    def kept(fast: Any) -> Own:
        return [leaf for leaf, changed in zip(jax.tree.leaves(fast), own, strict=True) if changed]

    def adapt(params: Params, support: Examples) -> Own:
        return jax.vmap(lambda person: kept(method.adapt(params, person)))(support)

    def update(params: Params, own: Own, new: Examples) -> Own:
        return jax.vmap(lambda person, rows: kept(method.update(whole(params, person), rows)))(own, new)

    def predict(params: Params, own: Own, x: Any) -> Array:
        return jax.vmap(lambda person, x: method.predict(whole(params, person), x))(own, x)

    return Live(adapt, None if method.update is None else update, predict)


def _own_leaves(method: Learner | Baseline, params: Params, support: Examples) -> tuple[Any, list[bool]]:
    """The structure of what `adapt` returns, and which of its leaves depend on the support."""
    shapes = jax.eval_shape(method.adapt, params, support)
    leaves, tree = jax.tree.flatten(shapes)
    two = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), support)

    def depends(place: int) -> bool:
        def leaf(params: Params, support: Examples) -> Array:
            return jax.tree.leaves(method.adapt(params, support))[place]

        try:  # an output that is the same for all of a batch may be asked for without its axis, others may not
            jax.eval_shape(jax.vmap(leaf, in_axes=(None, 0), out_axes=None), params, two)
        except ValueError:
            return True
        return False

    return tree, [depends(place) for place in range(len(leaves))]
