"""Few-shot classification: the held-out episodes of every shape, and how methods are scored on them.

A method is a recipe whose builder is a `Method` or a `Classic`; pictures and texts differ in nothing else. A seed has a
fold for every shape of the test episodes, and shapes may share a training.
"""

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from metarec_jax.benchmarks.base import Answers, Fold, HeldOut, Trained
from metarec_jax.benchmarks.base import Method as Trainable
from metarec_jax.data.classes import Classes
from metarec_jax.eval.grid_search import Shots
from metarec_jax.eval.metrics import Metric
from metarec_jax.eval.predict import Classified, classify
from metarec_jax.recipes.base import Built
from metarec_jax.tasks.n_way import n_way
from metarec_jax.types import Array, Baseline, Episode, Learner, Params, Tasks

TEST_STREAM, VALIDATION_STREAM = 1, 2  # of keys
OFFICIAL = "official runs"  # in the place of the shape, see `FewShotData.official`


class Shape(NamedTuple):
    """What an episode is like."""

    ways: int
    shots: int
    query: int  # of each class

    def __str__(self) -> str:
        return f"{self.ways}-way {self.shots}-shot"

    @property
    def label(self) -> str:
        """In the log and on the disk."""
        return f"{self.ways}_way_{self.shots}_shot"


@dataclasses.dataclass(frozen=True, eq=False)
class FewShotData:
    """A data set, with what is made of it once."""

    classes: Classes  # training, validation and test episodes are drawn from its parts
    texts: list[str] | None = None  # [N] of the rows of `classes`; None: they are pictures
    official: Episode | None = None  # fixed test episodes beside the sampled ones, [R] leading; all of one shape
    _made: dict[Hashable, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def once(self, make: Callable[..., Any], *arguments: Hashable) -> Any:
        """make(self, *arguments); the same object again for the same arguments, so that nothing is compiled twice."""
        key = (make, *arguments)
        if key not in self._made:
            self._made[key] = make(self, *arguments)
        return self._made[key]


def as_tested(shape: Shape, data: FewShotData) -> Shape:
    """Training on episodes of the shape of the test's."""
    del data
    return shape


class Method(NamedTuple):
    """The builder of a learner's recipe, and what else there is to know of its training. It is trained to the end, so
    that `patience` is not used."""

    build: Callable[[FewShotData, int], Learner]  # (data, number of ways) -> learner
    trained: Callable[[Shape, FewShotData], Shape] = as_tested  # shape of the test -> of the training episodes
    length: int = 50  # steps between two validations, at most
    note: str = ""  # what to know of its figures
    # data -> parameters -> the same ready for use: with what is computed anew whenever they have changed.
    prepare: Callable[[FewShotData], Callable[[Params], Params]] | None = None
    singly: bool = False  # whether a CPU works on the tasks of a step one after the other: convolutions are fastest so

    def __call__(self, data: FewShotData, ways: int) -> Built:
        return Built(self.build(data, ways)._replace(output="class"))


class Classic(NamedTuple):
    """The builder of a baseline's recipe."""

    build: Callable[[int], Baseline]  # number of ways -> baseline

    def __call__(self, data: FewShotData, ways: int) -> Built:
        del data
        return Built(self.build(ways))


class Protocol(NamedTuple):
    """What is the same for all methods."""

    shapes: tuple[Shape, ...]  # of the test episodes
    episodes: int = 600  # test episodes
    validation: int = 200  # validation episodes
    validation_query: int = 5  # of each class at most: training waits for it
    batch: int = 16  # held-out episodes worked on at a time
    rotations: bool = False  # quarter turns are classes of their own, in all parts
    mirrored: bool = False  # mirror images are classes of their own, in training
    augment: Callable[[Tasks], Tasks] | None = None  # what is done to the episodes of training
    keep_last: bool = False  # whether the last parameters count, and not those of the best validation accuracy
    minutes: float | None = None  # of training, instead of the recipes' steps


class Episodes(NamedTuple):
    """Held-out episodes, which are drawn as they are needed."""

    tasks: Tasks
    keys: Array  # [T]
    batch: int  # worked on at a time

    def first(self, number: int) -> Episode:
        """The first ones, [number] leading on every leaf."""
        return jax.jit(jax.vmap(self.tasks.sample, in_axes=(None, 0)))(self.tasks.data, self.keys[:number])


@dataclasses.dataclass(frozen=True, kw_only=True)
class FewShotFold(Fold):
    """The episodes of a seed and a shape."""

    data: FewShotData
    shape: Shape
    protocol: Protocol

    def episodes(self, part: str, shots: int | None = None) -> Episodes:
        """The "test" episodes; or the "valid" ones, with as many `shots` as those of training."""
        shape, protocol = self.shape, self.protocol
        number, stream = protocol.episodes, TEST_STREAM
        if part == "valid":
            query = min(shape.query, protocol.validation_query)
            shape = Shape(shape.ways, shape.shots if shots is None else shots, query)
            number, stream = protocol.validation, VALIDATION_STREAM
        tasks = self.data.once(episodes_of, part, shape, protocol.rotations)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), stream), shape.ways)
        return Episodes(tasks, jax.random.split(key, number), protocol.batch)


