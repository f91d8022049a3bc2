"""Few-shot classification: what is compared on a data set's classes, and how methods are scored.

What an experiment brings is a `World`; pictures and texts differ in nothing else.
"""

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common.workdir import WorkdirError
from metarec_jax.data.classes import Classes
from metarec_jax.eval.predict import accuracies, raw_predictions
from metarec_jax.ops.files import write_atomic
from metarec_jax.report import few_shot
from metarec_jax.tasks.n_way import n_way
from metarec_jax.train.config import Config
from metarec_jax.types import Baseline, Episode, Learner, Params, Tasks

TEST_STREAM, VALIDATION_STREAM = 1, 2  # of keys
EXAMPLES, SHOWN = 2, 3  # test episodes that the page shows, and queries of each class


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


def as_tested(shape: Shape) -> Shape:
    """Training on episodes of the shape of the test's."""
    return shape


class Method(NamedTuple):
    """A learner and how it is trained."""

    build: Callable[[int], Learner]  # number of ways -> learner
    training: Config  # patience is not used: training goes to its end
    trained: Callable[[Shape], Shape] = as_tested  # shape of the test episodes -> of those of training
    chunk: int = 50  # steps between two validations where the time is given and not the steps
    transductive: bool = False  # whether a query's prediction depends on the other queries
    note: str = ""  # what to know of its figures
    prepare: Callable[[Params], Params] | None = None  # for use: what is computed anew whenever the parameters changed
    microbatch: int | None = None  # see `gradients.task_batch_gradient`


class Classic(NamedTuple):
    """A baseline and the settings of its `fit` that it is tried at on the validation episodes."""

    build: Callable[[int], Baseline]  # number of ways -> baseline
    settings: list[dict[str, Any]]
    transductive: bool = False  # as of `Method`


@functools.cache
def learner_of(build: Callable[[int], Learner], ways: int) -> Learner:
    """The same object again for the same arguments, so that nothing is compiled twice."""
    return build(ways)


class World(NamedTuple):
    """A data set with the methods that are compared on it."""

    classes: Classes  # what training, validation and test episodes are drawn from, as `parts` say
    methods: dict[str, Method]
    baselines: dict[str, Classic]
    texts: list[str] | None = None  # [N] of the rows of `classes`; None: they are pictures
    rotations: bool = False  # quarter turns are classes of their own, in all parts
    mirrored: bool = False  # mirror images are classes of their own, in training
    changed: Callable[[Tasks], Tasks] | None = None  # what is done to the episodes of training
    validation: int = 200  # episodes
    last: bool = False  # whether the last parameters count, and not those of the best validation accuracy
    validation_query: int = 5  # of each class at most: training waits for it
    batch: int = 16  # held-out episodes worked on at a time


class Setting(NamedTuple):
    """The held-out episodes of one shape."""

    shape: Shape
    valid: Tasks
    test: Tasks
    seed: int
    episodes: int  # test episodes

    def key(self, stream: int) -> jax.Array:
        """Of validation or test episodes; every shape has its own."""
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), stream), self.shape.ways)

    def examples(self) -> Episode:
        """The first test episodes, on the device."""
        keys = jax.random.split(self.key(TEST_STREAM), self.episodes)[:EXAMPLES]
        return jax.jit(jax.vmap(self.test.sample, in_axes=(None, 0)))(self.test.data, keys)


class Outcome(NamedTuple):
    """What a method did on the test episodes of one shape."""

    accuracy: np.ndarray  # [T]
    examples: list[list[int]]  # [EXAMPLES][Q] classes predicted
    settings: dict[str, Any]
    validation: float  # accuracy on the validation episodes
    seconds: float  # of training, or of choosing settings


def make_setting(world: World, shape: Shape, seed: int, episodes: int) -> Setting:
    """The validation and test episodes of a seed."""
    watched = shape._replace(query=min(shape.query, world.validation_query))
    parts = [
        n_way(world.classes, part, **own._asdict(), rotations=world.rotations)
        for part, own in (("valid", watched), ("test", shape))
    ]
    return Setting(shape, *parts, seed, episodes)


