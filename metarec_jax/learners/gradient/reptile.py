"""Reptile. Nichol, Achiam and Schulman 2018, arXiv:1803.02999.

For a task, theta_k is k steps of gradient descent from theta; then theta moves towards it: theta += epsilon
(theta_k - theta) (Algorithm 1). As a "gradient" for any outer optimiser that is (theta - theta_k) / alpha, alpha the
inner rate (section 2 of the paper), which for one step is the gradient of joint training. The loss here is a SURROGATE
with exactly that gradient, |theta - theta_k|^2 / (2 alpha) with theta_k a constant; the loss in the metrics is a real
one, the query's after adapting to the support.

Easily got wrong:
- There is no split in training: the inner loop sees support and query of the episode together.
- Tables of ids. After training a task leaves them alone, as in `maml`. In training the inner loop must move them, for a
  parameter that it does not move has theta - theta_k = 0 and would never learn.

Differs from the paper: every inner step sees the whole episode, a few tens of ratings, instead of a minibatch of it.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import Objective
from metarec_jax.params import Path, is_id_table
from metarec_jax.types import Array, Episode, Learner, Metrics, Params


def reptile(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    steps: int = 5,
    prior_count: float = 0.0,
    shared: Callable[[Path], bool] = is_id_table,
    optimiser: Callable[[float], optax.GradientTransformation] = optax.sgd,
) -> Learner:
    """Reptile. Arguments as in `maml`, which see; `shared` holds after training only, `steps` in both."""
    inner = {"lr": lr, "steps": steps, "prior_count": prior_count, "optimiser": optimiser}
    trained = maml(net, objective, shared=shared, **inner)
    in_training = maml(net, objective, shared=lambda path: False, **inner)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        everything = jax.tree.map(lambda *rows: jnp.concatenate(rows), episode.support, episode.query)
        start = jax.lax.stop_gradient(params)
        end = in_training.adapt(start, everything)
        distances = jax.tree.map(lambda theta, reached: jnp.sum(jnp.square(theta - reached)), params, end)
        _, metrics = trained.loss(start, episode, key, step)
        return sum(jax.tree.leaves(distances)) / (2 * lr), metrics

    return trained._replace(loss=loss)