def episodes_of(
    data: FewShotData,
    part: str,
    shape: Shape,
    rotations: bool,
    mirrored: bool = False,
    augment: Callable[[Tasks], Tasks] | None = None,
) -> Tasks:
    """Episodes of one part. Fields of `Protocol` are explained there."""
    tasks = n_way(data.classes, part, **shape._asdict(), rotations=rotations, mirrored=mirrored)
    return tasks if augment is None else augment(tasks)


def make_fold(data: FewShotData, protocol: Protocol, shape: Shape, seed: int) -> FewShotFold:
    """The fold of a shape."""

    def tasks(shape: Shape) -> Tasks:
        return data.once(episodes_of, "train", shape, protocol.rotations, protocol.mirrored, protocol.augment)

    def held_out(part: str) -> dict[Shots, HeldOut]:
        episodes = fold.episodes(part)
        number = len(episodes.keys)
        return {str(shape): HeldOut(episodes, seed * number + np.arange(number))}

    fold = FewShotFold(
        seed,
        {"train": data.classes},
        tasks,
        held_out,
        f"seed_{seed}",
        check=lambda: (held_out("valid"), held_out("test")),
        suffix=f"_{shape.label}",
        data=data,
        shape=shape,
        protocol=protocol,
    )
    return fold


def classified(name: str, method: Trainable, params: Params, episodes: Episodes) -> Classified:
    """A method on held-out episodes."""
    return classify(name, method, params, episodes.tasks, episodes.keys, batch=episodes.batch)


def measure(
    name: str, method: Trainable, params: Params, held_out: HeldOut, wanted: tuple[Metric, ...]
) -> dict[str, np.ndarray]:
    """ "accuracy" -> [T]."""
    del wanted
    return {"accuracy": classified(name, method, params, held_out.tasks).accuracy}


def answer(name: str, trained: Trained, fold: Fold, shots: list[Shots]) -> dict[Shots, Answers]:
    """What a method says of the test episodes, and of the official ones where they have the fold's shape."""
    fold = cast(FewShotFold, fold)
    episodes = {k: fold.held_out("test")[k].tasks for k in shots}
    official = fold.data.official
    if official is not None and official_shape(official) == (fold.shape.ways, fold.shape.shots):
        numbers = jnp.arange(len(official.query.y))
        episodes[OFFICIAL] = Episodes(Tasks(official, episode_at), numbers, fold.protocol.batch)
    return {k: _answers(name, trained, own, fold.seed) for k, own in episodes.items()}


def _answers(name: str, trained: Trained, episodes: Episodes, seed: int) -> Answers:
    result = classified(name, trained.method, trained.params, episodes)
    number, queries = result.predicted.shape
    users = seed * number + np.arange(number)
    rows = pl.DataFrame(
        {
            "task": np.repeat(np.arange(number, dtype=np.int32), queries),
            "user": np.repeat(users, queries),
            "item": np.tile(np.arange(queries), number),  # place in the query
            "target": result.target.ravel().astype(np.float32),
            "prediction": result.predicted.ravel().astype(np.float32),
        }
    )
    return Answers({"accuracy": result.accuracy}, users, rows)


def episode_at(episodes: Episode, number: Array | np.ndarray) -> Episode:
    """The episode of a number, or those of several."""
    return jax.tree.map(lambda leaf: leaf[number], episodes)


def official_shape(episodes: Episode) -> tuple[int, int]:
    """Ways and shots of fixed episodes."""
    ways = int(jnp.max(episodes.support.y)) + 1
    return ways, episodes.support.y.shape[1] // ways
