"""How far a learner trusts the parts of what was fitted: a few learnt numbers, all of which are 0 at the start.

A fit to a training table misjudges itself: it does not know how much of what it says holds for new users. With
cross-fitting (`train.cross_fit`) this can be learnt, from few users too, for it is a matter of few numbers: factors of
the kinds of features, of the later axes among them, of the noise, each with a part that goes with how often the
candidate was rated. Weight decay then pulls to the fit itself.
"""

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.models.recommender import IdTable, TasteNet
from metarec_jax.types import Array, Inputs


def log_count(num_ids: int, x: Inputs) -> Array:
    """[N] log of how often the candidates were rated, standardised, from a fitted table of the calling module."""
    return IdTable(num_ids, 1, scale=0.0, name="id_count")(x.id)[:, 0]


class TrustedTaste(nn.Module):
    """Inputs -> (features [N, dim], prior mean [N]) of a taste network, each part by a learnt factor.

    With h the candidate's log count, feature d of group g (the bias, the content, the factors) is multiplied by
        exp(group_g - tail p_d + axes_d + group_by_count_g h),
    where p_d goes from 0 to 1 over the factors, the leading one first; the part of the prior mean that is the
    candidate's by 1 + mean_0 + mean_1 h, and the part that the task's side features predict by 1 + population.

    Attributes:
      taste: the network, whose features are one of the bias, `content` ones of the content, and the factors, as those
        of `priors.gp.fit` are.
      content: number F of content features.
    """

    taste: TasteNet
    content: int

    @nn.compact
    def __call__(self, x: Inputs) -> tuple[Array, Array]:
        def learnt(name: str, *shape: int) -> Array:
            return self.param(name, nn.initializers.zeros, shape)

        factors = self.taste.dim - 1 - self.content
        sizes = jnp.array([1, self.content, factors])
        count = log_count(self.taste.num_ids, x)
        features, mean = self.taste(x)
        expected = mean - self.taste(x._replace(context=jnp.zeros_like(x.context)))[1]
        place = jnp.concatenate([jnp.zeros(1 + self.content), jnp.linspace(0.0, 1.0, factors)])

        def spread(group: Array) -> Array:
            return jnp.repeat(group, sizes, total_repeat_length=self.taste.dim)

        log_scale = spread(learnt("group", 3)) - learnt("tail") * place + learnt("axes", self.taste.dim)
        log_scale = log_scale + count[:, None] * spread(learnt("group_by_count", 3))
        own, by_count = learnt("mean", 2)
        candidate = (mean - expected) * (1.0 + own + by_count * count) + learnt("shift")
        return features * jnp.exp(log_scale), candidate + expected * (1.0 + learnt("population"))


class TasteRating(nn.Module):
    """Inputs -> predicted ratings [N] of a linear taste: prior mean + features . weights, for learners that adapt the
    vector "weights" [D] by gradient steps. It is 0 at first."""

    trusted: TrustedTaste

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        features, mean = self.trusted(x)
        return mean + features @ self.param("weights", nn.initializers.zeros, (self.trusted.taste.dim,))


class ItemNoise(nn.Module):
    """x of [N, ...] -> [N], the log of the noise variance of the candidate's ratings over the usual one.

    It is (1 + power) times a fitted table, plus `by_count` times the candidate's log count; 0 at first.
    """

    num_ids: int

    @nn.compact
    def __call__(self, x: Inputs) -> Array:
        power, by_count = (self.param(name, nn.initializers.zeros, ()) for name in ("power", "by_count"))
        fitted = IdTable(self.num_ids, 1, scale=0.0, name="id_item_noise")(x.id)[:, 0]
        return (1.0 + power) * fitted + by_count * log_count(self.num_ids, x)
