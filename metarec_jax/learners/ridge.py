"""Meta-learnt ridge head: the task's own weights in closed form, everything else by meta-gradients through it.

Bertinetto et al. 2019, arXiv:1805.08136 (R2-D2), as the posterior mean of Bayesian linear regression: prior w ~ N(0, I)
on the network's features, noise learnt. Bias and factors of a user are solved together (the constant is one of the
features), in a K x K system by the Woodbury identity: w = Phi' (Phi Phi' + noise I)^-1 (y - prior mean).

Why it wins where MAML ties: it can START from a classical factorisation (`taste_params`), whose posterior it then is to
the last digit, and meta-training moves features, item biases, the prior mean from user features and the noise to what
predicts best after K ratings.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.objectives import Objective, query_loss
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def ridge_solution(features: Array, residual: Array, mask: Array, noise: Array) -> Array:
    """argmin over w of sum mask (residual - features w)^2 + noise |w|^2, by a K x K solve.

    Args:
      features: [K, D]; residual: [K]; mask: [K]; noise: [] variance of the noise relative to the prior's, above 0.

    Returns:
      [D]; zeros where nothing is real.
    """
    features = features * mask[:, None]  # a padded row is a zero row: it adds only its own noise to the system
    gram = features @ features.T + noise * jnp.eye(features.shape[0], dtype=features.dtype)
    dual = jax.scipy.linalg.solve(gram, residual * mask, assume_a="pos")
    return features.T @ dual


def ridge(net: nn.Module, objective: Objective, *, noise: float = 1.0) -> Learner:
    """The ridge head on a network.

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      noise: initial noise variance, in squared units of y; learnt.
    """

    def init(key: Array, episode: Episode) -> Params:
        return {"net": net.init(key, episode.support.x)["params"], "log_noise": jnp.log(jnp.float32(noise))}

    def adapt(params: Params, support: Examples) -> Fast:
        features, mean = net.apply({"params": params["net"]}, support.x)
        weights = ridge_solution(features, support.y - mean, support.mask, jnp.exp(params["log_noise"]))
        return {"net": params["net"], "weights": weights}

    def predict(fast: Fast, x) -> Array:
        features, mean = net.apply({"params": fast["net"]}, x)
        return mean + features @ fast["weights"]

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
