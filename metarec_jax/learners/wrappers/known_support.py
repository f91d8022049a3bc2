"""What is known of a support before its ratings are read, for learners that adapt by gradient steps.

WHICH candidates a task has rated says something of its taste (`models.choice`), and ratings of some candidates say less
than those of others (`models.trust.ItemNoise`). A learner that adapts a vector of weights starts them from its learnt
values plus what the choice makes expected, and weighs the examples of its inner loss by how precise they are. The
meta-gradient flows through both.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from flax import traverse_util

from metarec_jax.params import Path
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def known_support(
    learner: Learner, prior: nn.Module | None, item_noise: nn.Module | None, moved: Callable[[Path], bool]
) -> Learner:
    """The learner on what is known of the support.

    Args:
      learner: whose parameters hold a vector [D] that its inner loop moves, and whose losses weigh examples by their
        mask.
      prior: Flax module from the support's (x, mask) to what is expected of that vector [D], for example `ChoicePrior`;
        None: 0.
      item_noise: Flax module from x of [N, ...] to [N], the log of a rating's noise variance over the usual one; None:
        0.
      moved: whether a parameter is that vector, by path.
    """

    def init(key: Array, episode: Episode) -> Params:
        x, params = episode.support.x, {"learner": learner.init(key, episode)}
        if prior is not None:
            params["prior"] = prior.init(key, x, episode.support.mask)["params"]
        if item_noise is not None:
            params["item_noise"] = item_noise.init(key, x)["params"]
        return params

    def known(params: Params, support: Examples) -> tuple[Params, Examples]:
        own, weighted = params["learner"], support
        if prior is not None:
            expected = prior.apply({"params": params["prior"]}, support.x, support.mask)
            flat = traverse_util.flatten_dict(own)
            own = traverse_util.unflatten_dict(
                {path: leaf + expected if moved(path) else leaf for path, leaf in flat.items()}
            )
        if item_noise is not None:
            precision = jnp.exp(-item_noise.apply({"params": params["item_noise"]}, support.x))
            weighted = support._replace(mask=support.mask * precision)
        return own, weighted

    def adapt(params: Params, support: Examples) -> Fast:
        return learner.adapt(*known(params, support))

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        own, weighted = known(params, episode.support)
        return learner.loss(own, episode._replace(support=weighted), key, step)

    return Learner(init, adapt, learner.predict, loss)
