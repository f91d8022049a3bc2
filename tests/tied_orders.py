"""Metrics by brute force: the mean over every order in which tied predictions may stand."""

import itertools

import numpy as np


def mean_over_tie_breaks(prediction, rating, value) -> float:
    """Mean of `value(ratings in ranked order)` over all orders in which the predictions do not increase."""
    orders = [
        order
        for order in itertools.permutations(range(len(prediction)))
        if all(prediction[i] >= prediction[j] for i, j in itertools.pairwise(order))
    ]
    return np.mean([value([rating[i] for i in order]) for order in orders])


def padded(values, width=6, filler=0.0) -> np.ndarray:
    """One width for all examples, so that jit-free jax compiles each operation once."""
    return np.array(list(values) + [filler] * (width - len(values)), np.float32)
