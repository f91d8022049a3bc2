"""All that a page shows of one person's ratings, in one compiled call: predictions, certainty, reasons, what to ask.

What is known of a prediction is the standard deviation of the TASTE behind it: what more ratings could tell, without
the noise of a single rating, which none could. A rating of candidate c takes cov(n, c)^2 / (noise_c + var c) from the
variance of n. To get that for every c at once, all candidates stand in the support with a weight that is next to
nothing: minus the slope of the variances by that weight is cov(n, c)^2 / noise_c.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.batching import in_batches
from metarec_jax.ops.rows import join_rows
from metarec_jax.serve.explain import influence_by_weight
from metarec_jax.types import Array, Examples, Inputs, Learner, Params

ASKED = 200  # most-rated items among which the next one to rate is looked for
OFFERED = 24  # of those, offered
HEAVY = 1e6  # ratings of one and the same item, after which nothing but noise is left
SLIGHT = 1e-3  # weight of a rating that is not there


class Shared(NamedTuple):
    """What is the same for all people."""

    params: Params
    content: Array  # [I, F]
    person: Array  # [G] features of the average person
    noise: Array | None  # [I] variance of a rating that is not the taste's; None where they cannot be separated
    asked: Array  # [C] int32, the most rated items


class Answer(NamedTuple):
    """What is said to one person."""

    prediction: Array  # [I] in rating units
    spread: Array | None  # [I] standard deviation of the taste, in rating units
    top: Array  # [N] items not rated yet, best first; at the end rated ones, where there are no others
    influence: Array  # [N, K] of each rating on the prediction for each of them; see `influence_by_weight`
    ask: Array  # [M] items in the order in which a rating of them tells most, rated ones last
    open: Array  # [I] bool, not rated yet


class Recommender:
    """A trained learner of users, ready to be asked."""

    def __init__(self, learner: Learner, params: Params, ratings: Ratings, *, capacity: int = 64, shown: int = 10):
        """Compiles everything, so that the first question is answered as fast as the next.

        Args:
          learner, params: the learner, trained.
          ratings: the table, for the items and how often they were rated.
          capacity: ratings of a person that can be taken in.
          shown: N, items that are recommended.
        """
        self.capacity, self.popularity = capacity, np.bincount(ratings.item, minlength=ratings.num_items)
        asked = np.argsort(-self.popularity, kind="stable")[:ASKED].astype(np.int32)
        content = jnp.asarray(ratings.item_features.values)
        person = jnp.asarray(ratings.user_features.values.mean(0))
        shared = Shared(params, content, person, None, jnp.asarray(asked))
        # A posterior that takes ratings in one by one is one of a linear model, whose variance is noise plus taste.
        if learner.variance is not None and learner.update is not None:
            shared = shared._replace(noise=_noise(learner, shared))
        self._shared = shared
        self._answer = jax.jit(partial(_answer, learner, min(shown, ratings.num_items)))
        self([], [])

    def __call__(self, items: list[int], ratings: list[float]) -> Answer:
        """The answer to somebody's ratings, as numpy arrays.

        Args:
          items: at most `capacity` indices, all different.
          ratings: of the items, in rating units.
        """
        pad = (0, self.capacity - len(items))
        item, rating = np.pad(np.array(items, np.int32), pad), np.pad(np.array(ratings, np.float32), pad)
        real = np.pad(np.ones(len(items), np.float32), pad)
        return jax.tree.map(np.asarray, self._answer(self._shared, item, rating, real))


def inputs(shared: Shared, item: Array) -> Inputs:
    """What is known of items [N] and the average person."""
    return Inputs(jnp.asarray(item), shared.content[item], shared.person)


@partial(jax.jit, static_argnums=0)
def _noise(learner: Learner, shared: Shared) -> Array:
    """[I] the variance of a rating that is left when the item was rated very often."""

    def item_noise(item: Array) -> Array:
        x = inputs(shared, item[None])
        known = learner.adapt(shared.params, Examples(x, jnp.zeros(1), jnp.full(1, HEAVY)))
        return learner.variance(known, x)[0]

    return in_batches(item_noise, jnp.arange(len(shared.content)), 256)


def _answer(learner: Learner, shown: int, shared: Shared, item: Array, rating: Array, real: Array) -> Answer:
    support = Examples(inputs(shared, item), rating, real)
    fast, everything = learner.adapt(shared.params, support), inputs(shared, jnp.arange(len(shared.content)))
    prediction = learner.predict(fast, everything)
    still = jnp.zeros(len(prediction)).at[item].add(real) == 0
    top = jax.lax.top_k(jnp.where(still, prediction, -jnp.inf), shown)[1]
    influence = influence_by_weight(learner, shared.params, support, inputs(shared, top))
    told, spread = -jnp.arange(len(shared.asked)), None  # where it cannot be told what a rating tells: what is known
    if shared.noise is not None:
        taste = jnp.maximum(learner.variance(fast, everything) - shared.noise, 0.0)
        told, spread = _told(learner, shared, support, prediction, taste), jnp.sqrt(taste)
    _, best = jax.lax.top_k(jnp.where(still[shared.asked], told, -jnp.inf), min(OFFERED, len(told)))
    return Answer(prediction, spread, top, influence, shared.asked[best], still)


def _told(learner: Learner, shared: Shared, support: Examples, prediction: Array, taste: Array) -> Array:
    """[C] by how much a rating of each item would lessen the mean variance of all that may be asked."""
    x = inputs(shared, shared.asked)

    def uncertainty(weight: Array) -> Array:
        asked = Examples(x, prediction[shared.asked], weight)
        all_examples = join_rows(support, asked)
        return jnp.mean(learner.variance(learner.adapt(shared.params, all_examples), x))

    slope = jax.grad(uncertainty)(jnp.full(len(shared.asked), SLIGHT))
    noise = shared.noise[shared.asked]
    return -slope * noise / (noise + taste[shared.asked])
