"""Classical competitors: name -> (Baseline, the settings of `fit` that validation tasks choose among)."""

from typing import Any

from metarec_jax.baselines import bias, means
from metarec_jax.types import Baseline

BASELINES: dict[str, tuple[Baseline, list[dict[str, Any]]]] = {
    "constant": (means.CONSTANT, [{}]),
    "user_mean": (means.USER_MEAN, [{"shrink": shrink} for shrink in (0.0, 2.0, 5.0)]),
    "item_mean": (means.ITEM_MEAN, [{"shrink": shrink} for shrink in (2.0, 5.0, 10.0)]),
    "popularity": (means.POPULARITY, [{}]),
    "bias": (bias.BIAS, [{"reg_user": u, "reg_item": i} for u in (2.0, 5.0) for i in (2.0, 5.0, 10.0)]),
}
