"""MAML whose initial weights and inner rates are functions of the task's context: the common part of `paml` and `mamo`.

A small network turns the context into a code c [S]; `paml` and `mamo` differ in this network. Then
theta(c) = theta + sum_s c_s B_s,    rate(c) = lr exp(r . (1, c)),    phi = theta(c) - sum over steps of rate(c) grad L,
with a bank B of S offsets for every personal array and S + 1 numbers r for every array that the inner loop moves. B and
r start at 0, which is MAML exactly. All of it is learnt by the exact meta-gradient, so an outer step on slot s of the
bank is c_s times the gradient of the personal initial weights.

The context is the task's own, so an empty support has one too: at K = 0 the prediction is that of theta(c).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from metarec_jax.learners.gradient.inner_loop import fit_support
from metarec_jax.learners.gradient.meta_sgd import with_rates
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.params import Free, Path, is_id_table, split_free
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def no_conditioning(free: Free, personal: Callable[[Path], bool], size: int) -> Params:
    """Offsets [size, ...] of the personal arrays of the `free` weights, and logarithms of rates [1 + size] of all of
    them: zeros, with which a code of that size changes nothing.

    Raises:
      ValueError: none of the weights is personal.
    """
    offsets = {path: jnp.zeros((size, *leaf.shape), leaf.dtype) for path, leaf in free.items() if personal(path)}
    if not offsets:
        raise ValueError("the inner loop moves no parameter that is `personal`.")
    log_rates = {path: jnp.zeros(1 + size, leaf.dtype) for path, leaf in free.items()}
    return {"offsets": traverse_util.unflatten_dict(offsets), "log_rates": traverse_util.unflatten_dict(log_rates)}


def feature_conditioned(
    net: nn.Module,
    objective: Objective,
    code: nn.Module,
    *,
    personal: Callable[[Path], bool],
    lr: float,
    steps: int = 1,
    prior_count: float = 0.0,
    shared: Callable[[Path], bool] = is_id_table,
) -> Learner:
    """MAML that is conditioned on the features of the task's owner.

    Args:
      net: Flax module from `Inputs` of N rows to outputs [N, ...].
      objective: masked loss of both loops.
      code: Flax module from a context [G] to a code [S].
      personal: which of the parameters that the inner loop moves have initial values that depend on the context, by
        path.
      lr: initial value of all rates.
      steps, prior_count, shared: as in `maml` (see there).

    Raises (from init):
      ValueError: `personal` selects none of the parameters that the inner loop moves.
    """

    def init(key: Array, episode: Episode) -> Params:
        net_key, code_key = jax.random.split(key)
        x = episode.support.x
        weights = net.init(net_key, x)["params"]
        example, variables = code.init_with_output(code_key, jnp.zeros(x.context.shape[-1]))
        conditioning = no_conditioning(split_free(weights, shared).free, personal, len(example))
        return {"net": weights, "code": variables.get("params", {}), **conditioning}

    def start(params: Params, context: Array) -> tuple[Params, Free]:
        """The network's initial weights for a context [G], and the rates of the arrays that the inner loop moves."""
        entries = code.apply({"params": params["code"]}, context)
        with_constant = jnp.concatenate([jnp.ones(1, entries.dtype), entries])
        weights, banks, rows = (traverse_util.flatten_dict(params[part]) for part in ("net", "offsets", "log_rates"))
        own = {path: weights[path] + jnp.tensordot(entries, bank, 1) for path, bank in banks.items()}
        rates = {path: lr * jnp.exp(row @ with_constant) for path, row in rows.items()}
        return traverse_util.unflatten_dict(weights | own), rates

    def adapt(params: Params, support: Examples) -> Fast:
        own, rates = start(params, support.x.context)
        loop = {"shared": shared, "prior_count": prior_count, "optimiser": with_rates(rates), "steps": steps}
        return fit_support(net, objective, own, support, **loop)[0]

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
