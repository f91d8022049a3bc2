"""Few-shot classification of pictures and texts as benchmarks."""

from metarec_jax.benchmarks.few_shot.base import Classic, FewShotData, Method, Protocol, Shape
from metarec_jax.benchmarks.few_shot.benchmark import few_shot
from metarec_jax.benchmarks.few_shot.images import pictures
from metarec_jax.benchmarks.few_shot.omniglot import omniglot_data
from metarec_jax.benchmarks.few_shot.result import FewShotResult
from metarec_jax.benchmarks.few_shot.text import texts

__all__ = [
    "Classic",
    "FewShotData",
    "FewShotResult",
    "Method",
    "Protocol",
    "Shape",
    "few_shot",
    "omniglot_data",
    "pictures",
    "texts",
]
