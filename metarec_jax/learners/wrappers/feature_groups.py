"""A learner that reads only some groups of the side features of a task's owner, to measure what each group is worth."""

from collections.abc import Sequence

import jax.numpy as jnp

from metarec_jax.models.content import Span
from metarec_jax.types import Array, Episode, Examples, Fast, Inputs, Learner, Metrics, Params


def on_groups(learner: Learner, spans: Sequence[Span]) -> Learner:
    """The learner on tasks whose context [G] has more groups of features than it reads.

    Args:
      learner: for a context that consists of these groups side by side.
      spans: the columns of these groups among the G.
    """

    def select(x: Inputs) -> Inputs:
        parts = [x.context[span.first : span.end] for span in spans]
        return x._replace(context=jnp.concatenate([*parts, x.context[:0]]))

    def select_examples(examples: Examples) -> Examples:
        return examples._replace(x=select(examples.x))

    def init(key: Array, episode: Episode) -> Params:
        return learner.init(key, Episode(*map(select_examples, episode)))

    def adapt(params: Params, support: Examples) -> Fast:
        return learner.adapt(params, select_examples(support))

    def predict(fast: Fast, x: Inputs) -> Array:
        return learner.predict(fast, select(x))

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        return learner.loss(params, Episode(*map(select_examples, episode)), key, step)

    variance, update = learner.variance, learner.update
    return Learner(
        init,
        adapt,
        predict,
        loss,
        None if variance is None else lambda fast, x: variance(fast, select(x)),
        None if update is None else lambda fast, new: update(fast, select_examples(new)),
        learner.forget,
    )
