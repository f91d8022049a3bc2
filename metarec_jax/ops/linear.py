"""Linear algebra of one task, with small dense matrices, for closed-form learners and factor baselines.

Nothing here calls LAPACK: on a CPU its batches run in XLA's own thread pool, and two of them at once (the batches and
the remainder of a `lax.map`) have caused a deadlock on two cores.
"""

import jax
import jax.numpy as jnp

from metarec_jax.types import Array


def solve_positive_definite(matrix: Array, vector: Array) -> Array:
    """x [N] with matrix x = vector [N], by Gauss-Jordan elimination without pivoting; matrix [N, N] positive definite.

    Its derivative is another solve with the same matrix (implicit differentiation).
    """

    if len(vector) == 0:
        return vector

    def eliminate(k: Array, rows: Array) -> Array:
        pivot = rows[k] / rows[k, k]
        return (rows - rows[:, k, None] * pivot).at[k].set(pivot)

    def solve(_, right: Array) -> Array:
        return jax.lax.fori_loop(0, len(right), eliminate, jnp.column_stack([matrix, right]))[:, -1]

    return jax.lax.custom_linear_solve(lambda x: matrix @ x, vector, solve, symmetric=True)


@jax.custom_jvp
def inverse_and_log_determinant(matrix: Array) -> tuple[Array, Array]:
    """The inverse [N, N] and the log-determinant [] of a positive definite matrix [N, N]; N = 0 gives (matrix, 0).

    Gauss-Jordan elimination in place, without pivoting; the determinant is the product of the pivots. The derivatives
    are -A^-1 dA A^-1 and trace(A^-1 dA), for symmetric dA, and may be differentiated again.
    """
    if len(matrix) == 0:
        return matrix, jnp.zeros((), matrix.dtype)

    def eliminate(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, log_determinant = carry
        pivot = rows[k, k]
        row = rows[k].at[k].set(1.0) / pivot  # column k now holds column k of the inverse
        rows = (rows.at[:, k].set(0.0) - rows[:, k, None] * row).at[k].set(row)
        return rows, log_determinant + jnp.log(pivot)

    return jax.lax.fori_loop(0, len(matrix), eliminate, (matrix, jnp.zeros((), matrix.dtype)))


@inverse_and_log_determinant.defjvp
def _derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (matrix,), (change,) = primals, tangents
    inverse, log_determinant = inverse_and_log_determinant(matrix)
    return (inverse, log_determinant), (-inverse @ change @ inverse, jnp.sum(inverse * change))


def _whiten(features: Array, target: Array, mask: Array, noise: Array) -> tuple[Array, Array]:
    """Features [K, D] and target [K] divided by the noise's standard deviation; padding becomes rows of zeros.

    A row of weight 2 counts as two rows, so both are multiplied by the square root of the weight. The derivative of the
    root at 0 is infinite, and 0 times it is NaN; there it is taken as 0.
    """
    real = mask > 0
    scale = jnp.where(real, jnp.sqrt(jnp.where(real, mask, 1.0)), 0.0) * jax.lax.rsqrt(noise)
    return features * scale[:, None], target * scale


def ridge_weights(features: Array, target: Array, mask: Array, noise: Array) -> Array:
    """argmin_w sum_k mask_k (target_k - features_k . w)^2 / noise + |w|^2, the posterior mean under w ~ N(0, I).

    Solves the smaller of the K x K and the D x D system; both are positive definite, and K = 0 gives zeros.

    Args:
      features: [K, D], scaled so that the prior covariance of w is the identity.
      target: [K] residuals of the support ratings from the prior mean.
      mask: [K] 1 real, 0 padding; or the weight of a row: weight 2 counts as two rows.
      noise: [], or [K] one a row: positive noise variance, in the squared unit of `target`.

    Returns:
      [D] the weights.
    """
    z, t = _whiten(features, target, mask, noise)
    k, d = z.shape
    if k <= d:
        gram = jnp.matmul(z, z.T, precision="highest") + jnp.eye(k, dtype=z.dtype)
        return z.T @ solve_positive_definite(gram, t)
    gram = jnp.matmul(z.T, z, precision="highest") + jnp.eye(d, dtype=z.dtype)
    return solve_positive_definite(gram, z.T @ t)


def ridge_covariance(features: Array, mask: Array, noise: Array) -> Array:
    """[D, D] posterior covariance of w ~ N(0, I) whose mean is `ridge_weights` of the same features, mask and noise.

    A compiled program that does not read it does not compute it.
    """
    z, _ = _whiten(features, jnp.zeros(len(mask)), mask, noise)
    k, d = z.shape
    if k <= d:  # Woodbury
        inverse, _ = inverse_and_log_determinant(jnp.matmul(z, z.T, precision="highest") + jnp.eye(k, dtype=z.dtype))
        return jnp.eye(d, dtype=z.dtype) - jnp.matmul(z.T, inverse @ z, precision="highest")
    return inverse_and_log_determinant(jnp.matmul(z.T, z, precision="highest") + jnp.eye(d, dtype=z.dtype))[0]


def absorb(
    weights: Array, covariance: Array, features: Array, target: Array, mask: Array, noise: Array
) -> tuple[Array, Array]:
    """The posterior mean [D] and covariance [D, D] after more examples, from those before; exactly the batch solution.

    One rank-one update an example (Sherman and Morrison 1950; the Kalman filter), O(D^2), without the old examples.

    Args:
      weights, covariance: [D] and [D, D], the posterior so far; or weights [D, E], of E targets.
      features: [N, D] of the new examples.
      target: [N] targets of features . w; or [N, E].
      mask: [N] 1 real, 0 padding.
      noise: [], or [N] one a row: variance of the noise.
    """

    def take(carry: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
        (mean, cov), (feature, value, real, variance) = carry, row
        direction = cov @ feature
        gain = real * direction / (variance + feature @ direction)
        return (mean + jnp.multiply.outer(gain, value - feature @ mean), cov - jnp.outer(gain, direction)), None

    rows = (features, target, mask, jnp.broadcast_to(noise, mask.shape))
    return jax.lax.scan(take, (weights, covariance), rows)[0]


def relax(weights: Array, covariance: Array, mean: Array, prior: Array, fraction: Array) -> tuple[Array, Array]:
    """A posterior N(weights, covariance) after a drift: `fraction` of the deviation from the prior remains.

    w' - mean = fraction (w - mean) + sqrt(1 - fraction^2) e with e ~ N(0, prior), an autoregression that leaves the
    prior N(mean, prior) as it is; the prediction step of the Kalman filter. fraction = 1 changes nothing.

    Args:
      weights, covariance: [D] and [D, D] of the posterior.
      mean, prior: [D] and [D, D] of the prior.
      fraction: [] in 0..1.
    """
    return mean + fraction * (weights - mean), prior + fraction**2 * (covariance - prior)


def gaussian_posterior(
    features: Array, target: Array, mask: Array, noise: Array, precision: Array
) -> tuple[Array, Array]:
    """Posterior mean [D] and covariance [D, D] of w ~ N(0, precision^-1) given target = features . w + noise.

    Inverts the smaller of a K x K and a D x D matrix per task. With K <= D the prior covariance is needed too, but it
    is the same for all tasks and computed once under `vmap`.

    Args:
      features: [K, D].
      target: [K] residuals of the support ratings from the prior mean.
      mask: [K] 1 real, 0 padding; or the weight of a row: weight 2 counts as two rows.
      noise: [], or [K] one a row: positive noise variance, in the squared unit of `target`.
      precision: [D, D] positive definite.
    """
    z, t = _whiten(features, target, mask, noise)
    k, d = z.shape
    if k <= d:  # Woodbury
        prior, _ = inverse_and_log_determinant(precision)
        cross = jnp.matmul(prior, z.T, precision="highest")
        inverse, _ = inverse_and_log_determinant(jnp.matmul(z, cross, precision="highest") + jnp.eye(k, dtype=z.dtype))
        gain = cross @ inverse
        return gain @ t, prior - gain @ cross.T
    covariance, _ = inverse_and_log_determinant(precision + jnp.matmul(z.T, z, precision="highest"))
    return covariance @ (z.T @ t), covariance
