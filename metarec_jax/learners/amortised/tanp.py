"""Task-adaptive neural process. Lin et al. 2021, arXiv:2103.06137.

A neural process with a latent z for each task, and a decoder that is modulated by a soft clustering of the tasks:
- z ~ q(z | set) = N(mean, variance), from the mean of the encoded (x_i, y_i). Training predicts the query with a z
  drawn from q(z | support + query) and adds KL(q(z | support + query) || q(z | support)) to the loss.
- A second encoder gives a task embedding r. Its assignment to cluster k of a learnt pool is Student's t kernel,
  c_k ~ (1 + |r - m_k|^2 / alpha)^(-(alpha + 1) / 2), and o = r + sum_k c_k m_k sets FiLM's gamma and beta in every
  layer of the decoder, relu(gamma * hidden + beta). `gated` is the paper's Gating-FiLM, which mixes both with a third
  vector.
- The clusters are driven apart by KL(p || c) with p ~ c^2, as in deep embedded clustering (Xie et al. 2016).

Easily got wrong:
- The kernel is of the SQUARED distance (the published code takes the distance itself).
- What the published encoder calls sigma is a log variance.
- The KL is a sum over the entries of z; without a weight it dominates a mean squared error.
- The target p is a constant (Xie et al. 2016, eqs. 2 and 3). If it is differentiated too, the least KL is where p and c
  are the same, and descent makes the assignment even.

Differs from the paper: adaptation takes the MEAN of z, while the paper draws one, so that predictions are deterministic
and less noisy. p is not divided by the size of the clusters, which depends on a batch of tasks; the loss here is of one
task. gamma is 1 + tanh, not tanh, so that modulation starts near the identity. Means are shrunk
(`models.sets.shrunk_mean`), so that K = 0 works. Ratings are residuals from a prior mean. Training predicts the query
only, not the support again.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.models.sets import PairEncoder, QueryPairs, shrunk_mean, small
from metarec_jax.objectives import Objective, squared_error
from metarec_jax.ops.rows import join_rows
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def gaussian_kl(mean: Array, log_variance: Array, prior_mean: Array, prior_log_variance: Array) -> Array:
    """KL(N(mean, variance) || N(prior_mean, prior_variance)) in nats, diagonal, all [Z]: a scalar."""
    ratio = (jnp.exp(log_variance) + jnp.square(mean - prior_mean)) * jnp.exp(-prior_log_variance)
    return 0.5 * jnp.sum(ratio - 1.0 + prior_log_variance - log_variance)


def student_t_assignment(point: Array, centres: Array, alpha: float) -> Array:
    """Soft assignment [C] of a point [R] to `centres` [C, R], by Student's t kernel with alpha degrees of freedom."""
    squared = jnp.sum(jnp.square(point - centres), -1)
    return jax.nn.softmax(-0.5 * (alpha + 1.0) * jnp.log1p(squared / alpha))


def sharpening(assignment: Array) -> Array:
    """KL(p || assignment) in nats, p ~ assignment^2 a constant: descent moves assignment [C] to its largest entry."""
    target = jax.lax.stop_gradient(jnp.square(assignment) / jnp.sum(jnp.square(assignment)))
    return jnp.sum(target * (jnp.log(target) - jnp.log(assignment)))


class Modulation(nn.Module):
    """(hidden [N, H], task [R]) -> gamma * hidden + beta [N, H]: FiLM, or Gating-FiLM."""

    gated: bool

    @nn.compact
    def __call__(self, hidden: Array, task: Array) -> Array:
        def map_task(name: str) -> Array:
            return nn.Dense(hidden.shape[-1], use_bias=False, name=name)(task)

        gamma, beta = nn.tanh(map_task("gamma")), nn.tanh(map_task("beta"))
        if self.gated:
            eta, delta = nn.tanh(map_task("eta")), nn.sigmoid(map_task("delta"))
            gamma, beta = (delta * own + (1.0 - delta) * eta for own in (gamma, beta))
        return (1.0 + gamma) * hidden + beta


class ModulatedDecoder(nn.Module):
    """(features [N, D], z [Z], task [R]) -> residuals [N]."""

    width: int
    layers: int
    gated: bool
    dropout: float

    @nn.compact
    def __call__(self, features: Array, z: Array, task: Array) -> Array:
        rows = QueryPairs(name="pairs")(features, z)
        for layer in range(self.layers):
            hidden = nn.Dense(self.width, name=f"layer_{layer}")(rows)
            rows = nn.relu(Modulation(self.gated, name=f"film_{layer}")(hidden, task))
            rows = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(rows)
        return nn.Dense(1, kernel_init=small, name="head")(rows)[:, 0]


