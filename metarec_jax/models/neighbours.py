"""Votes of the neighbours of what is liked: item-kNN whose formula is learnt, over lists of a fixed length an item.

The lists are counted once on the training users and are data beside the parameters (`types.FIXED`): [I, N] and not
[I, I]. What the counts are worth is learnt: exponents of the popularities, as the beta of RP3beta (Christoffel et al.
2015, "Blockbusters and wallflowers: accurate, diverse, and scalable recommendations with random walks"), a shrinkage,
and how much a vote weighs when K items are known. Grids set these once; here every K has its own.

Easily got wrong: in training, the user of the episode is in the counts. All that he likes has been counted together
with all that he likes, so that a learner would trust counts of 1 that say nothing of anybody else. `leave_out` takes
him out of each of the counts, exactly.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from metarec_jax.types import Array, Examples


class NeighbourLists(NamedTuple):
    """Who is liked together with whom. A user who likes h items counts (typical / h)^discount."""

    ids: Array  # [I, N] int32 the items most often liked by those who like the item, less by popularity
    counts: Array  # [I, N] float32 the sum of those users' weights; 0 is padding
    likes: Array  # [I] float32 users who like the item, each counted as 1
    discount: Array  # [] float32
    typical: Array  # [] float32 mean number of likes of a user


class Pairs(NamedTuple):
    """What has been counted of K items, to vote by."""

    ids: Array  # [K, N]
    counts: Array  # [K, N]
    known_likes: Array  # [K]
    likes: Array  # [I] of all items


def pairs(lists: NeighbourLists, known: Array) -> Pairs:
    """Of the items `known` [K], as counted."""
    return Pairs(lists.ids[known], lists.counts[known], lists.likes[known], lists.likes)


def leave_out(lists: NeighbourLists, support: Examples, query: Examples) -> Pairs:
    """`pairs` without the user who likes the support and what has y = 1 in the query, and nothing else. What is counted
    of the items of the support as candidates is left as it is: nobody asks for them."""
    found = pairs(lists, support.x.id)
    own = jnp.zeros(lists.likes.shape).at[query.x.id].max(query.mask * (query.y > 0))
    size = jnp.maximum(jnp.sum(support.mask) + jnp.sum(own), 1.0)
    counts = found.counts - (lists.typical / size) ** lists.discount * own[found.ids]
    return Pairs(
        found.ids,
        jnp.maximum(counts, 0.0),  # rounding, or a user who has not been counted
        jnp.maximum(found.known_likes - 1.0, 0.0),
        jnp.maximum(found.likes - own, 0.0),
    )


class Votes(nn.Module):
    """Counts of the neighbours of what is known -> a term of the score of each item, 0 with nothing known.

    vote(j) = sum over known i of n_ij / ((n_i + 1)^a (n_j + 1)^b + shrink)
    term(j) = gain log(vote(j) + floor (n_j + 1) / mean of n) + tilt log(n_j + 1)

    Beside a bias that is the log of the popularity, and with a tilt of -1, this is the log of votes plus a prior, as in
    item-kNN with one; the logarithm, because an item of twice the votes is worth twice the probability, and the floor,
    because most items have none. All six depend on how much is known: a, b and tilt are u + v log K, the others exp of
    that.
    """

    @nn.compact
    def __call__(self, found: Pairs, mask: Array) -> Array:
        """[I] from the counts of K items; padding has mask 0."""
        size = jnp.stack([jnp.float32(1.0), jnp.log(jnp.maximum(jnp.sum(mask), 1.0))])

        def at_this_size(name: str, *start: float) -> Array:
            return self.param(name, lambda key: jnp.array(start)) @ size

        gain, floor = jnp.exp(at_this_size("log_gain", 0.4, 0.2)), jnp.exp(at_this_size("log_floor", -5.0, 0.0))
        shrink, tilt = jnp.exp(at_this_size("log_shrink", np.log(5.0), 0.0)), at_this_size("tilt", -1.0, -0.2)
        likes = found.likes + 1.0
        known = (found.known_likes[:, None] + 1.0) ** at_this_size("power_known", 0.8, -0.1)
        sought = likes[found.ids] ** at_this_size("power_sought", 0.4, 0.1)
        vote = jnp.zeros(likes.shape).at[found.ids].add(mask[:, None] * found.counts / (known * sought + shrink))
        term = gain * jnp.log(vote + floor * likes / jnp.mean(likes)) + tilt * jnp.log(likes)
        return term * (jnp.sum(mask) > 0)
