"""How to train your MAML (MAML++). Antoniou, Edwards and Storkey 2019, arXiv:1810.09502.

Of the paper's changes to MAML, those that do not concern batch normalisation:
- Per-layer per-step rates: theta_{i+1} = theta_i - alpha_i grad L_support(theta_i), with one learnt alpha_i for each
  step and array of parameters (kernels and biases separately, as in the authors' code).
- Multi-step loss: the outer loss is sum_i v_i L_query(theta_i) over the steps i = 1..K, not the loss after the last
  step alone. At first v_i = 1 / K. The weights of all steps but the last fall linearly to 0 over `anneal_steps`
  training steps; the last step gets the rest.
- Derivative-order annealing: first-order gradients in the first `first_order_steps` training steps.
(The cosine schedule of the outer rate, another of them, is that of every learner: see `train.optimisers.adam`.)

Differs from the paper: the recipe has no derivative-order annealing (`first_order_steps` is 0 unless it is given); what
concerns batch normalisation is left out; the inner loss may have a `prior_count` (see `maml`).

Easily got wrong: the weights must keep summing to 1, or annealing changes the outer rate; and after annealing the loss
must be MAML's. The authors' code stops the early weights at 0.03 / K; here they reach 0.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from metarec_jax.learners.gradient.inner_loop import fit_support
from metarec_jax.objectives import Objective
from metarec_jax.params import Free, Path, is_id_table, split_free
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def stepwise(rates: Free) -> optax.GradientTransformation:
    """Gradient descent with a rate for every array and step: rates [steps] on every leaf. The state is the step."""

    def update(gradient: Free, step: Array, params: Free | None = None) -> tuple[Free, Array]:
        del params
        return jax.tree.map(lambda g, rate: -rate[step] * g, gradient, rates), step + 1

    return optax.GradientTransformation(lambda params: jnp.int32(0), update)


def step_weights(steps: int, step: Array | int, anneal_steps: int) -> Array:
    """Weights [steps] of the query's loss after each inner step, at training step `step`; they sum to 1."""
    early = jnp.maximum(1.0 - step / anneal_steps, 0.0) / steps if anneal_steps else 0.0
    return jnp.full(steps, early).at[-1].set(1.0 - (steps - 1) * early)


def maml_plus_plus(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    steps: int = 5,
    anneal_steps: int = 1000,
    first_order_steps: int = 0,
    prior_count: float = 0.0,
    shared: Callable[[Path], bool] = is_id_table,
) -> Learner:
    """MAML++.

    Args:
      net, objective, prior_count, shared: as in `maml` (see there).
      lr: initial value of all rates.
      steps: inner steps K, at least 1.
      anneal_steps: training steps until only the last inner step's query loss counts; 0: from the start.
      first_order_steps: training steps with first-order gradients, at the start.
    """

    def init(key: Array, episode: Episode) -> Params:
        weights = net.init(key, episode.support.x)["params"]
        rates = jax.tree.map(lambda leaf: jnp.full(steps, lr, leaf.dtype), split_free(weights, shared).free)
        return {"net": weights, "rates": traverse_util.unflatten_dict(rates)}

    def walk(params: Params, support: Examples, first_order: bool = False) -> tuple[Params, Free]:
        """The weights after the last inner step, and the free ones after every one: [steps, ...] on every leaf."""
        optimiser = stepwise(traverse_util.flatten_dict(params["rates"]))
        loop = {"optimiser": optimiser, "steps": steps, "first_order": first_order}
        return fit_support(net, objective, params["net"], support, shared=shared, prior_count=prior_count, **loop)

    def adapt(params: Params, support: Examples) -> Fast:
        return walk(params, support)[0]

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del key  # the loss is deterministic
        if first_order_steps:  # `cond`, not `where`: only one branch is computed
            early, late = partial(walk, first_order=True), walk
            _, path = jax.lax.cond(step < first_order_steps, early, late, params, episode.support)
        else:
            _, path = walk(params, episode.support)
        parts = split_free(params["net"], shared)

        def after(free: Free) -> tuple[Array, Metrics]:
            return objective(predict(parts.join(free), episode.query.x), episode.query)

        losses, metrics = jax.vmap(after)(path)
        weights = step_weights(steps, step, anneal_steps).astype(losses.dtype)
        return weights @ losses, jax.tree.map(lambda values: values[-1], metrics)

    return Learner(init, adapt, predict, loss)
