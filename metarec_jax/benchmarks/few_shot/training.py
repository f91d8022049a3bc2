"""Few-shot classification: how a method becomes ready, and a learner is meta-trained for so many steps or minutes."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import jax

from metarec_jax.benchmarks.base import Benchmark, Trained
from metarec_jax.benchmarks.few_shot.base import FewShotFold, Method, Shape, classified
from metarec_jax.benchmarks.fitting import choose, stream
from metarec_jax.eval.grid_search import Shots
from metarec_jax.recipes.base import Recipe, classical, hyperparameters
from metarec_jax.train import loop
from metarec_jax.train import step as train_steps
from metarec_jax.train.config import Config
from metarec_jax.train.fit import Journal, proceed
from metarec_jax.train.optimisers import adam_at, with_rate
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import Store
from metarec_jax.types import Array, Params, TrainState


def fit(
    benchmark: Benchmark, recipe: Recipe, fold: FewShotFold, store: Store, *, sharding: Sharding | None, progress: bool
) -> Iterator[tuple[Trained, list[Shots]]]:
    """A baseline at its best settings, or a meta-trained learner; its settings say its "validation" accuracy too."""
    shots = list(fold.held_out("test"))
    if recipe.training is None:
        baseline = fold.data.once(recipe.build, fold.shape.ways).method
        at_ways = classical(baseline, recipe.grid)._replace(name=recipe.name)
        (trained,) = (trained for trained, _ in choose(benchmark, at_ways, fold))
    else:
        trained = train(recipe, fold, store, devices=sharding.devices if sharding else 1, progress=progress)
    valid = classified(recipe.name, trained.method, trained.params, fold.episodes("valid")).accuracy
    yield trained._replace(settings=trained.settings | {"validation": float(valid.mean())}), shots


def train(recipe: Recipe, fold: FewShotFold, store: Store, *, devices: int, progress: bool) -> Trained:
    """Meta-train, going on from a checkpoint, unless another shape has done so.

    Args:
      recipe: of a learner.
      fold: where held-out episodes have any shape, which that of the training follows.
      store: where the run is kept.
      devices: that share the tasks of a step, as many of them as divide these.
      progress: whether a bar is shown.

    Returns:
      The parameters that count, and among the settings the steps and seconds of the training.
    """
    method, config = cast(Method, recipe.build), hyperparameters(recipe)[1]
    shape = method.trained(fold.shape, fold.data)
    label = f"{recipe.name}_{shape.label}"
    params = _run(label, method, config, shape, fold, store, devices, progress)
    last = (store.curve(fold.seed, label) or [{"seconds": 0.0, "step": 0}])[-1]
    outer = {key: value for key, value in vars(config).items() if key not in ("patience", "steps")}
    settings = {"trained": str(shape), "query": shape.query, "steps": last["step"]} | outer
    learner = fold.data.once(method, fold.shape.ways).method
    return Trained(learner, prepared(method, fold, params), settings | {"seconds": last["seconds"]})


def prepared(method: Method, fold: FewShotFold, params: Params) -> Params:
    """The parameters ready for use."""
    return params if method.prepare is None else fold.data.once(method.prepare)(params)


def _run(
    label: str,
    method: Method,
    config: Config,
    shape: Shape,
    fold: FewShotFold,
    store: Store,
    devices: int,
    progress: bool,
) -> Params:
    """Train at a rate that falls as a cosine from validation to validation, over the steps or over the minutes.

    Validation has the shots of training, but the ways and queries of the test.
    """
    learner, tasks, minutes = fold.data.once(method, shape.ways).method, fold.tasks(shape), fold.protocol.minutes
    steps = None if minutes else config.steps
    length = method.length if steps is None else max(1, min(method.length, -(-steps // 20)))
    microbatch = 1 if method.singly and jax.default_backend() == "cpu" else None
    optimiser = adam_at(config.outer_lr, weight_decay=config.weight_decay)
    compiled = train_steps.make_train_steps(
        learner,
        tasks.sample,
        optimiser,
        batch=config.batch,
        length=length,
        sharding=Sharding(math.gcd(config.batch, devices), "shard_map", microbatch),
    )
    init_key, root = jax.random.split(stream(fold.seed, label))
    clock, ended = _Clock(label, fold.seed, store, 60.0 * (minutes or math.inf)), f"{fold.folder}/{label}/ended"

    def falling(data: Any, state: TrainState, key: Array):
        share = clock.share() if steps is None else min(1.0, int(state.step) / steps)
        rate = config.outer_lr * 0.5 * (1.0 + math.cos(math.pi * share))
        return compiled(data, with_rate(state, rate), key)

    # As one program: of the passes through the network that only tell the shapes of parameters nothing is left.
    init = jax.jit(learner.init)
    fresh = learner._replace(init=lambda key, episode: prepared(method, fold, init(key, episode)))
    run = proceed(
        falling,
        tasks,
        loop.start(fresh, tasks, optimiser, init_key),
        Journal(store, f"{fold.folder}/{label}", label, fold.seed, "accuracy", -1, progress),
        root=root,
        steps=steps,
        validate=_validation(label, method, shape, fold),
        # Another shape of the test may have ended it before: a clock might allow some more steps.
        stop=lambda: store.load(ended) is not None or clock.is_up(),
    )
    store.save(ended, b"")
    return run.state.params if fold.protocol.keep_last else run.best_params


def _validation(label: str, method: Method, shape: Shape, fold: FewShotFold) -> Callable[[Params], float]:
    """Parameters -> minus the accuracy."""
    episodes, watched = fold.episodes("valid", shape.shots), fold.data.once(method, fold.shape.ways).method

    def validate(params: Params) -> float:
        return -float(classified(label, watched, prepared(method, fold, params), episodes).accuracy.mean())

    return validate


class _Clock:
    """The time that a training run has had, in earlier processes too, compiling and validating included."""

    def __init__(self, label: str, seed: int, store: Store, seconds: float):
        before = store.curve(seed, label)
        self.begun, self.seconds = time.perf_counter() - (before[-1]["seconds"] if before else 0.0), seconds

    def share(self) -> float:
        """Of the time, 0..1."""
        return min(1.0, (time.perf_counter() - self.begun) / self.seconds)

    def is_up(self) -> bool:
        """Whether nothing is left of it."""
        return self.share() >= 1.0
