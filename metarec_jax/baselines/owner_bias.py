"""The owner's bias on top of a prediction without ratings: a shrunk mean of the support's residuals."""

from collections.abc import Callable

from metarec_jax.ops.means import folded_mean
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def with_owner_bias(fit: Callable[..., Params], before_ratings: Callable[[Params, Inputs], Array]) -> Baseline:
    """The method whose predictions are `before_ratings` plus the owner's bias, fitted to the support.

    Args:
      fit: training ratings -> parameters, which include reg_owner [], the pseudo-ratings of the bias.
      before_ratings: (parameters, x of [N, ...]) -> [N] expected ratings of an owner without ratings.
    """

    def adapt(params: Params, support: Examples) -> Fast:
        residual = support.y - before_ratings(params, support.x)
        return {**params, "owner": folded_mean(residual, support.mask, params["reg_owner"])}

    def predict(fast: Fast, x: Inputs) -> Array:
        return before_ratings(fast, x) + fast["owner"]

    return Baseline(fit, adapt, predict)
