"""The owner's own bias on top of what is expected before any rating: a shrunk mean of the support's residuals."""

from collections.abc import Callable

from metarec_jax.ops.means import folded_mean
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def with_owner_bias(fit: Callable[..., Params], before_ratings: Callable[[Params, Inputs], Array]) -> Baseline:
    """The method whose predictions are `before_ratings` plus one number that the support teaches.

    Args:
      fit: training ratings -> parameters, with reg_owner [], the pseudo-ratings of the bias, among them.
      before_ratings: (parameters, x of [N, ...]) -> [N] expected ratings of an owner whom nobody has rated.
    """

    def adapt(params: Params, support: Examples) -> Fast:
        residual = support.y - before_ratings(params, support.x)
        return {**params, "owner": folded_mean(residual, support.mask, params["reg_owner"])}

    def predict(fast: Fast, x: Inputs) -> Array:
        return before_ratings(fast, x) + fast["owner"]

    return Baseline(fit, adapt, predict)
