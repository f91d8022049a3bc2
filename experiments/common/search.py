"""Trials of one method's settings: an Optuna study in a SQLite file, which goes on where a kill left it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from metarec_jax.evaluation import PredictionError
from metarec_jax.report.results import lower_is_better
from metarec_jax.spaces import Between, OneOf, Space, contains, is_whole
from metarec_jax.training import TrainingError

Settings = dict[str, Any]
DIVERGED = (TrainingError, PredictionError, np.linalg.LinAlgError)  # bad settings, not a broken program
RANDOM_TRIALS = 6  # before the sampler makes use of what it has seen


class Method(NamedTuple):
    """What is tuned."""

    name: str
    metric: str
    space: Space
    starts: list[Settings]  # of the space's keys, tried first; the defaults before all others
    fixed: Settings  # the hyper-parameters that are not searched, for what is known of other values counts for nothing
    evaluate: Callable[[Settings], dict[str, float]]  # settings -> K -> value on the validation tasks


def starts(space: Space, candidates: list[Settings]) -> list[Settings]:
    """The searched part of complete settings, each once."""
    found: list[Settings] = []
    for candidate in candidates:
        settings = {key: candidate[key] for key in space}
        if settings not in found:
            found.append(settings)
    return found


def open_storage(path: Path) -> optuna.storages.RDBStorage:
    """The SQLite file of the trials, made where there is none.

    Raises:
      ValueError: the file is something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot hold trials ({reason}); delete it or choose another --storage.") from error


def search(
    method: Method, storage: optuna.storages.RDBStorage, identity: str, trials: int, seed: int, bar: tqdm
) -> dict[str, Any]:
    """Bring a method's study to `trials` finished trials; the method's entry in the file of tuned settings.

    Trial n draws from a generator of its own, seeded by (seed, method, n): a study that was killed goes on as if
    nothing had happened. Settings that were tried before are not tried again, and count as a trial all the same.

    Args:
      method: what is tuned.
      storage: from `open_storage`.
      identity: what else the values depend on; trials of another one are other trials.
      trials: in all, those of earlier runs included.
      seed: of the sampler.
      bar: moves on by one a trial.
    """
    key = json.dumps([identity, method.fixed, method.starts, repr(method.space)])
    name = f"{method.name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    for lost in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(lost.number, state=TrialState.FAIL)
    bar.update(min(len(_finished(study)), trials))
    while (number := len(_finished(study))) < trials:
        bar.set_description(f"{method.name}, trial {number + 1} of {trials}")
        study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIALS, seed=_seed(f"{seed}/{method.name}/{number}")
        )
        _one_trial(method, study, number)
        bar.update()
    return _entry(method, _finished(study)[:trials])


def _one_trial(method: Method, study: optuna.Study, number: int) -> None:
    started = number < len(method.starts)
    if started and not study.get_trials(states=(TrialState.WAITING,)):  # a kill may have left it there
        study.enqueue_trial(_nearest(method.space, method.starts[number]))
    seen = {_text(trial): trial.user_attrs.get("values", {}) for trial in _finished(study)}
    trial = study.ask({key: _distribution(where) for key, where in method.space.items()})
    settings = method.starts[number] if started else trial.params
    trial.set_user_attr("settings", settings)
    try:
        values = seen[_text(trial)] if _text(trial) in seen else method.evaluate(settings)
    except DIVERGED as error:
        trial.set_user_attr("error", str(error))
        values = {}
    sign = 1 if lower_is_better(method.metric) else -1
    if values and np.isfinite(list(values.values())).all():
        trial.set_user_attr("values", values)
        study.tell(trial, sign * float(np.mean(list(values.values()))))
    else:
        study.tell(trial, state=TrialState.PRUNED)  # as if the value were infinite


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _text(trial: optuna.Trial | FrozenTrial) -> str:
    return json.dumps(trial.user_attrs["settings"], sort_keys=True)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def _distribution(where: Between | OneOf) -> BaseDistribution:
    if isinstance(where, OneOf):
        return CategoricalDistribution(where.values)
    return (IntDistribution if is_whole(where) else FloatDistribution)(where.low, where.high, log=where.log)


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
    best = min if lower_is_better(method.metric) else max
    tuned = {}
    for k in complete[0]["values"] if complete else ():
        found = best(complete, key=lambda attributes: attributes["values"][k])
        tuned[k] = {"value": found["values"][k], "settings": found["settings"]}
    first = trials[0].user_attrs.get("values", {})
    return {
        "metric": method.metric,
        "trials": len(trials),
        "diverged": len(trials) - len(complete),
        "default": {k: first.get(k) for k in tuned},
        "tuned": tuned,
    }
