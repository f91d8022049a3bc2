"""Attentive ridge: what classical methods know, and two things they cannot say, learnt from episodes.

A user's ratings are explained in three layers, each of which starts as nothing on top of the one before:
1. a ridge head on the features of a fitted Gaussian process (`ridge.py`): the classical answer, exact at once; and each
   support rating counts by how far its item's ratings can be trusted, which starts from the process's own residuals
   (`baselines.gp.item_noise`);
2. an expectation of the user's weights from WHICH items were rated (`models.choice`), which the ratings then correct;
3. attention of the candidate over what the ridge head leaves unexplained of each support rating:
       y(x) = ridge(x) + g sum_i a(x, x_i) (y_i - ridge(x_i)),
   a a softmax over i, and "none of them", of s cos(k(x), k(x_i)).

Why it wins. One user's ratings fix few weights, so a linear model of the taste must be of low rank, and what is special
to a series, an author or a cult is noise to it. That is left in the residuals, and it is the neighbour in that small
world that shares it; on data with many rarely rated items (books) this is worth more than all else. Whom to listen to
is learnt on held-out ratings of training users at every K, which no kernel fitted to all of a user's ratings is. And
the choice of items tells most when ratings are few.

Related: attentive neural processes (Kim 2019, arXiv:1901.05761), R2-D2 (Bertinetto 2019, arXiv:1805.08136), SVD++
(Koren 2008). New layers need some ten times the learning rate of the features, which are good from the start: see
`RATES`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.models.recommender import IdTable
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.ops.similarity import attend_or_none, unit
from metarec_jax.types import Array, Episode, Examples, Fast, Inputs, Learner, Params

# Parts of the learning rate, by part of the parameters.
RATES = {"net": 0.1, "log_noise": 0.1, "prior": 0.2, "item_noise": 0.3, "attention": 1.0}


class Keys(nn.Module):
    """(x of [N, ...], features [N, D]) -> [N, dim] vectors of length 1, whose cosine says how alike candidates are."""

    num_ids: int
    dim: int = 16

    @nn.compact
    def __call__(self, x: Inputs, features: Array) -> Array:
        own = IdTable(self.num_ids, self.dim, name="id_key")(x.id)
        return unit(own + nn.Dense(self.dim, name="described")(jnp.concatenate([features, x.content], -1)))


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
    """The learner above. Outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      keys: Flax module from (x of [N, ...], features [N, D]) to unit vectors [N, A], for example `Keys`.
      noise: initial noise variance of the ridge head, in squared units of y; learnt.
      prior: as in `ridge`, for example `models.choice.ChoicePrior`.
      item_noise: as in `ridge`, for example `ItemNoise`.
      sharpness: initial s; learnt.
      null: initial logit of "none of them"; learnt. At K = 0 it takes all the attention.
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
