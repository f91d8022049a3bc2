"""The types everything else is written in.

One idea carries the code: a task is a mapping, and a learner turns a support set into a mapping.
`adapt(params, support)` returns what was learnt from the support set; `predict(fast, x)` is the mapping.
All functions here are functions of ONE task; `train/` and `eval/` add the task axis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Array = jax.Array
Params = Any  # pytree of arrays: what meta-learning learns, and under the outermost name FIXED what it only reads
Fast = Any  # pytree of arrays: what one task's support set turned into
Metrics = dict[str, Array]  # scalars, for the log


class Inputs(NamedTuple):
    """What is known of a task and its candidates before they are rated: the `x` of a recommendation task.

    With users as tasks a candidate is an item and the context is the user; with items as tasks it is the reverse. The
    context is the task's and has no row axis, so `adapt` sees it without any rating; see `ops.rows.map_rows`.
    """

    id: Array  # [N] int32 index of the candidate
    content: Array  # [N, F] float32 side features of the candidate (F may be 0)
    context: Array  # [G] float32 side features of the task's owner (G may be 0)


class Examples(NamedTuple):
    """Labelled examples of one task, padded to a fixed length."""

    x: Any  # pytree of [N, ...]; `Inputs` in recommendation
    y: Array  # [N, ...]; ratings are in their own units, for example stars
    mask: Array  # [N] float32, 1 real, 0 padding; in `explain.py` a weight: 2 is the example twice


class Scale(NamedTuple):
    """The ends of a rating scale, in rating units. What it makes of ratings is the same for a * ratings + b, a > 0."""

    low: float
    high: float

    @property
    def liked(self) -> float:
        """The least rating of what is liked, three quarters up: 4 for 1..5, 7.5 for 0..10.

        Less a millionth of the scale, so that a float32 level three quarters up is at it or above it on any scale.
        """
        return self.low + (0.75 - 1e-6) * (self.high - self.low)

    def stars(self, rating: Array) -> Array:
        """Ratings moved to the scale from 1 to 5; those of a scale from 1 to 5 stay exactly what they are."""
        return 1.0 + 4.0 * (rating - self.low) / (self.high - self.low)


class Episode(NamedTuple):
    """One task. A task batch is an Episode with a leading [T] on every leaf."""

    support: Examples
    query: Examples


class Learner(NamedTuple):
    """A meta-learning algorithm as pure functions of one task.

    `loss` is what `jax.grad` sees. Its last argument is the number of the training step, for losses that change as
    training goes on; without it the loss is the first step's.
    """

    init: Callable[[Array, Episode], Params]
    adapt: Callable[[Params, Examples], Fast]
    predict: Callable[[Fast, Any], Array]  # (fast, x of [N, ...]) -> [N, ...]
    loss: Callable[..., tuple[Array, Metrics]]  # (params, episode, key, step=0) -> (scalar, metrics)
    variance: Callable[[Fast, Any], Array] | None = None  # (fast, x) -> [N] variance of y given x, noise included
    update: Callable[[Fast, Examples], Fast] | None = None  # fast of all examples so far, from fast and new ones
    forget: Callable[[Fast, Array], Fast] | None = None  # (fast, fraction kept in 0..1) -> fast as if time had passed
    output: str = "rating"  # or "score", whose order alone means something, or "class": scores of classes [N, C]


class Baseline(NamedTuple):
    """A classical method: fitted once on the training ratings, then the same two functions as a learner.

    `output` is "rating" when predictions are in rating units, "score" when only their order means anything (RMSE and
    MAE of a score are undefined and reported so), and "class" when they are scores of classes [N, C]. `update` and
    `forget` are a learner's.
    """

    fit: Callable[..., Params]  # (train: data.table.Ratings or data.classes.Classes, **settings) -> params
    adapt: Callable[[Params, Examples], Fast]
    predict: Callable[[Fast, Any], Array]
    output: str = "rating"
    update: Callable[[Fast, Examples], Fast] | None = None
    forget: Callable[[Fast, Array], Fast] | None = None


class Tasks(NamedTuple):
    """A task distribution that lives on the device, or is sent to it (`Streamed`).

    `data` is passed as an ARGUMENT through jit, never closed over: XLA would fold it as a constant.
    """

    data: Any
    sample: Callable[[Any, Array], Episode]  # (data, key) -> one task


class Streamed(NamedTuple):
    """Data of tasks that a host makes, for some training steps at a time: see `train/prefetch.py`."""

    shared: Any  # pytree of arrays that stay on the device
    tasks: Any  # pytree of [length, batch, ...], what each step's tasks were made of; in `Tasks.data` of one task


class TrainState(NamedTuple):
    """What the next training step needs. It holds no key: step keys are fold_in(root, step), so a resume is exact."""

    step: Array  # [] int32
    params: Params
    opt_state: Any
