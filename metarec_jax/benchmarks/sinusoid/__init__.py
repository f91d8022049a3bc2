"""Sinusoid regression as a benchmark."""

from metarec_jax.benchmarks.sinusoid.base import sinusoid
from metarec_jax.benchmarks.sinusoid.recipes import RECIPES
from metarec_jax.benchmarks.sinusoid.result import TRAINING_QUERY, SinusoidResult

__all__ = ["RECIPES", "TRAINING_QUERY", "SinusoidResult", "sinusoid"]
