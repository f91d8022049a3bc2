"""Published figures on sinusoids, and what becomes of them here.

Figures are quoted only where they could be looked up. The MAML paper's curves have no numbers: they are read off, which
is good to about 0.1. Meta-SGD's paper has a table of numbers, but draws the frequency of the wave too, a harder family.
"""

from typing import Any, NamedTuple

import numpy as np

from metarec_jax.eval import intervals


class Published(NamedTuple):
    """A mean squared error of somebody else's."""

    name: str
    shots: int
    steps: int
    value: float
    half: float | None  # half the published 95% interval, or how well a curve can be read off
    source: str
    note: str  # what is different there


READ_OFF = "read off a curve, and so good to about 0.1"
ONE_MODEL = f"{READ_OFF}; a model that was trained at K = 10"
HARDER = "frequencies vary too, a harder family"
EASIER = "easier here"  # the verdict on such a figure
SIX = "MAML paper, figure 6"
TABLE = "Meta-SGD paper, regression table"
STUDENTS = "Zigolox/Meta-Learning-OptML-Project (JAX), README"
STUDENT = "same family, by students; trained and tested with one step"
FIGURES = (
    Published("maml", 5, 1, 0.7, 0.1, SIX, ONE_MODEL),
    Published("maml", 5, 5, 0.35, 0.1, SIX, ONE_MODEL),
    Published("maml", 10, 1, 0.4, 0.1, SIX, READ_OFF),
    Published("maml", 10, 5, 0.2, 0.1, SIX, READ_OFF),
    Published("maml", 5, 1, 1.13, 0.18, TABLE, HARDER),
    Published("maml", 10, 1, 0.85, 0.14, TABLE, f"{HARDER}; trained at K = 5"),
    Published("meta_sgd", 5, 1, 0.90, 0.16, TABLE, HARDER),
    Published("meta_sgd", 10, 1, 0.63, 0.12, TABLE, f"{HARDER}; trained at K = 5"),
    Published("maml", 5, 1, 0.72, None, STUDENTS, STUDENT),
    Published("fomaml", 5, 1, 0.81, None, STUDENTS, STUDENT),
    Published("meta_sgd", 5, 1, 0.46, None, STUDENTS, STUDENT),
    Published("reptile", 5, 1, 1.3, None, STUDENTS, STUDENT),
)
WITHOUT = {
    "reptile": "the paper (1803.02999) shows fitted curves only",
    "cavia": "the paper (1810.03642) has a table, which could not be looked up",
    "imaml": "the paper (1909.04630) has no sinusoids",
    "anil": "the paper (1909.09157) has no errors on sinusoids",
    "fomaml": "no paper has it on sinusoids",
}

NOTES = {
    "maml": "Trained for one step, as in the paper. An outer rate of 0.004 with a cosine to 0 replaces Adam's constant "
    "0.001; 10,000 steps of it get as far as the paper's curve. The authors' code runs 70,000.",
    "fomaml": "No paper says that MAML is better on sinusoids. On images the MAML paper finds the two nearly equal.",
    "reptile": "Trained for five steps on support and query together, not for what is left after one. Nothing in its "
    "direction keeps a step from running away on a single task: compare medians where an interval is wide.",
    "meta_sgd": "Its rates are learnt for one step, as in the paper; taken again, they run away on some tasks.",
    "cavia": "Five context parameters and an inner rate of 1, as in the authors' code.",
    "imaml": "Its gradient supposes that the inner problem is solved, and ten steps do not solve it; damping biases it "
    "besides. Inner steps are Adam's: with plain gradient descent, training diverged or stood still when tried.",
    "anil": "Trained for five steps: one step of the last layer alone does not go far.",
}


class Order(NamedTuple):
    """Which of two methods is the better one, as somebody says."""

    better: str
    worse: str
    steps: int
    source: str


ORDERS = (
    Order("meta_sgd", "maml", 1, TABLE),
    Order("cavia", "maml", 10, "CAVIA paper, figure 2a"),
    Order("maml", "fomaml", 1, STUDENTS),
    Order("maml", "reptile", 1, STUDENTS),
)


def judge_figures(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every published figure that there is one here for, with ours and a verdict."""
    ours = {(row["name"], row["shots"], row["steps"]): row["mse"] for row in rows}
    judged = []
    for figure in FIGURES:
        mse = ours.get((figure.name, figure.shots, figure.steps))
        if mse:
            judged.append(figure._asdict() | {"ours": mse, "verdict": _verdict(figure, mse)})
    return judged


def _verdict(figure: Published, mse: dict[str, float]) -> str:
    """Reached: ours is no higher. Within the intervals: higher, but the two intervals meet."""
    if HARDER in figure.note:
        return EASIER
    if mse["mean"] <= figure.value:
        return "reached"
    return "within the intervals" if mse["low"] <= figure.value + (figure.half or 0.0) else "not reached"


def judge_orders(errors: dict[tuple[str, int, int], np.ndarray], shots: list[int]) -> list[dict[str, Any]]:
    """Every order whose two methods were run, at every K, by a paired difference: better minus worse.

    Args:
      errors: (method, K, gradient steps) -> [T] mean squared error of each task, infinite where it diverged.
      shots: the values of K.
    """
    judged = []
    for order in ORDERS:
        for k in shots:
            pair = [(name, k, order.steps) for name in (order.better, order.worse)]
            if not all(key in errors for key in pair):
                continue
            difference = paired(errors[pair[0]], errors[pair[1]])
            verdict = "not significant"
            if difference["low"] > 0 or difference["high"] < 0:
                verdict = "holds" if difference["high"] < 0 else "the other way round"
            judged.append(order._asdict() | {"shots": k, "verdict": verdict} | difference)
    return judged


def paired(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """a - b over tasks with its 95% interval; NaN where one of them diverged."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return {"difference": np.nan, "low": np.nan, "high": np.nan}
    estimate = intervals.compare(a, b, np.arange(len(a)), root=False)
    return {"difference": estimate.difference, "low": estimate.low, "high": estimate.high}
