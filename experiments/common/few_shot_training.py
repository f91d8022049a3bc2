"""Few-shot classification: how a learner is meta-trained, for so many steps or so many minutes, and then scored."""

import hashlib
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.common.few_shot import (
    Method,
    Outcome,
    Setting,
    Shape,
    World,
    learner_of,
    make_outcome,
    make_setting,
    once,
    score,
)
from experiments.common.jobs import Job, train
from experiments.common.workdir import Log
from metarec_jax.ops.files import write_atomic
from metarec_jax.tasks.n_way import n_way
from metarec_jax.train import loop
from metarec_jax.train import step as chunks
from metarec_jax.train.optimisers import adam_at, with_rate
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Params, Tasks


class Budget(NamedTuple):
    """How long a learner is trained: so many steps, or so many minutes; neither is the method's own steps."""

    steps: int | None
    minutes: float | None
    devices: int = 1  # that share the tasks of a step, as many of them as divide these


def run_learner(name: str, world: World, setting: Setting, budget: Budget, folder: Path, log: Log) -> Outcome:
    """Meta-train, going on from a checkpoint, unless another shape has trained it already; then the test episodes."""
    method = world.methods[name]
    shape = method.trained(setting.shape)

    def run() -> Outcome:
        params, seconds, steps = _trained(name, world, setting, budget, folder, log)
        learner = learner_of(method.build, setting.shape.ways)
        value = float(score(name, learner, params, setting, world, "valid").mean())
        outer = {key: each for key, each in vars(method.training).items() if key not in ("patience", "steps")}
        settings = {"trained": str(shape), "query": shape.query, "steps": steps} | outer
        found = make_outcome(name, learner, params, setting, world, settings, value, time.perf_counter())
        return found._replace(seconds=seconds)

    return once(folder / f"{name}_{setting.shape.label}.json", run)


def label(name: str, shape: Shape) -> str:
    """A training run, in the log and on the disk."""
    return f"{name}_{shape.label}"


def _trained(
    name: str, world: World, setting: Setting, budget: Budget, folder: Path, log: Log
) -> tuple[Params, float, int]:
    """(the parameters that count, seconds, steps); validation has the shape of training, but with the ways and queries
    of the test."""
    method = world.methods[name]
    shape = method.trained(setting.shape)
    own = label(name, shape)
    tasks = n_way(world.classes, "train", **shape._asdict(), rotations=world.rotations, mirrored=world.mirrored)
    tasks = tasks if world.changed is None else world.changed(tasks)
    watched = validation_of(shape, world, setting)
    shown = learner_of(method.build, watched.shape.ways)

    def validate(params: Params) -> float:
        return -float(score(own, shown, prepared(method, params), watched, world, "valid").mean())

    ended = folder / own / "ended"  # for another shape of the test: a clock might allow another chunk
    job = _job(own, method, shape, tasks, validate, setting.seed, budget, log, ended.exists())
    params = train(own, job._replace(last=world.last), setting.seed, folder / own, log)
    write_atomic(ended, b"")
    last = (log.curve(setting.seed, own) or [{"seconds": 0.0, "step": 0}])[-1]
    return prepared(method, params), last["seconds"], last["step"]


def prepared(method: Method, params: Params) -> Params:
    """The parameters ready for use."""
    return params if method.prepare is None else method.prepare(params)


def validation_of(shape: Shape, world: World, setting: Setting) -> Setting:
    """A setting whose validation episodes are for training on such a shape: its shots, and else those of the test."""
    if shape.shots == setting.shape.shots:
        return setting
    few = min(setting.shape.query, world.validation_query)  # for there may be no more examples than these and the shots
    return make_setting(world, Shape(setting.shape.ways, shape.shots, few), setting.seed, setting.episodes)


def _job(
    own: str,
    method: Method,
    shape: Shape,
    tasks: Tasks,
    validate: Callable[[Params], float],
    seed: int,
    budget: Budget,
    log: Log,
    ended: bool,
) -> Job:
    """Meta-training at a rate that falls as a cosine from chunk to chunk, over the steps or over the minutes; nothing
    where it has `ended` before."""
    outer, learner = method.training, learner_of(method.build, shape.ways)
    steps = None if budget.minutes else budget.steps or outer.steps
    length = method.chunk if steps is None else max(1, min(method.chunk, -(-steps // 20)))
    optimiser = adam_at(outer.outer_lr, weight_decay=outer.weight_decay)
    chunk = chunks.make_train_steps(
        learner,
        tasks.sample,
        optimiser,
        batch=outer.batch,
        length=length,
        sharding=Sharding(math.gcd(outer.batch, budget.devices), "shard_map", method.microbatch),
    )
    number = int.from_bytes(hashlib.blake2b(own.encode(), digest_size=4).digest(), "big") >> 1
    init_key, root = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
    clock = _Clock(own, seed, log, 60.0 * (budget.minutes or math.inf))

    def share(step: int) -> float:
        return clock.share() if steps is None else min(1.0, step / steps)

    def falling(data: Any, state: loop.TrainState, key: jax.Array):
        rate = outer.outer_lr * 0.5 * (1.0 + math.cos(math.pi * share(int(state.step))))
        return chunk(data, with_rate(state, rate), key)

    fit = partial(
        loop.train, falling, tasks, root=root, steps=steps, validate=validate, stop=lambda: ended or clock.is_up()
    )
    # As one program: of the passes through the network that only tell the shapes of parameters nothing is left.
    init = jax.jit(learner.init)
    fresh = learner._replace(init=lambda key, episode: prepared(method, init(key, episode)))
    return Job(loop.start(fresh, tasks, optimiser, init_key), steps, fit, "accuracy")


class _Clock:
    """The time that a training run has had, in earlier processes too, compiling and validating included."""

    def __init__(self, own: str, seed: int, log: Log, seconds: float):
        before = log.curve(seed, own)
        self.begun, self.seconds = time.perf_counter() - (before[-1]["seconds"] if before else 0.0), seconds

    def share(self) -> float:
        """Of the time, 0..1."""
        return min(1.0, (time.perf_counter() - self.begun) / self.seconds)

    def is_up(self) -> bool:
        """Whether nothing is left of it."""
        return self.share() >= 1.0
