"""Rows without a number, which no metric can count."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from metarec_jax.types import Array


def refuse_nan(metric: Callable[..., Array]) -> Callable[..., Array]:
    """The metric, which refuses a real row with a NaN: a ValueError, or where it is compiled a value of NaN."""

    @functools.wraps(metric)
    def refusing(prediction: Array, rating: Array, mask: Array, *settings: Any) -> Array:
        broken = jnp.any(broken_rows(*map(jnp.asarray, (prediction, rating, mask))))
        if not isinstance(broken, Tracer) and broken:
            raise ValueError("a prediction or a rating is NaN, which no metric can count.")
        return jnp.where(broken, jnp.nan, metric(prediction, rating, mask, *settings))

    return refusing


def broken_rows(prediction: Any, rating: Any, mask: Any) -> Any:
    """[..., Q] whether a real row has a NaN; the predictions may be outputs [..., Q, C]. Of numpy or of jax arrays."""
    no_number = prediction != prediction
    no_number = no_number.any(-1) if prediction.ndim > rating.ndim else no_number
    return (no_number | (rating != rating)) & (mask > 0)
