"""What learners of a task's taste start from: the fits to a training table, and the fits without each fold of users."""

from typing import NamedTuple

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.priors import choice, gp
from metarec_jax.priors.folds import tables_without
from metarec_jax.types import Params


class Fits(NamedTuple):
    """Fits to one table."""

    process: Params  # `gp.fit`
    choice: np.ndarray  # [I, width] `choice.choice_vectors`
    item_noise: np.ndarray  # [I] `gp.item_noise`


def fitted(train: Ratings, **process: float) -> Fits:
    """The fits to all users; `process`: settings of `gp.fit`."""
    return Fits(gp.fitted_gp(train, **process), choice.fitted_choice_vectors(train), gp.fitted_noise(train, **process))


def cross_fitted(train: Ratings, **process: float) -> list[Fits]:
    """The fits without each fold of users (`folds.user_folds`), turned to the axes of the fits to all."""
    whole, counts = fitted(train, **process), np.bincount(train.item, minlength=train.num_items)
    apart = [fitted(table, **process) for table in tables_without(train)]
    return [
        Fits(
            gp.rotated(own.process, whole.process, counts),
            choice.rotated(own.choice, whole.choice, counts),
            own.item_noise,
        )
        for own in apart
    ]