def score(
    name: str, method: Learner | Baseline, params: Params, setting: Setting, world: World, part: str = "test"
) -> np.ndarray:
    """[T] accuracies on the test episodes, or on the `valid` ones."""
    if part == "valid":
        key, number = setting.key(VALIDATION_STREAM), world.validation
        return accuracies(name, method, params, setting.valid, key, number, batch=world.batch)
    key = setting.key(TEST_STREAM)
    return accuracies(name, method, params, setting.test, key, setting.episodes, batch=world.batch)


def run_baseline(name: str, world: World, setting: Setting, folder: Path) -> Outcome:
    """The settings with the highest accuracy on the validation episodes, on the test episodes."""

    def run() -> Outcome:
        begun = time.perf_counter()
        method = world.baselines[name].build(setting.shape.ways)
        tried = []
        for settings in world.baselines[name].settings:
            params = method.fit(world.classes, **settings)
            tried.append((float(score(name, method, params, setting, world, "valid").mean()), settings, params))
        value, settings, params = max(tried, key=lambda one: one[0])
        return make_outcome(name, method, params, setting, world, settings, value, begun)

    return once(folder / f"{name}_{setting.shape.label}.json", run)


def make_outcome(
    name: str,
    method: Learner | Baseline,
    params: Params,
    setting: Setting,
    world: World,
    settings: dict[str, Any],
    value: float,
    begun: float,
) -> Outcome:
    """The outcome of a method on the test episodes; `value` is of the validation ones."""
    accuracy = score(name, method, params, setting, world)
    guesses = raw_predictions(method, params, setting.examples()).argmax(-1)
    return Outcome(accuracy, guesses.tolist(), settings, value, time.perf_counter() - begun)


def once(path: Path, run: Callable[[], Outcome]) -> Outcome:
    """What an earlier run left in a file, else what `run` finds."""
    if path.exists():
        try:
            stored = json.loads(path.read_text())
            return Outcome(**stored | {"accuracy": np.array(stored["accuracy"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise WorkdirError(f"{path} is damaged; delete it to run the method again.") from error
    found = run()
    write_atomic(path, json.dumps(found._asdict() | {"accuracy": found.accuracy.tolist()}).encode())
    return found


def example_episodes(world: World, setting: Setting, found: dict[str, Outcome]) -> list[dict[str, Any]]:
    """The first test episodes for the page: what is known of each class, what is asked, and what each method says."""
    shown = setting.examples()
    support, query = (_items(world, setting, at, shown) for at in ("support", "query"))
    ways, truth = setting.shape.ways, np.asarray(shown.query.y)
    episodes = []
    for number in range(len(truth)):
        known = np.asarray(shown.support.y[number])
        episodes.append(
            {
                "shape": str(setting.shape),
                "support": [[support[number][i] for i in np.flatnonzero(known == way)] for way in range(ways)],
                "query": [
                    {
                        "item": query[number][i],
                        "truth": int(truth[number, i]),
                        "predictions": {name: outcome.examples[number][i] for name, outcome in found.items()},
                    }
                    for way in range(ways)
                    for i in np.flatnonzero(truth[number] == way)[:SHOWN]
                ],
            }
        )
    return episodes


def _items(world: World, setting: Setting, at: str, shown: Episode) -> list[list[str]]:
    """What the page shows of the examples of each episode: the base64 of a PNG, or a text."""
    if world.texts is None:
        pictures = np.asarray(getattr(shown, at).x)[..., 0]
        return [[few_shot.picture(one) for one in several] for several in pictures]
    numbered = world.classes._replace(x=np.arange(world.classes.offsets[-1], dtype=np.int32))
    same = setting._replace(test=n_way(numbered, "test", **setting.shape._asdict()))
    rows = np.asarray(getattr(same.examples(), at).x)
    return [[world.texts[row] for row in several] for several in rows]
