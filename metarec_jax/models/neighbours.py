"""Item-kNN for ranking with a learnt formula, over neighbour lists of a fixed length.

The lists are counted once on the training users and are data beside the parameters (`params.FIXED`), [I, N] instead of
[I, I]. The formula is learnt: exponents of the popularities, like the beta of RP3beta (Christoffel et al. 2015,
"Blockbusters and wallflowers: accurate, diverse, and scalable recommendations with random walks"), a shrinkage, and the
weight of the term. A grid search sets these once; here they depend on the number K of known items.

Easily got wrong: in training, the counts include the user of the episode, whose liked items co-occur with each other,
so a learner would trust counts that come from the user alone. `leave_out` subtracts this user from the counts exactly.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from metarec_jax.types import Array, Examples


class NeighbourLists(NamedTuple):
    """Items that are liked by the same users. A user who likes h items has weight (typical / h)^discount."""

    ids: Array  # [I, N] int32 the items of the largest co-occurrence, discounted by popularity
    counts: Array  # [I, N] float32 the sum of the weights of users who like both; 0 is padding
    likes: Array  # [I] float32 number of users who like the item
    discount: Array  # [] float32
    typical: Array  # [] float32 mean number of likes of a user


class Pairs(NamedTuple):
    """The neighbour counts of K known items."""

    ids: Array  # [K, N]
    counts: Array  # [K, N]
    known_likes: Array  # [K]
    likes: Array  # [I] of all items


def pairs(lists: NeighbourLists, known: Array) -> Pairs:
    """The neighbour counts of the items `known` [K]."""
    return Pairs(lists.ids[known], lists.counts[known], lists.likes[known], lists.likes)


def leave_out(lists: NeighbourLists, support: Examples, query: Examples) -> Pairs:
    """`pairs` without the user who likes exactly the support and the items with y = 1 in the query.

    Counts towards the items of the support as candidates are not corrected, because they are not candidates.
    """
    counted = pairs(lists, support.x.id)
    liked = jnp.zeros(lists.likes.shape).at[query.x.id].max(query.mask * (query.y > 0))
    size = jnp.maximum(jnp.sum(support.mask) + jnp.sum(liked), 1.0)
    counts = counted.counts - (lists.typical / size) ** lists.discount * liked[counted.ids]
    return Pairs(
        counted.ids,
        jnp.maximum(counts, 0.0),  # rounding, or a user who has not been counted
        jnp.maximum(counted.known_likes - 1.0, 0.0),
        jnp.maximum(counted.likes - liked, 0.0),
    )


class Votes(nn.Module):
    """Neighbour counts of the known items -> a term of the score of each item; 0 if nothing is known.

    vote(j) = sum over known i of n_ij / ((n_i + 1)^a (n_j + 1)^b + shrink)
    term(j) = gain log(vote(j) + floor (n_j + 1) / mean of n) + tilt log(n_j + 1)

    Added to a bias that is the log popularity, with a tilt of -1, this is the log of the votes plus a prior, as in
    item-kNN with a popularity prior. The logarithm makes an item with twice the votes twice as probable in a softmax;
    the floor is there because most items have no votes. All six parameters depend on K: a, b and tilt are u + v log K,
    the others the exponential of that.
    """

    @nn.compact
    def __call__(self, counted: Pairs, mask: Array) -> Array:
        """[I] from the counts of K items; padding has mask 0."""
        size = jnp.stack([jnp.float32(1.0), jnp.log(jnp.maximum(jnp.sum(mask), 1.0))])

        def at_this_size(name: str, *start: float) -> Array:
            return self.param(name, lambda key: jnp.array(start)) @ size

        gain, floor = jnp.exp(at_this_size("log_gain", 0.4, 0.2)), jnp.exp(at_this_size("log_floor", -5.0, 0.0))
        shrink, tilt = jnp.exp(at_this_size("log_shrink", np.log(5.0), 0.0)), at_this_size("tilt", -1.0, -0.2)
        likes = counted.likes + 1.0
        known = (counted.known_likes[:, None] + 1.0) ** at_this_size("power_known", 0.8, -0.1)
        sought = likes[counted.ids] ** at_this_size("power_sought", 0.4, 0.1)
        vote = jnp.zeros(likes.shape).at[counted.ids].add(mask[:, None] * counted.counts / (known * sought + shrink))
        term = gain * jnp.log(vote + floor * likes / jnp.mean(likes)) + tilt * jnp.log(likes)
        return term * (jnp.sum(mask) > 0)