class TaskAdaptiveNet(nn.Module):
    """The networks of the learner, with the hyper-parameters of `tanp`."""

    net: nn.Module
    width: int
    latent_dim: int
    clusters: int
    alpha: float
    layers: int
    gated: bool
    count: float
    dropout: float

    def setup(self) -> None:
        self.latent_encoder = PairEncoder(self.width, self.dropout)
        self.latent_hidden = nn.Dense(self.width)
        self.latent_head = nn.Dense(2 * self.latent_dim, kernel_init=small)
        self.task_encoder = PairEncoder(self.width, self.dropout)
        self.pool = self.param("pool", nn.initializers.xavier_uniform(), (self.clusters, self.width + 1))
        self.decoder = ModulatedDecoder(self.width, self.layers, self.gated, self.dropout)

    def __call__(self, support: Examples, query: Examples) -> tuple:
        """Uses every part once, for `init`."""
        (mean, _), (task, _) = self.latent(support), self.task(support)
        return self.rate(mean, task, query.x)

    def latent(self, examples: Examples) -> tuple[Array, Array]:
        """Mean [Z] and log variance [Z] of z given examples."""
        hidden = nn.relu(self.latent_hidden(self._summary(self.latent_encoder, examples)))
        mean, log_variance = jnp.split(self.latent_head(hidden), 2)
        return mean, log_variance

    def task(self, support: Examples) -> tuple[Array, Array]:
        """o [width + 1], which modulates the decoder, and the assignment [C] to the clusters."""
        embedding = self._summary(self.task_encoder, support)
        assignment = student_t_assignment(embedding, self.pool, self.alpha)
        return embedding + assignment @ self.pool, assignment

    def rate(self, z: Array, task: Array, x: Any) -> Array:
        """Predicted ratings [N]."""
        features, prior = self.net(x)
        return prior + self.decoder(features, z, task)

    def terms(self, episode: Episode, key: Array) -> tuple[Array, Array, Array]:
        """Terms of the loss: the query's ratings [Q] with a z drawn by `key`, the KL of z [], and `sharpening` []."""
        everything = join_rows(episode.support, episode.query)
        mean, log_variance = self.latent(everything)
        divergence = gaussian_kl(mean, log_variance, *self.latent(episode.support))
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape, mean.dtype)
        task, assignment = self.task(episode.support)
        return self.rate(z, task, episode.query.x), divergence, sharpening(assignment)

    def _summary(self, encoder: PairEncoder, examples: Examples) -> Array:
        features, prior = self.net(examples.x)
        return shrunk_mean(encoder(features, examples.y - prior), examples.mask, self.count)


def tanp(
    net: nn.Module,
    objective: Objective = squared_error,
    *,
    width: int = 32,
    latent_dim: int = 16,
    clusters: int = 8,
    alpha: float = 1.0,
    layers: int = 2,
    gated: bool = False,
    kl_weight: float = 0.1,
    cluster_weight: float = 0.1,
    count: float = 3.0,
    dropout: float = 0.0,
) -> Learner:
    """The task-adaptive neural process; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss of the predicted ratings on the query; squared error in the paper.
      width: of hidden layers and encodings.
      latent_dim: dimensions of z.
      clusters: number C of vectors in the pool.
      alpha: degrees of freedom of the kernel.
      layers: number of modulated layers of the decoder.
      gated: Gating-FiLM instead of FiLM.
      kl_weight: weight of the KL of z against a loss that is a mean over the query. 1 / (number of query ratings) gives
        the evidence lower bound.
      cluster_weight: weight of `sharpening`.
      count: pseudo-ratings at 0 in the means of encodings.
      dropout: fraction of the hidden units that are dropped in training.
    """
    network = TaskAdaptiveNet(net, width, latent_dim, clusters, alpha, layers, gated, count, dropout)

    def init(key: Array, episode: Episode) -> Params:
        return network.init(key, episode.support, episode.query)["params"]

    def adapt(params: Params, support: Examples) -> Fast:
        mean, _ = network.apply({"params": params}, support, method="latent")
        task, _ = network.apply({"params": params}, support, method="task")
        return {"params": params, "z": mean, "task": task}

    def predict(fast: Fast, x) -> Array:
        return network.apply({"params": fast["params"]}, fast["z"], fast["task"], x, method="rate")

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del step  # the loss is the same at every training step
        z_key, dropout_key = jax.random.split(key)

        ratings, divergence, sharpness = network.apply(
            {"params": params}, episode, z_key, method="terms", rngs={"dropout": dropout_key}
        )
        error, metrics = objective(ratings, episode.query)
        total = error + kl_weight * divergence + cluster_weight * sharpness
        return total, metrics | {"loss": total, "kl": divergence, "error": error}

    return Learner(init, adapt, predict, loss)
