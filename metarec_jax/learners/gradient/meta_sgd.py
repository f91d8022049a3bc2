"""Meta-SGD: learning to learn quickly. Li, Zhou, Chen and Li 2017, arXiv:1707.09835.

theta' = theta - alpha o grad L_support(theta) with a rate for every parameter (eq. 1): alpha has theta's shape and is
trained with it, min over theta, alpha of the sum over tasks of L_query(theta'). Rates determine the direction of the
step as well as its length.

Easily got wrong: rates start POSITIVE (otherwise the first steps go uphill), but they are not constrained. As in the
paper the rates themselves are learnt, not their logarithms, and training may change the sign of some.

Differs from the paper: rates start at one value instead of random ones. Several inner steps are allowed; they use the
same rates. The outer loop's weight decay acts on the rates too.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from metarec_jax.learners.gradient.inner_loop import fit_support
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.params import Free, Path, is_id_table, split_free
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def with_rates(rates: Free) -> optax.GradientTransformation:
    """Gradient descent with a rate for every entry of every parameter."""
    return optax.stateless(lambda gradient, _: jax.tree.map(lambda g, rate: -rate * g, gradient, rates))


def meta_sgd(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    steps: int = 1,
    first_order: bool = False,
    prior_count: float = 0.0,
    shared: Callable[[Path], bool] = is_id_table,
) -> Learner:
    """Meta-SGD.

    Args:
      net, objective, first_order, prior_count, shared: as in `maml` (see there).
      lr: initial value of every rate, above 0.
      steps: inner steps; 1 in the paper.
    """

    def init(key: Array, episode: Episode) -> Params:
        weights = net.init(key, episode.support.x)["params"]
        rates = jax.tree.map(lambda leaf: jnp.full_like(leaf, lr), split_free(weights, shared).free)
        return {"net": weights, "rates": traverse_util.unflatten_dict(rates)}

    def adapt(params: Params, support: Examples) -> Fast:
        optimiser = with_rates(traverse_util.flatten_dict(params["rates"]))
        loop = {"optimiser": optimiser, "steps": steps, "first_order": first_order}
        return fit_support(net, objective, params["net"], support, shared=shared, prior_count=prior_count, **loop)[0]

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
