"""Protocols that are measured, and the driver: `run(user_cold_start(), data.load("ml-100k"), [recipes.maml()])`."""

from metarec_jax.benchmarks import few_shot, sinusoid
from metarec_jax.benchmarks.base import Answers, Benchmark, Fold, HeldOut, Trained
from metarec_jax.benchmarks.catalogue import catalogue_ranking
from metarec_jax.benchmarks.content_ablation import content_ablation
from metarec_jax.benchmarks.driver import run
from metarec_jax.benchmarks.interview import interview
from metarec_jax.benchmarks.melu import melu_partitions
from metarec_jax.benchmarks.online import online
from metarec_jax.benchmarks.ratings import both_cold_start, item_cold_start, item_warm_up, user_cold_start
from metarec_jax.benchmarks.reasons import reasons
from metarec_jax.benchmarks.result import Result

__all__ = [
    "Answers",
    "Benchmark",
    "Fold",
    "HeldOut",
    "Result",
    "Trained",
    "both_cold_start",
    "catalogue_ranking",
    "content_ablation",
    "few_shot",
    "interview",
    "item_cold_start",
    "item_warm_up",
    "melu_partitions",
    "online",
    "reasons",
    "run",
    "sinusoid",
    "user_cold_start",
]
