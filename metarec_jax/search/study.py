"""Trials of the settings of methods: Optuna studies in one storage, which any number of processes work on together.

They share out methods. The trials of one method follow each other whoever does them, and trial n depends on nothing but
the seed and the trials before it: what is found is the same for any number of processes, and after any kill.
"""

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from metarec_jax.eval.metrics import by_name
from metarec_jax.eval.predict import PredictionError
from metarec_jax.recipes.space import Between, OneOf, Space, contains, is_whole
from metarec_jax.search.storage import GRACE
from metarec_jax.train.loop import TrainingError

Settings = dict[str, Any]
Evaluate = Callable[[Settings], dict[str, float]]  # settings -> K -> value on the validation tasks
DIVERGED = (TrainingError, PredictionError, np.linalg.LinAlgError)  # bad settings, not a broken program
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
RANDOM_TRIALS = 6  # before the sampler makes use of what it has seen
PAUSE = 3.0  # seconds between two looks at methods that others work on


class Method(NamedTuple):
    """What is tuned."""

    name: str
    metric: str
    space: Space
    starts: list[Settings]  # of the space's keys, tried first; the defaults before all others
    fixed: Settings  # the hyper-parameters that are not searched, for what is known of other values counts for nothing
    build: Callable[[], Evaluate]  # what is large or slow to make is made here, by those who work on the method


class _LostError(Exception):
    """Another worker does this trial."""


def starts(space: Space, candidates: list[Settings]) -> list[Settings]:
    """The searched part of complete settings, each once."""
    distinct: list[Settings] = []
    for candidate in candidates:
        settings = {key: candidate[key] for key in space}
        if settings not in distinct:
            distinct.append(settings)
    return distinct


def search(
    methods: Sequence[Method],
    storage: RDBStorage,
    identity: str,
    trials: int,
    seed: int,
    bar: tqdm,
    turn: Callable[[], None] = lambda: None,
    pause: float = PAUSE,
) -> dict[str, dict[str, Any]]:
    """Bring every method's study to `trials` finished trials, together with all that do the same on this storage.

    Trial n draws from a generator of its own, seeded by (seed, method, n): a study that was killed goes on as if
    nothing had happened. Settings that were tried before are not tried again, and count as a trial all the same.

    A worker stays with a method until its trials are done, then turns to the next that nobody is on; where there is
    none it waits for the others, and takes over from those that die.

    Args:
      methods: what is tuned, in the order in which one worker does them.
      storage: from `trial_storage.open_storage`.
      identity: what else the values depend on; trials of another one are other trials.
      trials: of every method, those of earlier runs and of other workers included.
      seed: of the sampler.
      bar: shows the finished trials of all methods and workers.
      turn: called before another method is built.
      pause: seconds between two looks at methods that others work on.

    Returns:
      Name -> the method's entry in the file of tuned settings.
    """
    studies = [_Study(method, storage, identity, trials, seed) for method in methods]
    hands = _Hands(turn)
    while True:
        counts = [len(study.finished()) for study in studies]
        bar.update(sum(counts) - bar.n)
        left = [study for study, count in zip(studies, counts, strict=True) if count < trials]
        if not left:
            return {study.method.name: _entry(study.method, study.finished()) for study in studies}
        left.sort(key=lambda study: study.method is not hands.method)
        study = next((study for study in left if study.is_free()), None)
        if study:
            study.run_trial(hands, bar)
        else:
            bar.set_description(f"waiting for {', '.join(study.method.name for study in left)}")
            time.sleep(pause)


class _Hands:
    """The method that a worker has at hand."""

    def __init__(self, turn: Callable[[], None]):
        self.method: Method | None = None
        self._evaluate: Evaluate | None = None
        self._turn = turn

    def take(self, method: Method) -> Evaluate:
        """What evaluates its settings, built where another method was at hand."""
        if self._evaluate is None or method is not self.method:
            self._evaluate = None  # the other's memory is free before this one needs its own
            self._turn()
            self.method, self._evaluate = method, method.build()
        return self._evaluate


