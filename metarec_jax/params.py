"""Parameters: what is learnt and what is only read, and which leaves are tables of ids."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from flax import traverse_util

from metarec_jax.types import Array, Params

FIXED = "fixed"  # data of the training table, for example lists of neighbours: no gradient, no moments, no decay


def split_fixed(params: Params) -> tuple[Params, Params]:
    """What is learnt of the parameters, and what is not, as a dict of one name or none: see `FIXED`."""
    if not isinstance(params, Mapping) or FIXED not in params:
        return params, {}
    return {name: part for name, part in params.items() if name != FIXED}, {FIXED: params[FIXED]}


def join_fixed(learnt: Params, fixed: Params) -> Params:
    """The parameters again, from the two parts of `split_fixed`."""
    return {**learnt, **fixed} if fixed else learnt


def in_table(path: tuple) -> bool:
    """Whether the leaf at a path of `jax.tree_util` is one of a table of ids, or a moment of one."""
    return any(str(getattr(key, "key", getattr(key, "name", ""))).startswith("id_") for key in path)


Path = tuple[str, ...]

Free = dict[Path, Array]  # the weights that an inner loop moves, by path


def is_id_table(path: Path) -> bool:
    """Whether a parameter belongs to a table of ids (a module called "id_...")."""
    return any(part.startswith("id_") for part in path)


def named(*names: str) -> Callable[[Path], bool]:
    """Whether a parameter is, or belongs to a module, called one of `names`."""
    return lambda path: any(part in names for part in path)


class Parts(NamedTuple):
    """Parameters in two parts: those that the inner loop moves and those that it leaves as they are."""

    free: Free
    fixed: Free

    def join(self, free: Free) -> Params:
        """All parameters again, with `free` in place of its own free part."""
        return traverse_util.unflatten_dict(self.fixed | free)


def split_free(params: Params, shared: Callable[[Path], bool] = is_id_table) -> Parts:
    """Parameters whose path is `shared` stay fixed in the inner loop, the rest is free."""
    flat = traverse_util.flatten_dict(params)
    fixed = {path: leaf for path, leaf in flat.items() if shared(path)}
    return Parts({path: leaf for path, leaf in flat.items() if path not in fixed}, fixed)
