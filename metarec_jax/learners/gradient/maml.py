"""Model-agnostic meta-learning. Finn, Abbeel and Levine 2017, arXiv:1703.03400.

min over theta of the sum over tasks of L_query(theta - alpha grad L_support(theta)). The meta-gradient is exact:
`jax.grad` differentiates through the inner gradient, (I - alpha H_support) g_query(theta'), and through the id vectors
that the inner loop reads. FOMAML drops the second-order term (section 5.2 of the paper).

In training, a few steps of plain gradient descent on dense layers are computed in low-rank form (see `low_rank`).

Differs from the paper: `prior_count` in the inner loss, here and in the relatives of MAML that refer to this file. The
recipes of ratings have 5, with which an inner step on n ratings is n / (n + 5) of the paper's; 0 is the paper's. The
inner loop leaves tables of ids as they are. The outer loop's Adam has a cosine schedule and clips the meta-gradient
(`train.optimisers`).
"""

from collections.abc import Callable

import flax.linen as nn
import optax

from metarec_jax.learners.gradient import low_rank
from metarec_jax.learners.gradient.inner_loop import fit_support
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.params import Path, is_id_table
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def maml(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    steps: int = 1,
    first_order: bool = False,
    prior_count: float = 0.0,
    shared: Callable[[Path], bool] = is_id_table,
    optimiser: Callable[[float], optax.GradientTransformation] = optax.sgd,
    checkpoint: bool = False,
) -> Learner:
    """MAML, or FOMAML with `first_order`.

    Args:
      net: Flax module from x of [N, ...] to outputs [N, ...].
      objective: masked loss of both loops, for example `objectives.squared_error`.
      lr: inner learning rate alpha.
      steps: number of inner gradient steps.
      first_order: treat the inner gradients as constants.
      prior_count: the inner loss is the sum over the support divided by n + prior_count. 0 is the paper's mean. Above
        0, one rating moves the weights less than twenty do, as under a prior.
      shared: which parameters the inner loop leaves unchanged, by path; by default the tables of ids (see
        `models.recommender`).
      optimiser: the inner optimiser for a learning rate (see `inner_loop.descend`).
      checkpoint: trade time for memory in a long inner loop (see `inner_loop.descend`).
    """

    def init(key: Array, episode: Episode) -> Params:
        return net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Examples) -> Fast:
        """Also `update`: the inner steps on the newest examples alone, from the weights that earlier ones led to."""
        loop = {"optimiser": optimiser(lr), "steps": steps, "first_order": first_order, "checkpoint": checkpoint}
        return fit_support(net, objective, params, support, shared=shared, prior_count=prior_count, **loop)[0]

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    on_weights = query_loss(adapt, predict, objective)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        few = optimiser is optax.sgd and 0 < steps <= low_rank.MAX_STEPS and not checkpoint
        layers = low_rank.moved_layers(net, params, episode.support.x, shared) if few else None
        if layers is None:
            return on_weights(params, episode, key, step)
        rule = {"lr": lr, "steps": steps, "first_order": first_order, "prior_count": prior_count}
        moved = low_rank.descend(net, objective, params, episode.support, layers, **rule)
        return objective(low_rank.predict(net, moved, episode.query.x), episode.query)

    return Learner(init, adapt, predict, loss, update=adapt)
