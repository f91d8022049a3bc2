"""Which statistics a network with batch normalisation uses, as a wrapper of any learner on such a network.

The learner inside does not know: its x become `models.conv4.Rows`, which carry the mask and the rows or statistics to
normalise by.

- "batch": statistics of the rows that are predicted together, as in the code of MAML (Finn et al. 2017,
  arXiv:1703.03400) and many later ones. Transductive: the prediction of a query depends on the other queries.
- "support": those of the task's support, for its queries too (MetaBN of Bronskill et al. 2020, arXiv:2003.03284). The
  support passes through the network beside the queries, so with the same weights.
- "population": those of training images, the same for every task, from `population`; training uses "batch" (like the
  running averages of Ioffe and Szegedy 2015, arXiv:1502.03167, but computed at once).
- "layer": each row's own, Conv4(norm="layer").

Easily got wrong: padding must not count. Rows of an episode have a mask; rows that are given to `predict` alone are all
real.
"""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.models.conv4 import STATISTICS, Rows, as_rows
from metarec_jax.params import FIXED
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params

Mode = Literal["batch", "support", "population", "layer"]
TRANSDUCTIVE = {"batch": True, "support": False, "population": False, "layer": False}


def marked(examples: Examples, like: Any = None) -> Examples:
    """Examples whose x are `Rows`: with their mask, and what to normalise by."""
    return examples._replace(x=Rows(examples.x, examples.mask, like))


def normalised(learner: Learner, mode: Mode, *, training: Mode | None = None) -> Learner:
    """The learner with the statistics of a mode.

    Args:
      learner: on a network that takes `Rows`.
      mode: see above. With "population" the parameters must hold `{FIXED: {"statistics": ...}}` (see `population`).
      training: the mode of `loss`; None: the same. Reptile needs "batch", because its inner loop sees support and query
        as one set.
    """
    training = training or ("batch" if mode == "population" else mode)

    def init(key: Array, episode: Episode) -> Params:
        return learner.init(key, Episode(*map(marked, episode)))

    def stored_statistics(params: Params) -> Any:
        return params[FIXED]["statistics"] if mode == "population" else None

    def inner(params: Params) -> Params:
        return {name: part for name, part in params.items() if name != FIXED} if mode == "population" else params

    def adapt(params: Params, support: Examples) -> Fast:
        statistics = stored_statistics(params)
        fast = learner.adapt(inner(params), marked(support, statistics))
        return {"fast": fast, "like": Rows(support.x, support.mask) if mode == "support" else statistics}

    def predict(fast: Fast, x) -> Array:
        return learner.predict(fast["fast"], as_rows(x)._replace(like=fast["like"]))

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        support = marked(episode.support)
        like = support.x if training == "support" else None
        return learner.loss(inner(params), Episode(support, marked(episode.query, like)), key, step)

    return Learner(init, adapt, predict, loss)


def population(net: nn.Module, images: Array, *, batch: int = 100) -> Callable[[Params], Params]:
    """A function from params to the same params with the statistics of `images`, for the mode "population".

    To be called on new parameters, before each validation, and on the best parameters in the end.

    Args:
      net: the learner's network, whose parameters are under "net".
      images: [N, H, W, C] of training classes. Each `batch` of them gives moments, and these are averaged. A remainder
        of less than `batch` images is not used.
      batch: images at a time.
    """
    whole = len(images) // batch * batch
    images = jnp.asarray(images[:whole]).reshape(-1, batch, *images.shape[1:])

    @jax.jit
    def statistics(weights: Params, images: Array) -> Any:
        def batch_statistics(rows: Array) -> Any:
            return net.apply({"params": weights}, rows, mutable=[STATISTICS])[1][STATISTICS]

        return jax.tree.map(lambda leaf: jnp.mean(leaf, 0), jax.lax.map(batch_statistics, images))

    return lambda params: params | {FIXED: {"statistics": statistics(params["net"], images)}}
