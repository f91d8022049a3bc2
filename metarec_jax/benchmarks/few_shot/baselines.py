"""The baselines of few-shot classification, each with the settings that validation episodes choose among."""

import itertools
from functools import partial

from metarec_jax.baselines.few_shot import Read, logistic_regression, nearest_mean, nearest_neighbour, refined_mean
from metarec_jax.benchmarks.few_shot.base import Classic
from metarec_jax.recipes.base import Recipe
from metarec_jax.types import Baseline

PENALTIES = (0.01, 0.1, 1.0, 10.0)
SHARPNESS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of a softmax over squared distances


def on_features(read: Read) -> dict[str, Recipe]:
    """Name -> recipe of a baseline.

    Args:
      read: what turns the x of an episode into features.
    """
    plain = [{"centred": c, "unit_length": u} for c, u in itertools.product((False, True), repeat=2)]
    penalised = [settings | {"penalty": penalty} for settings in plain for penalty in PENALTIES]
    # Distances between points are the same about any centre: it matters to lengths alone.
    sharp = [
        settings | {"sharpness": sharpness, "balance": balance}
        for settings in ({}, {"unit_length": True}, {"centred": True, "unit_length": True})
        for sharpness in SHARPNESS
        for balance in (0.0, 1.0, 3.0, 5.0)
    ]
    rules = {
        "nearest mean": (nearest_mean, plain),
        "nearest neighbour": (nearest_neighbour, plain),
        "logistic regression": (logistic_regression, penalised),
        "refined mean": (refined_mean, sharp),
    }
    return {
        name: Recipe(
            Classic(partial(_with_ways, rule, read)),
            None,
            "baseline",
            {},
            grid=tuple(grid),
            output="class",
            transductive=rule is refined_mean,
            name=name,
        )
        for name, (rule, grid) in rules.items()
    }


def _with_ways(rule, read: Read, ways: int) -> Baseline:
    return rule(read, ways=ways)
