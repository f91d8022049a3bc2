"""The baselines of every few-shot experiment, each with the settings that it is tried at on validation episodes."""

import itertools
from functools import partial

from experiments.common.few_shot import Classic
from metarec_jax.baselines.few_shot import Read, logistic_regression, nearest_mean, nearest_neighbour, refined_mean

PENALTIES = (0.01, 0.1, 1.0, 10.0)
SHARPNESS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of a softmax over squared distances


def on_features(read: Read) -> dict[str, Classic]:
    """Name -> baseline and its settings.

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
    return {
        "nearest mean": Classic(partial(_of, nearest_mean, read), plain),
        "nearest neighbour": Classic(partial(_of, nearest_neighbour, read), plain),
        "logistic regression": Classic(partial(_of, logistic_regression, read), penalised),
        "refined mean": Classic(partial(_of, refined_mean, read), sharp, transductive=True),
    }


def _of(rule, read: Read, ways: int):
    return rule(read, ways=ways)
