"""Model-agnostic meta-learning. Finn, Abbeel and Levine 2017, arXiv:1703.03400.

min over theta of the sum over tasks of L_query(theta - alpha grad L_support(theta)). The meta-gradient is exact:
`jax.grad` differentiates through the inner gradient, (I - alpha H_support) g_query(theta'), and through the id vectors
that the inner loop reads. FOMAML drops the second-order term (section 5.2 of the paper).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
from flax import traverse_util

from metarec_jax.objectives import Objective, query_loss
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def is_id_table(path: tuple[str, ...]) -> bool:
    """Whether a parameter belongs to a table of ids (a module called "id_...")."""
    return any(part.startswith("id_") for part in path)


def gradient_steps(
    loss: Callable[[Params], Array],
    params: Params,
    *,
    lr: float,
    steps: int,
    first_order: bool = False,
    shared: Callable[[tuple[str, ...]], bool] = is_id_table,
) -> Params:
    """`steps` steps of gradient descent on `loss` from `params`, as a differentiable function of `params`.

    Parameters whose path is `shared` stay as they are. With `first_order` the gradients are constants to
    differentiation, so the derivative of the result with respect to `params` is the identity.
    """
    flat = traverse_util.flatten_dict(params)
    fixed = {path: leaf for path, leaf in flat.items() if shared(path)}
    free = {path: leaf for path, leaf in flat.items() if path not in fixed}

    def step(free, _):
        gradient = jax.grad(lambda free: loss(traverse_util.unflatten_dict(fixed | free)))(free)
        if first_order:
            gradient = jax.lax.stop_gradient(gradient)
        return jax.tree.map(lambda weight, g: weight - lr * g, free, gradient), None

    free, _ = jax.lax.scan(step, free, length=steps, unroll=min(steps, 5) or 1)
    return traverse_util.unflatten_dict(fixed | free)


def maml(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    steps: int = 1,
    first_order: bool = False,
    prior_count: float = 0.0,
    shared: Callable[[tuple[str, ...]], bool] = is_id_table,
) -> Learner:
    """MAML, or FOMAML with `first_order`.

    Args:
      net: Flax module from x of [N, ...] to outputs [N, ...].
      objective: masked loss of both loops, for example `objectives.squared_error`.
      lr: inner learning rate alpha.
      steps: inner gradient steps K.
      first_order: treat the inner gradients as constants.
      prior_count: the inner loss is the sum over the support divided by n + prior_count. 0 is the paper's mean; above
        it one rating moves the weights less than twenty do, as a prior would have it.
      shared: which parameters the inner loop leaves as they are, by path. The tables of ids: see `models.recommender`.
    """

    def init(key: Array, episode: Episode) -> Params:
        return net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Examples) -> Fast:
        def inner_loss(weights: Params) -> Array:
            return objective(net.apply({"params": weights}, support.x), support, prior_count)[0]

        return gradient_steps(inner_loss, params, lr=lr, steps=steps, first_order=first_order, shared=shared)

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
