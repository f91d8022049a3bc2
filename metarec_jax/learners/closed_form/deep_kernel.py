"""Deep kernel transfer. Patacchiola et al. 2020, arXiv:1910.05199.

A task is a Gaussian process over learnt embeddings e(x): y(x) = prior mean m(x) + f(x) + noise with f ~ GP(0, k),
    k(x, x') = a e(x) . e(x') + b exp(-|e(x) - e(x')|^2 / (2 l^2)) + c.
Amplitudes, length scale and noise are learnt. The linear kernel and the constant are Bayesian regression on the
embeddings with a bias for each task; the RBF kernel adds functions that are not linear in the embeddings. Adaptation is
the posterior given the support. Meta-training has no inner loop and no split into support and query: the loss is the
negative log MARGINAL likelihood of all examples of the episode (section 3.2, eq. 8). Here it is divided by their
number, so that episodes of all sizes count the same.

Easily got wrong:
- The likelihood of the query given the support is another loss; `predictive` mixes it in.
- Padding must not change the determinant: its rows are rows of the identity.

Differs from the paper: m(x) is learnt, not 0, and the kernels are added, while the paper tries them one by one.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.protonet import distances
from metarec_jax.objectives import gaussian_nll
from metarec_jax.ops.linear import inverse_and_log_determinant
from metarec_jax.ops.rows import join_rows
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def kernel(params: Params, a: Array, b: Array) -> Array:
    """k of embeddings [N, D] and [M, D]: [N, M], in squared units of y."""
    linear = jnp.exp(params["log_linear"]) * jnp.matmul(a, b.T, precision="highest")
    near = jnp.exp(-0.5 * distances(a, b, "squared_euclidean") * jnp.exp(-2.0 * params["log_length"]))
    return linear + jnp.exp(params["log_rbf"]) * near + jnp.exp(params["log_constant"])


def noisy_gram(params: Params, embedded: Array, mask: Array) -> Array:
    """Covariance [N, N] of the ratings of embeddings [N, D], noise included; padding gives rows of the identity."""
    gram = kernel(params, embedded, embedded) * mask[:, None] * mask
    return gram + jnp.diag(mask * jnp.exp(params["log_noise"]) + 1.0 - mask)


def deep_kernel(
    net: nn.Module,
    *,
    linear: float = 1.0,
    rbf: float = 0.1,
    length: float = 1.0,
    constant: float = 0.1,
    noise: float = 1.0,
    predictive: float = 0.0,
) -> Learner:
    """A Gaussian process on a network; outputs are posterior means [N], `variance` is a new rating's, noise included.

    Args:
      net: Flax module from x of [N, ...] to (embeddings [N, D], prior mean [N]), for example `TasteNet`.
      linear, rbf, constant: initial amplitudes a, b and c; learnt; b and c in squared units of y.
      length: initial length scale l; learnt.
      noise: initial noise variance, in squared units of y; learnt.
      predictive: fraction of the loss, 0..1, that is the query's predictive likelihood instead of the marginal one.
    """
    positive = {"linear": linear, "rbf": rbf, "length": length, "constant": constant, "noise": noise}

    def init(key: Array, episode: Episode) -> Params:
        logs = {f"log_{name}": jnp.log(jnp.float32(value)) for name, value in positive.items()}
        return {"net": net.init(key, episode.support.x)["params"]} | logs

    def adapt(params: Params, support: Examples) -> Fast:
        embedded, mean = net.apply({"params": params["net"]}, support.x)
        precision, _ = inverse_and_log_determinant(noisy_gram(params, embedded, support.mask))
        weights = precision @ ((support.y - mean) * support.mask)
        return params | {"embedded": embedded, "mask": support.mask, "precision": precision, "weights": weights}

    def predict(fast: Fast, x) -> Array:
        embedded, mean = net.apply({"params": fast["net"]}, x)
        return mean + kernel(fast, embedded, fast["embedded"]) @ fast["weights"]

    def variance(fast: Fast, x) -> Array:
        embedded, _ = net.apply({"params": fast["net"]}, x)
        cross = kernel(fast, embedded, fast["embedded"]) * fast["mask"]
        alone = jax.vmap(lambda row: kernel(fast, row[None], row[None])[0, 0])(embedded)
        return alone + jnp.exp(fast["log_noise"]) - jnp.sum(cross @ fast["precision"] * cross, -1)

    def marginal_loss(params: Params, episode: Episode) -> Array:
        x, y, mask = join_rows(*episode)
        embedded, mean = net.apply({"params": params["net"]}, x)
        precision, log_determinant = inverse_and_log_determinant(noisy_gram(params, embedded, mask))
        residual, count = (y - mean) * mask, jnp.sum(mask)
        total = 0.5 * (residual @ precision @ residual + log_determinant + count * jnp.log(2 * jnp.pi))
        return total / jnp.maximum(count, 1.0)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del key, step  # the loss is deterministic, and the same at every training step
        value = marginal_loss(params, episode)
        if predictive:
            fast, (x, _, _) = adapt(params, episode.support), episode.query
            ahead, _ = gaussian_nll((predict(fast, x), variance(fast, x)), episode.query)
            value = (1.0 - predictive) * value + predictive * ahead
        return value, {"loss": value}

    return Learner(init, adapt, predict, loss, variance)
