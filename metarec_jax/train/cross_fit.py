"""Meta-training from a cross-fitted start: a training user is met with a start that was fitted without that user.

What is learnt is the DEVIATION from the start, the same for all folds: the parameters of fold f are start_f + deviation
in training, and start + deviation afterwards, with the start fitted to all users. So weight decay pulls to the start,
and a deviation of 0 is the start itself. What is not learnt stays what was fitted.

An episode brings the part of its user's own start that it needs: the rows of the tables of ids at its own items, and
everything else whole. So a step costs the same for any number of folds.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util

from metarec_jax.params import Path, is_id_table, join_fixed, split_fixed
from metarec_jax.types import Array, Episode, Learner, Metrics, Params, Tasks


class Start(NamedTuple):
    """What a learner is trained from, beside the parameters that it is used from."""

    apart: Callable[[], list[Params]]  # its parameters from fits without each fold of users (`priors.folds`)
    fitted: Callable[[Path], bool]  # which of the parameters are fitted, by path; the others are the same for all folds
    learnt: Callable[[Path], bool]  # which of the parameters are learnt


class Started(NamedTuple):
    """An episode whose ids are row numbers in the tables of its own start."""

    episode: Episode
    ids: Array  # [S + Q] int32 its items
    start: dict[Path, Array]  # what is fitted, of its user's fold, with [S + Q] rows in tables of ids


def zero(params: Params, start: Start) -> Params:
    """The deviation that training begins with."""
    flat = traverse_util.flatten_dict(split_fixed(params)[0])
    return traverse_util.unflatten_dict(
        {path: jnp.zeros_like(leaf) for path, leaf in flat.items() if start.learnt(path)}
    )


def whole(params: Params, deviation: Params) -> Params:
    """The parameters that a learner is used with, from those that training began from."""
    own, fixed = split_fixed(params)
    return join_fixed(_moved(traverse_util.flatten_dict(own), deviation), fixed)


def deviating(learner: Learner, params: Params) -> Learner:
    """The learner with a loss of a deviation, on episodes that are `Started`.

    Args:
      learner: of episodes whose x are `types.Inputs`; it reads tables of ids by the ids in x only.
      params: where it starts, from fits to all users.
    """
    own, fixed = split_fixed(params)
    own = {path: leaf for path, leaf in traverse_util.flatten_dict(own).items() if not is_id_table(path)}

    def loss(deviation: Params, task: Started, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        flat = traverse_util.flatten_dict(deviation)
        rows = {path: leaf[task.ids] if is_id_table(path) else leaf for path, leaf in flat.items()}
        moved = _moved(own | task.start, traverse_util.unflatten_dict(rows))
        return learner.loss(join_fixed(moved, fixed), task.episode, key, step)

    return learner._replace(loss=loss)


def from_starts(tasks: Tasks, start: Start) -> Tasks:
    """The tasks, each with the start of its user's fold.

    Args:
      tasks: episodes of the training users, in which item i of a user of fold f has the id f I + i
        (`tasks.users.training_tasks` with folds).
      start: of the learner.
    """
    fitted = [
        {path: leaf for path, leaf in traverse_util.flatten_dict(split_fixed(params)[0]).items() if start.fitted(path)}
        for params in start.apart()
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *fitted)
    return Tasks((tasks.data, stacked), started(tasks.sample))


def started(sample: Callable[[Any, Array], Episode]) -> Callable[[Any, Array], Started]:
    """(data and starts of all folds, key) -> an episode with its start, from what draws the episode."""

    def draw(data: tuple[Any, dict[Path, Array]], key: Array) -> Started:
        tasks, folds = data
        episode = sample(tasks, key)
        numbers = jnp.concatenate([episode.support.x.id, episode.query.x.id])
        items = next(leaf.shape[1] for path, leaf in folds.items() if is_id_table(path))
        own = {
            path: leaf.reshape(-1, *leaf.shape[2:])[numbers] if is_id_table(path) else leaf[numbers[-1] // items]
            for path, leaf in folds.items()
        }
        return Started(_renumbered(episode), numbers % items, own)

    return draw


def _renumbered(episode: Episode) -> Episode:
    """The episode with ids 0, 1, ..., first of the support, then of the query."""
    size = len(episode.support.x.id)
    places = (jnp.arange(size), size + jnp.arange(len(episode.query.x.id)))
    return Episode(*(part._replace(x=part.x._replace(id=place)) for part, place in zip(episode, places, strict=True)))


def _moved(start: dict[Path, Array], deviation: Params) -> Params:
    """Their sum; where nothing is learnt, the start."""
    moves = traverse_util.flatten_dict(deviation)
    return traverse_util.unflatten_dict(
        {path: leaf + moves[path] if path in moves else leaf for path, leaf in start.items()}
    )
