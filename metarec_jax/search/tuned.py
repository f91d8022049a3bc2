"""The file that `experiments/tune.py` writes and --tuned reads: the best settings found for each method.

    schema    1
    question  name of the benchmark whose tasks these are
    dataset   name, sha256
    split     sha256 of the split whose validation tasks they were found on
    seed, trials, shots, query, order
    steps     of every meta-training, and of those that --tuned starts; null: each recipe's own
    methods   {name: {metric, trials, diverged,
                      default: {K: value of the default settings, null where they diverge},
                      tuned:   {K: {value, settings: {...}}}}}  (empty where all trials diverge)

K is "mean" for a learner, which has one setting for every K. Values are those on the validation tasks.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metarec_jax.eval.grid_search import fit_defaults
from metarec_jax.eval.metrics import by_name
from metarec_jax.ops.files import write_atomic
from metarec_jax.ops.one_line import OneLineError
from metarec_jax.ops.untrusted import json_value
from metarec_jax.recipes.base import Recipe, hyperparameters

SCHEMA = 1
EVERY_K = "mean"  # key of a value that is the mean over K


class TunedError(OneLineError):
    """A file of tuned settings that cannot be used; the one-line message names it and the remedy."""


class Tuned(NamedTuple):
    """What a file of tuned settings holds for the methods that are run."""

    dataset: str
    split: str  # sha256
    seed: int  # of the split
    changes: dict[str, dict[str, Any]]  # of the hyper-parameters of those that are trained
    grids: dict[str, list[dict[str, Any]]]  # of the classical ones: what was best at some K


def write_tuned(path: Path, content: dict[str, Any]) -> None:
    """Write the layout above, atomically, with sorted keys."""
    text = json.dumps({"schema": SCHEMA} | content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def read_tuned(path: Path, benchmark: str, recipes: Mapping[str, Recipe]) -> Tuned:
    """Read and check a file.

    Args:
      path: of the file.
      benchmark: its name.
      recipes: the methods that answer it.

    Raises:
      TunedError: it cannot be read, is damaged or belongs to another benchmark, or a method, key or value is unknown;
        the message names the file, the method and the key.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TunedError(f"--tuned: {path} cannot be read ({error.strerror}); check the path.") from error
    try:
        content = json_value(raw)
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema is {content['schema']!r}, expected {SCHEMA}")
        dataset, asked = content["dataset"]["name"], content["question"]
        split, seed = content["split"], content["seed"]
        steps = {} if content.get("steps") is None else {"steps": content["steps"]}
        settings = {name: _distinct(m["tuned"]) for name, m in content["methods"].items() if m["tuned"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise TunedError(f"--tuned: {path} is damaged ({problem}); write it again with experiments/tune.py.") from error
    if asked != benchmark:
        raise TunedError(f"--tuned: {path} holds settings for {asked}, not for {benchmark}; tune for it.")
    trained = {name for name, recipe in recipes.items() if recipe.training}
    try:
        for name, entries in settings.items():
            _check(recipes, name, [steps | entry for entry in entries] if name in trained else entries)
    except ValueError as error:
        raise TunedError(f"--tuned: {path}: {error}") from error
    return Tuned(
        dataset,
        split,
        seed,
        {name: steps | entries[0] for name, entries in settings.items() if name in trained},
        {name: entries for name, entries in settings.items() if name not in trained},
    )


def _distinct(best: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    distinct: list[dict[str, Any]] = []
    for entry in best.values():
        settings = dict(entry["settings"])
        if settings not in distinct:
            distinct.append(settings)
    return distinct


def _check(recipes: Mapping[str, Recipe], name: str, entries: list[dict[str, Any]]) -> None:
    """Raises ValueError unless these are settings of the method."""
    if name not in recipes:
        raise ValueError(f"unknown method {name!r}; there are {', '.join(recipes)}.")
    if recipes[name].training:
        if len(entries) > 1:
            raise ValueError(f"{name} has {len(entries)} settings and is trained with one for every K.")
        hyperparameters(recipes[name], entries[0])
        return
    known = fit_defaults(recipes[name].baseline)
    for settings in entries:
        for key, value in settings.items():
            if key not in known:
                raise ValueError(f"{name} has no {key!r}; it has {', '.join(known) or 'none'}.")
            _check_value(f"{name}.{key}", value, type(known[key]))


def _check_value(what: str, value: Any, kind: type) -> None:
    """Raises ValueError unless the value is of this type, and a number finite and 0 or above."""
    if not (type(value) is kind or kind is float and type(value) is int):
        raise ValueError(f"{what}={value!r} is not of type {kind.__name__}.")
    if kind in (int, float) and not 0 <= value < math.inf:
        raise ValueError(f"{what}={value} must be 0 or above.")


def text_table(content: dict[str, Any]) -> str:
    """A line for every method, and one more for every further setting that is best at some K; means over K."""
    rows = [("", "metric", "default", "tuned", "diverged", "settings")]
    for name, method in content["methods"].items():
        default = _mean(method["default"].values())
        tuned = _mean(entry["value"] for entry in method["tuned"].values())
        head = (name, by_name(method["metric"]).label, default, tuned, str(method["diverged"]))
        for settings in _settings_lines(method["tuned"]):
            rows.append((*head, settings))
            head = ("",) * len(head)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = ["  ".join([*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    metrics = dict.fromkeys(by_name(method["metric"]) for method in content["methods"].values())
    legend = ", ".join(f"{metric.label}: {metric.direction}" for metric in metrics)
    head = f"{content['dataset']['name']}, {content['trials']} trials a method, means over K on the validation users"
    return "\n".join([f"{head} ({legend})", "", lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _settings_lines(tuned: dict[str, dict[str, Any]]) -> list[str]:
    shots: dict[str, list[str]] = {}
    for k, entry in tuned.items():
        text = ", ".join(f"{key}={_short(value)}" for key, value in entry["settings"].items())
        shots.setdefault(text or "none", []).append(k)
    if len(shots) == 1:
        return list(shots)
    return [f"K = {', '.join(ks)}: {text}" for text, ks in shots.items()] or ["diverged in every trial"]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _mean(values: Iterable[float | None]) -> str:
    values = list(values)
    return "-" if not values or None in values else f"{sum(values) / len(values):.4f}"
