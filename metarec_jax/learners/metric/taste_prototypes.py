"""Prototypes of a taste: what somebody likes less what somebody dislikes, on the features of a Gaussian process.

A prototype is a mean of embedded examples (Snell et al. 2017, arXiv:1703.05175, eq. 1). For ratings there are two, of
what is liked and of what is disliked, and a candidate's score is its similarity to the one less that to the other: with
residuals r_i = y_i - prior mean(x_i) of either sign, a sum of r_i phi(x_i). A plain sum counts what many similar
examples say many times. Here every example is divided by how crowded its neighbourhood is,
    step_i = (r_i - phi_i . w - noise_i alpha_i) / (noise_i + sum_j |phi_i . phi_j|),
    alpha_i += step_i,    w += sum_i step_i phi_i,
so that it is a mean over the neighbourhood, with `noise` pseudo-examples of residual 0. A few rounds of it correct what
the prototypes of the round before got wrong.

This is a Jacobi iteration on (Phi Phi' + noise) alpha = r with a diagonal that dominates every row, so it converges
(to the weights of a Gaussian process, `closed_form.ridge`), and does not diverge where a plain one does. Two rounds are
nearly there, and cost no solve.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.closed_form.linear_taste import LinearTaste
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def crowded_prototypes(features: Array, target: Array, mask: Array, noise: Array, rounds: int) -> Array:
    """[D] the difference of the prototypes, after so many rounds.

    Args:
      features: [K, D], scaled so that the prior covariance of the weights is the identity.
      target: [K] residuals of the support ratings from the prior mean.
      mask: [K] 1 real, 0 padding; or the weight of a row: weight 2 counts as two rows.
      noise: [], or [K] one a row: pseudo-counts, in squared units of `target`.
      rounds: 1 or more.
    """
    similarity = jnp.abs(jnp.matmul(features, features.T, precision="highest"))
    crowd = noise + similarity @ mask

    def correct(_, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        alpha, weights = carry
        step = (target - features @ weights - noise * alpha) / crowd
        return alpha + step, weights + (mask * step) @ features

    return jax.lax.fori_loop(0, rounds, correct, (jnp.zeros_like(target), jnp.zeros(features.shape[1])))[1]


def taste_prototypes(
    net: nn.Module,
    objective: Objective,
    *,
    noise: float = 1.0,
    rounds: int = 2,
    prior: nn.Module | None = None,
    item_noise: nn.Module | None = None,
) -> Learner:
    """Prototypes of a taste; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]).
      objective: masked loss on the query, for example `objectives.squared_error`.
      noise: initial pseudo-counts, in squared units of y; learnt.
      rounds: of correction; 1 is the prototypes themselves.
      prior, item_noise: see `linear_taste.LinearTaste`.
    """
    parts = LinearTaste(net, prior, item_noise)

    def init(key: Array, episode: Episode) -> Params:
        return parts.init(key, episode, noise)

    def adapt(params: Params, support: Examples) -> Fast:
        features, mean = parts.features(params, support.x)
        fast = params | parts.expecting(params, support, features.shape[-1])
        residual = support.y - mean - features @ fast["expected"]
        own = crowded_prototypes(features, residual, support.mask, parts.noise_variance(params, support.x), rounds)
        return fast | {"weights": fast["expected"] + own}

    return Learner(init, adapt, parts.predict, query_loss(adapt, parts.predict, objective))
