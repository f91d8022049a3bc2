"""Attentive ridge: a closed-form linear model of the taste, and attention over what it leaves unexplained.

A user's ratings are explained in three layers. Each layer starts as no change to the one before it:
1. A ridge head on the features of a fitted Gaussian process (GP) (`ridge.py`): the classical answer, exact from the
   start. Each support rating has the noise of its item; noises start from the residuals of the GP
   (`priors.gp.item_noise`).
2. A prior mean of the user's weights from WHICH items were rated (`models.choice`), which the ratings then correct.
3. Attention of the candidate over the residuals that the ridge head leaves on the support:
       y(x) = ridge(x) + g sum_i a(x, x_i) (y_i - ridge(x_i)),
   where a is a softmax of s cos(k(x), k(x_i)) over i and one more entry, "none of them".

Why it wins: one user's ratings determine few weights, so a linear model of the taste must have a low rank. What is
specific to a series, an author or a cult film is noise to such a model. It remains in the residuals, and similar items
share it; on data with many rarely rated items (books) this is worth more than everything else. Which ratings to attend
to is learnt on held-out ratings of training users at every K; a kernel that is fitted to all ratings of a user does not
learn this. The choice of items is most informative when ratings are few.

Related: attentive neural processes (Kim 2019, arXiv:1901.05761), R2-D2 (Bertinetto 2019, arXiv:1805.08136), SVD++
(Koren 2008).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.models.recommender import IdTable
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.ops.similarity import attend_or_none, unit
from metarec_jax.types import Array, Episode, Examples, Fast, Inputs, Learner, Params


class Keys(nn.Module):
    """(x of [N, ...], features [N, D]) -> unit vectors [N, dim], whose cosine is the similarity of two candidates.

    They are a linear map of a table of `width` numbers a candidate, such as the spectral axes of who rated what
    (`priors.choice`), plus one of features and content that is 0 at first.
    """

    num_ids: int
    dim: int = 16
    width: int = 32

    @nn.compact
    def __call__(self, x: Inputs, features: Array) -> Array:
        described = nn.Dense(self.dim, use_bias=False, kernel_init=nn.initializers.zeros, name="described")
        own = nn.Dense(self.dim, use_bias=False, name="mix")(IdTable(self.num_ids, self.width, name="id_key")(x.id))
        return unit(own + described(jnp.concatenate([features, x.content], -1)))


def attentive_ridge(
    net: nn.Module,
    objective: Objective,
    *,
    keys: nn.Module,
    noise: float = 1.0,
    prior: nn.Module | None = None,
    item_noise: nn.Module | None = None,
    sharpness: float = 4.0,
    null: float = 1.0,
) -> Learner:
    """Attentive ridge. Outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      keys: Flax module from (x of [N, ...], features [N, D]) to unit vectors [N, A], for example `Keys`.
      noise: initial noise variance of the ridge head, in squared units of y; learnt.
      prior: as in `ridge`, for example `models.choice.ChoicePrior`.
      item_noise: as in `ridge`, for example `ItemNoise`.
      sharpness: initial s; learnt.
      null: initial logit of "none of them"; learnt. At K = 0 it gets all the attention.
    """
    head = ridge(net, objective, noise=noise, prior=prior, item_noise=item_noise)

    def features(params: Params, x) -> Array:
        return net.apply({"params": params["net"]}, x)[0]

    def init(key: Array, episode: Episode) -> Params:
        head_key, own_key = jax.random.split(key)
        params = head.init(head_key, episode)
        x = episode.support.x
        attention = {
            "keys": keys.init(own_key, x, features(params, x))["params"],
            "gate": jnp.zeros(()),
            "log_sharpness": jnp.log(jnp.float32(sharpness)),
            "null": jnp.float32(null),
        }
        return params | {"attention": attention}

    def key_vectors(params: Params, x) -> Array:
        return keys.apply({"params": params["attention"]["keys"]}, x, features(params, x))

    def adapt(params: Params, support: Examples) -> Fast:
        fast = head.adapt(params, support)
        residual = support.y - head.predict(fast, support.x)
        return fast | {"keys": key_vectors(params, support.x), "residual": residual, "mask": support.mask}

    def predict(fast: Fast, x) -> Array:
        own = fast["attention"]
        logits = jnp.exp(own["log_sharpness"]) * key_vectors(fast, x) @ fast["keys"].T
        return head.predict(fast, x) + own["gate"] * (
            attend_or_none(logits, fast["mask"], own["null"]) @ fast["residual"]
        )

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
