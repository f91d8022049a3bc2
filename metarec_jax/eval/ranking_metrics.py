"""Metrics of one task with a whole catalogue as candidates, from where its relevant items stand in the ranking.

A ranking is never made: how many candidates are ahead of each relevant item is counted, one block of the catalogue
after another, so that the memory is that of a block. Ties count as in `metrics`: every value is the EXPECTED one over
all orders of the tied candidates.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metarec_jax.eval.ties import dcg_sums, mean_discount, rank_counts, tie_groups
from metarec_jax.types import Array

_AT_A_TIME = 128  # places of a tie group


class Ranks(NamedTuple):
    """Where relevant items stand among the candidates.

    Where a candidate's score is no finite number nothing stands anywhere: `tied` is 0, and every metric NaN.
    """

    ahead: Array  # [R] int32 candidates with a higher score
    tied: Array  # [R] int32 candidates with the same score, at least the item itself
    real: Array  # [R] bool; False: padding


def find_ranks(
    score: Callable[[Array], Array], relevant: Array, known: Array, *, number: int, size: int
) -> tuple[Ranks, Array]:
    """The places of a task's relevant items, and whether the scores of all candidates are finite.

    Args:
      score: first item [] of a block -> scores [size] of it and those after it. In the last block there are items that
        do not exist; they may have any score. With more than one block it is asked twice for each.
      relevant: [R] int32 items, each once; -1 is padding.
      known: [S] int32 items that are no candidates; -1 is padding. What is known is not relevant.
      number: of items, I.
      size: of a block; I or more is all of them at once.
    """
    starts = jnp.arange(0, number, size)
    real = (relevant >= 0) & ~jnp.any(relevant[:, None] == known, 1)
    first = score(starts[0]) if len(starts) == 1 else None

    def scores_at(start: Array) -> Array:
        return score(start) if first is None else first

    def look_up(own: Array, start: Array) -> tuple[Array, None]:
        here = (relevant >= start) & (relevant < start + size)
        return jnp.where(here, scores_at(start)[jnp.where(here, relevant - start, 0)], own), None

    def count(counts: tuple[Array, Array, Array], start: Array) -> tuple[tuple[Array, Array, Array], None]:
        ahead, tied, finite = counts
        scores, inside = scores_at(start), start + jnp.arange(size) < number
        candidates = inside & ~_among(known, start, size)
        finite &= jnp.all(jnp.isfinite(scores) | ~candidates)
        # The relevant ones are counted apart: a score made in another loop may differ from itself in its last bit.
        more, equal = rank_counts(own, scores, candidates & ~_among(relevant, start, size))
        return (ahead + more, tied + equal, finite), None

    def over(step: Callable, start: tuple | Array) -> tuple | Array:
        return step(start, starts[0])[0] if first is not None else jax.lax.scan(step, start, starts)[0]

    own = over(look_up, jnp.zeros(relevant.shape))
    among = tie_groups(own, real)
    ahead, tied, finite = over(count, (*among, jnp.bool_(True)))
    return Ranks(ahead, jnp.where(finite, tied, 0), real), finite


def _among(items: Array, start: Array, size: int) -> Array:
    """[size] whether each item of a block is one of `items`."""
    here = (items >= start) & (items < start + size)
    return jnp.zeros(size, bool).at[jnp.where(here, items - start, size)].set(True, mode="drop")


def ndcg(ranks: Ranks, k: int) -> Array:
    """Expected nDCG@k with a gain of 1 for what is relevant. Undefined (NaN) when nothing is."""
    number = jnp.sum(ranks.real)
    gained = jnp.sum(jnp.where(ranks.real, mean_discount(ranks.ahead, ranks.tied, k), 0.0))
    return jnp.where(number > 0, gained / dcg_sums(k)[jnp.minimum(number, k)], jnp.nan)


def recall(ranks: Ranks, k: int) -> Array:
    """Expected share of the relevant items that are among the first k. Undefined (NaN) when nothing is."""
    chance = jnp.clip(k - ranks.ahead, 0, ranks.tied) / ranks.tied
    return jnp.sum(jnp.where(ranks.real, chance, 0.0)) / jnp.sum(ranks.real)


def _first_group(ranks: Ranks) -> tuple[Array, Array, Array]:
    """Of the first tie group with a relevant item: candidates ahead of it, its size, and its relevant ones."""
    first = jnp.argmin(jnp.where(ranks.real, ranks.ahead, jnp.iinfo(jnp.int32).max))
    ahead = ranks.ahead[first]
    return ahead, ranks.tied[first], jnp.sum(ranks.real & (ranks.ahead == ahead))


def _missed(size: Array, hits: Array, place: Array) -> Array:
    """The chance that place p = 0, 1, ... of a group is irrelevant, as all before it were: (m - r - p) / (m - p)."""
    return jnp.maximum(size - hits - place, 0) / jnp.maximum(size - place, 1)


def hit_rate(ranks: Ranks, k: int) -> Array:
    """Chance that a relevant item is among the first k. Undefined (NaN) when nothing is relevant."""
    ahead, size, hits = _first_group(ranks)
    place = jnp.arange(k)
    none = jnp.prod(jnp.where(ahead + place < k, _missed(size, hits, place), 1.0))
    return jnp.where((hits > 0) & (size > 0), 1.0 - none, jnp.nan)


def reciprocal_rank(ranks: Ranks) -> Array:
    """Expected 1 / rank of the relevant item that is ranked highest. Undefined (NaN) when nothing is relevant."""
    ahead, size, hits = _first_group(ranks)

    def go_on(state: tuple[Array, Array, Array]) -> Array:
        return state[0] <= size - hits  # the first relevant one is at place m - r at the latest

    def some_places(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        start, none_before, total = state
        place = start + jnp.arange(_AT_A_TIME)
        none = none_before * jnp.cumprod(_missed(size, hits, place))
        chance = jnp.concatenate([none_before[None], none[:-1]]) - none
        return start + _AT_A_TIME, none[-1], total + jnp.sum(chance / (ahead + 1 + place))

    total = jax.lax.while_loop(go_on, some_places, (jnp.int32(0), jnp.float32(1.0), jnp.float32(0.0)))[2]
    return jnp.where((hits > 0) & (size > 0), total, jnp.nan)
