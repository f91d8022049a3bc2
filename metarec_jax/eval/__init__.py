"""Methods on held-out tasks: predictions, metrics, intervals, comparisons."""

from metarec_jax.eval.compare import Scores, result_rows
from metarec_jax.eval.metrics import RANKING, RATING, REGISTRY, Metric, by_name, per_task
from metarec_jax.eval.predict import PredictionError, fixed_tasks, predict_tasks
from metarec_jax.eval.ranking import rank_catalogue

__all__ = [
    "Metric",
    "PredictionError",
    "RANKING",
    "RATING",
    "REGISTRY",
    "Scores",
    "by_name",
    "fixed_tasks",
    "per_task",
    "predict_tasks",
    "rank_catalogue",
    "result_rows",
]
