"""A new user's weights by ridge regression on the support set: what ALS, the factorisation machine and the GP share."""

import jax.numpy as jnp
import jax.scipy.linalg

from metarec_jax.types import Array


def ridge_weights(features: Array, target: Array, mask: Array, noise: Array) -> Array:
    """argmin_w sum_k mask_k (target_k - features_k . w)^2 / noise_k + |w|^2, the posterior mean under w ~ N(0, I).

    Solves the smaller of the K x K and the D x D system; both are positive definite, so K = 0 gives zeros.

    Args:
      features: [K, D], scaled so that the prior covariance of w is the identity.
      target: [K] residuals of the support ratings from the prior mean.
      mask: [K] 1 real, 0 padding.
      noise: [] or [K] positive noise variances, in squared rating units.

    Returns:
      [D] the weights.
    """
    root = jnp.sqrt(mask / noise)  # rows of unit noise; padding becomes rows of zeros
    z, t = features * root[:, None], target * root
    k, d = z.shape
    if k <= d:
        gram = jnp.matmul(z, z.T, precision="highest") + jnp.eye(k)
        return z.T @ jax.scipy.linalg.solve(gram, t, assume_a="pos")
    gram = jnp.matmul(z.T, z, precision="highest") + jnp.eye(d)
    return jax.scipy.linalg.solve(gram, z.T @ t, assume_a="pos")