class _Study:
    """The trials of one method, which all workers see."""

    def __init__(self, method: Method, storage: RDBStorage, identity: str, trials: int, seed: int):
        key = json.dumps([identity, method.fixed, method.starts, repr(method.space)])
        name = f"{method.name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        self.method = method
        self._storage, self._trials, self._seed = storage, trials, seed
        self._study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        self._finished: list[FrozenTrial] = []
        self._busy = False  # when last looked at
        self._running: dict[int, float] = {}  # the number of a running trial -> when it was first seen

    def finished(self) -> list[FrozenTrial]:
        """The finished trials so far, and no more of them than are asked for."""
        if len(self._finished) < self._trials:
            self._finished = self._study.get_trials(deepcopy=False, states=FINISHED)[: self._trials]
        return self._finished

    def is_free(self) -> bool:
        """Whether no other worker is on the method; the running trials of dead ones end here.

        That of a worker which is between two trials is still its own: it counts as free when it was seen so twice.
        """
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            optuna.storages.fail_stale_trials(self._study)
        now = time.monotonic()
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._running = {trial.number: self._running.get(trial.number, now) for trial in running}
        for number, since in self._running.items():
            if now - since > (self._storage.grace_period or GRACE):
                # Optuna never gives up a trial without any sign of life, as of a worker that was killed just before
                # the first: it gets one, and only one, in its worker's name.
                study_id = self._storage.get_study_id_from_name(self._study.study_name)
                self._storage.record_heartbeat(self._storage.get_trial_id_from_study_id_trial_number(study_id, number))
                self._running[number] = math.inf
        was_busy, self._busy = self._busy, bool(running)
        return not (was_busy or self._busy)

    def run_trial(self, hands: _Hands, bar: tqdm) -> None:
        """Do the trial after those that `finished` gave, unless another worker is faster."""
        number = len(self._finished)
        own: int | None = None  # the trial's number in the storage, where those are counted too that came to nothing
        problem: BaseException | None = None

        def objective(trial: optuna.Trial) -> float:
            nonlocal own, problem
            own = trial.number
            try:
                self._check_claim(own, number)
                bar.set_description(f"{self.method.name}, trial {number + 1} of {self._trials}")
                return self._evaluate(trial, number, hands.take(self.method))
            except (_LostError, UpdateFinishedTrialError, optuna.TrialPruned):
                raise
            except BaseException as error:
                problem = error
                raise

        self._study.sampler = self._sampler(number)
        try:
            self._study.optimize(objective, n_trials=1, catch=(_LostError,))
        except Exception:
            # Optuna has several errors for a trial that others ended because its worker seemed dead: it is lost.
            if problem or own is None or self._study.trials[own].state != TrialState.FAIL:
                raise

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIALS, seed=_seed(f"{self._seed}/{self.method.name}/{number}")
        )
        if number >= len(self.method.starts):
            return sampler
        start = _nearest(self.method.space, self.method.starts[number])
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            return optuna.samplers.PartialFixedSampler(start, sampler)

    def _check_claim(self, own: int, number: int) -> None:
        """Raises _LostError where another worker is on trial `number` or has done it.

        Of two that ask for it at once the one with the lower number in the storage does it: it asked first, so the
        other one sees it.
        """
        trials = self._study.get_trials(deepcopy=False)  # at one moment
        is_asked = any(trial.state == TrialState.RUNNING and trial.number < own for trial in trials)
        if is_asked or sum(trial.state in FINISHED for trial in trials) != number:
            raise _LostError

    def _evaluate(self, trial: optuna.Trial, number: int, evaluate: Evaluate) -> float:
        """The mean of the values, the lower the better.

        Raises:
          optuna.TrialPruned: the method diverges, as if the value were infinite.
        """
        for key, where in self.method.space.items():
            _suggest(trial, key, where)
        settings = self.method.starts[number] if number < len(self.method.starts) else trial.params
        trial.set_user_attr("settings", settings)
        seen = {_text(done.user_attrs["settings"]): done.user_attrs.get("values", {}) for done in self._finished}
        try:
            values = seen[_text(settings)] if _text(settings) in seen else evaluate(settings)
        except DIVERGED as error:
            trial.set_user_attr("error", str(error))
            values = {}
        if not values or not np.isfinite(list(values.values())).all():
            raise optuna.TrialPruned
        trial.set_user_attr("values", values)
        sign = 1 if by_name(self.method.metric).lower_is_better else -1
        return sign * float(np.mean(list(values.values())))


def _text(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def _suggest(trial: optuna.Trial, key: str, where: Between | OneOf) -> None:
    if isinstance(where, OneOf):
        trial.suggest_categorical(key, where.values)
    elif is_whole(where):
        trial.suggest_int(key, int(where.low), int(where.high), log=where.log)
    else:
        trial.suggest_float(key, where.low, where.high, log=where.log)


def _nearest(space: Space, settings: Settings) -> Settings:
    """The point of the space that stands for settings outside it, such as a weight decay of 0 on a log scale."""
    inside = {key: value for key, value in settings.items() if contains(space[key], value)}
    for key, value in settings.items():
        where = space[key]
        if key not in inside and isinstance(where, Between):
            inside[key] = min(max(value, where.low), where.high)
    return inside


def _entry(method: Method, trials: list[FrozenTrial]) -> dict[str, Any]:
    """A method's entry in the file: the best trial at every K, the earlier one where two are equal."""
    complete = [trial.user_attrs for trial in trials if "values" in trial.user_attrs]
    best = min if by_name(method.metric).lower_is_better else max
    tuned = {}
    for k in complete[0]["values"] if complete else ():
        best_trial = best(complete, key=lambda attributes: attributes["values"][k])
        tuned[k] = {"value": best_trial["values"][k], "settings": best_trial["settings"]}
    first = trials[0].user_attrs.get("values", {})
    return {
        "metric": method.metric,
        "trials": len(trials),
        "diverged": len(trials) - len(complete),
        "default": {k: first.get(k) for k in tuned},
        "tuned": tuned,
    }
