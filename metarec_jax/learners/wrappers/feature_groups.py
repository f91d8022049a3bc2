"""A learner that is shown some of what is known of a task's owner, to see what the rest is worth."""

from collections.abc import Sequence

import jax.numpy as jnp

from metarec_jax.models.content import Span
from metarec_jax.types import Array, Episode, Examples, Fast, Inputs, Learner, Metrics, Params


def on_groups(learner: Learner, spans: Sequence[Span]) -> Learner:
    """The learner on tasks whose context [N, G] has more groups than it is to see.

    Args:
      learner: for a context that consists of these groups, one after the other.
      spans: where they are in the G columns.
    """

    def seen(x: Inputs) -> Inputs:
        parts = [x.context[..., span.first : span.end] for span in spans]
        return x._replace(context=jnp.concatenate([*parts, x.context[..., :0]], -1))

    def shown(examples: Examples) -> Examples:
        return examples._replace(x=seen(examples.x))

    def init(key: Array, episode: Episode) -> Params:
        return learner.init(key, Episode(*map(shown, episode)))

    def adapt(params: Params, support: Examples) -> Fast:
        return learner.adapt(params, shown(support))

    def predict(fast: Fast, x: Inputs) -> Array:
        return learner.predict(fast, seen(x))

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        return learner.loss(params, Episode(*map(shown, episode)), key, step)

    variance, update = learner.variance, learner.update
    return Learner(
        init,
        adapt,
        predict,
        loss,
        None if variance is None else lambda fast, x: variance(fast, seen(x)),
        None if update is None else lambda fast, new: update(fast, shown(new)),
        learner.forget,
    )
