"""Reptile. Nichol, Achiam and Schulman 2018, arXiv:1803.02999.

For each task, theta_k is the result of k steps of gradient descent from theta; then theta moves towards it: theta +=
epsilon (theta_k - theta) (Algorithm 1). As a "gradient" for any outer optimiser this is (theta - theta_k) / alpha, with
alpha the inner rate (section 2 of the paper); for one step it is the gradient of joint training. The loss here is a
SURROGATE with exactly that gradient, |theta - theta_k|^2 / (2 alpha) with theta_k held constant. The loss among the
metrics is a true one, the query's after adaptation to the support.

Easily got wrong:
- Training has no split: the inner loop sees support and query of the episode as one set.
- Tables of ids. After training a task leaves them unchanged, as in `maml`. In training the inner loop must move them: a
  parameter that it does not move has theta - theta_k = 0 and is never learnt.

Differs from the paper: every inner step sees the whole episode, a few tens of ratings, instead of a minibatch of it.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.objectives import Objective
from metarec_jax.ops.rows import join_rows
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
    """Reptile.

    Args:
      net, objective, prior_count, optimiser: as in `maml` (see there).
      lr: inner learning rate alpha.
      steps: inner steps k, in training and afterwards.
      shared: which parameters the inner loop leaves unchanged after training, by path; in training it moves all.
    """
    inner = {"lr": lr, "steps": steps, "prior_count": prior_count, "optimiser": optimiser}
    trained = maml(net, objective, shared=shared, **inner)
    in_training = maml(net, objective, shared=lambda path: False, **inner)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        everything = join_rows(episode.support, episode.query)
        start = jax.lax.stop_gradient(params)
        end = in_training.adapt(start, everything)
        distances = jax.tree.map(lambda theta, reached: jnp.sum(jnp.square(theta - reached)), params, end)
        _, metrics = trained.loss(start, episode, key, step)
        return sum(jax.tree.leaves(distances)) / (2 * lr), metrics

    return trained._replace(loss=loss)
