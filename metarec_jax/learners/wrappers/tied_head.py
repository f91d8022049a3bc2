"""A classification head for any number of ways: every class starts at the same column.

UnicornMAML, Ye and Chao 2021, arXiv:2106.16245: in an episode a class's label means nothing, so nothing is lost if the
inner loop starts all columns of the head alike, and its result no longer depends on the order of the labels. Then the
parameters do not know how many ways there are either, and a learner can be trained on more of them than it is tested
with, as metric learners are (Snell et al. 2017, section 2.6): a harder question, and more of it for the same pictures.

Easily got wrong: with a softmax the column itself is not learnt at all, for what all columns share is no logit's
difference, before or after any number of steps. Its meta-gradient is 0; the body is what learns.
"""

import jax
import jax.numpy as jnp

from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def tied_head(learner: Learner, ways: int) -> Learner:
    """The learner with one column for all classes.

    Args:
      learner: whose parameters have a dense layer "head" with `ways` outputs, for example `maml` on a
        `models.conv4.Classifier`. Its inner loop moves all columns, each its own way.
      ways: number of classes.
    """

    def with_head(params: Params, change) -> Params:
        return params | {"head": jax.tree.map(change, params["head"])}

    def widened(params: Params) -> Params:
        return with_head(params, lambda leaf: jnp.repeat(leaf, ways, -1))

    def init(key: Array, episode: Episode) -> Params:
        return with_head(learner.init(key, episode), lambda leaf: leaf[..., :1])

    def adapt(params: Params, support: Examples) -> Fast:
        return learner.adapt(widened(params), support)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        return learner.loss(widened(params), episode, key, step)

    return Learner(init, adapt, learner.predict, loss)
