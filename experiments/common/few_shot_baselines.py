"""The baselines of every few-shot experiment, each with the settings that it is tried at on validation episodes."""

import itertools
from functools import partial

from experiments.common.few_shot import Classic
from metarec_jax.baselines.few_shot import Read, logistic_regression, nearest_mean, nearest_neighbour

PENALTIES = (0.01, 0.1, 1.0, 10.0)


def on_features(read: Read) -> dict[str, Classic]:
    """Name -> baseline and its settings.

    Args:
      read: what turns the x of an episode into features.
    """
    plain = [{"centred": c, "unit_length": u} for c, u in itertools.product((False, True), repeat=2)]
    penalised = [settings | {"penalty": penalty} for settings in plain for penalty in PENALTIES]
    return {
        "nearest mean": Classic(partial(_of, nearest_mean, read), plain),
        "nearest neighbour": Classic(partial(_of, nearest_neighbour, read), plain),
        "logistic regression": Classic(partial(_of, logistic_regression, read), penalised),
    }


def _of(rule, read: Read, ways: int):
    return rule(read, ways=ways)
