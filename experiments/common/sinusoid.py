"""The methods of the sinusoid experiment: their settings, their training, and what they predict after n steps."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax

from experiments.common.jobs import job_on, make_programs, train
from experiments.common.workdir import Log, WorkdirError
from metarec_jax.eval.predict import fixed_tasks, mean_squared_errors, raw_predictions
from metarec_jax.learners.gradient.anil import anil
from metarec_jax.learners.gradient.cavia import cavia
from metarec_jax.learners.gradient.imaml import imaml
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.meta_sgd import meta_sgd
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.models.mlp import MLP
from metarec_jax.objectives import squared_error
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes.base import Built
from metarec_jax.tasks.sinusoid import sinusoids
from metarec_jax.train.config import Config
from metarec_jax.train.loop import TrainingError
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Episode, Learner, Params

TEST_STEPS = (0, 1, 5, 10)  # gradient steps at test time
QUERY = 100  # evenly spaced points, on validation and test tasks
VALIDATION_TASKS = 200
TRAINING_QUERY = 10
RUN_AWAY = 1e4  # a mean squared error above it is divergence: y is within -5..5
TEST_STREAM, VALIDATION_STREAM = 1, 2  # of keys


class Method(NamedTuple):
    """A learner and its settings. The parameters do not depend on the number of inner steps."""

    rule: Callable[..., Learner]
    inner: dict[str, Any]  # keywords of the rule
    steps: int = 1  # inner steps in training
    net: nn.Module = MLP()
    training: Config = Config(outer_lr=4e-3, batch=25, steps=10_000)

    def learner(self, steps: int) -> Learner:
        """The learner that adapts by so many steps."""
        return self.rule(self.net, squared_error, steps=steps, **self.inner)

    def settings(self) -> dict[str, Any]:
        """For the report."""
        inner = {key: getattr(value, "__name__", value) for key, value in self.inner.items()}
        outer = {key: value for key, value in vars(self.training).items() if key != "patience"}
        return inner | {"inner_steps": self.steps} | outer


METHODS = {
    "maml": Method(maml, {"lr": 0.01}),
    "fomaml": Method(maml, {"lr": 0.01, "first_order": True}),
    "reptile": Method(reptile, {"lr": 0.01}, steps=5, training=Config(outer_lr=1e-3, batch=25, steps=10_000)),
    "meta_sgd": Method(meta_sgd, {"lr": 0.01}),
    "cavia": Method(cavia, {"lr": 1.0}, net=MLP(task_dim=5)),
    # Nothing keeps iMAML's loss from becoming too sharp for plain gradient descent, as MAML's own derivative does.
    "imaml": Method(
        imaml,
        {"lr": 0.01, "lam": 1.0, "cg_steps": 5, "damping": 5.0, "optimiser": optax.adam},
        steps=10,
        training=Config(outer_lr=2e-3, batch=25, steps=4_000),
    ),
    "anil": Method(anil, {"lr": 0.01}, steps=5),
}


def protocol() -> dict[str, Any]:
    """What is the same for every method, for the report."""
    return {
        "gradient steps": TEST_STEPS,
        "query points": QUERY,
        "query points in training": TRAINING_QUERY,
        "validation tasks": VALIDATION_TASKS,
    }


class Setting(NamedTuple):
    """What is the same for every method at one K."""

    shots: int
    seed: int
    valid: Episode
    test: Episode
    example: int  # the test task to draw
    folder: Path


def make_setting(shots: int, seed: int, tasks: int, folder: Path) -> Setting:
    """Validation and test tasks of a seed; the waves are the same at every K."""
    distribution = sinusoids(support=shots, query=QUERY, even_query=True)
    streams = [jax.random.fold_in(jax.random.key(seed), stream) for stream in (VALIDATION_STREAM, TEST_STREAM)]
    valid, test = (
        fixed_tasks(distribution, key, number) for key, number in zip(streams, (VALIDATION_TASKS, tasks), strict=True)
    )
    example = int(np.ptp(np.asarray(test.query.y[:10]), axis=1).argmax())  # a wave with something to see
    return Setting(shots, seed, valid, test, example, folder)


class Outcome(NamedTuple):
    """What a method did at one K."""

    errors: dict[int, np.ndarray]  # gradient steps -> [T] mean squared error, infinite where it diverged
    example: dict[int, list[float]]  # gradient steps -> [Q] predictions of the task to draw
    settings: dict[str, Any]
    seconds: float


def label(name: str, shots: int) -> str:
    """A method at one K, in the log and on the disk."""
    return f"{name}_{shots}_shots"


def run_method(name: str, steps: int | None, setting: Setting, log: Log) -> Outcome:
    """Meta-train, going on from a checkpoint, and adapt to the test tasks; or read what an earlier run found."""
    method = METHODS[name]
    if steps is not None:
        method = method._replace(training=_with_steps(method.training, steps))
    folder = setting.folder / label(name, setting.shots)
    path = folder / "outcome.json"
    if path.exists():
        return _read(path)
    begun = time.perf_counter()
    params = _train(name, method, setting, log)
    errors, example = {}, {}
    for n in TEST_STEPS:
        predictions = raw_predictions(method.learner(n), params, setting.test)
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.square(predictions.astype(np.float64) - np.asarray(setting.test.query.y)).mean(1)
        errors[n] = np.where(error < RUN_AWAY, error, np.inf)
        example[n] = predictions[setting.example].tolist()
    found = Outcome(errors, example, method.settings(), time.perf_counter() - begun)
    stored = found._asdict() | {"errors": {n: error.tolist() for n, error in errors.items()}}
    write_atomic(path, json.dumps(stored).encode())
    return found


def _with_steps(training: Config, steps: int) -> Config:
    return Config(**(vars(training) | {"steps": steps}))


def _read(path: Path) -> Outcome:
    try:
        stored = json.loads(path.read_text())
        errors = {int(n): np.array(error) for n, error in stored.pop("errors").items()}
        return Outcome(errors, {int(n): curve for n, curve in stored.pop("example").items()}, **stored)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WorkdirError(f"{path} is damaged; delete it to run the method again.") from error


def _train(name: str, method: Method, setting: Setting, log: Log) -> Params:
    """The parameters of the lowest error on the validation tasks after as many steps as in training."""
    learner = method.learner(method.steps)

    def validate(params: Params) -> float:
        return float(np.sqrt(mean_squared_errors(learner, params, setting.valid).mean()))

    tasks = sinusoids(support=setting.shots, query=TRAINING_QUERY)
    outer = Config(**(vars(method.training) | {"patience": method.training.steps}))
    own = label(name, setting.shots)
    programs = make_programs(Built(learner), outer, tasks.sample, Sharding())
    job = job_on(own, Built(learner), outer, setting.seed, tasks, validate, programs)
    try:
        return train(own, job, setting.seed, setting.folder / own, log)
    except TrainingError as error:
        raise TrainingError(f"{own}: {error}") from error
