"""A classification head for any number of ways: all classes start from the same column.

UnicornMAML, Ye and Chao 2021, arXiv:2106.16245: the labels of an episode are arbitrary, so nothing is lost if the inner
loop starts all columns of the head from one vector, and the result no longer depends on the order of the labels. The
parameters then do not depend on the number of ways, so that a learner can be trained with more ways than it is tested
with, as metric learners are (Snell et al. 2017, section 2.6): a harder task, and more of it from the same images.

Easily got wrong: with a softmax the column itself is not learnt at all. What all columns have in common changes no
difference of logits, before or after any number of steps. Its meta-gradient is 0; the body is what is learnt.
"""

import jax
import jax.numpy as jnp

from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def tied_head(learner: Learner, ways: int) -> Learner:
    """The learner with one column for all classes.

    Args:
      learner: whose parameters have a dense layer "head" with `ways` outputs, for example `maml` on a
        `models.conv4.Classifier`. Its inner loop moves each column separately.
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
