"""The results of an experiment as one dict: reading, writing and looking things up in it.

Layout (schema 1), JSON all through; null is "undefined", NaN is never written:

    schema       1
    experiment   name
    dataset      name, users, items, ratings, sha256, source
    split        sha256 (one, or a list over seeds), train_tasks, valid_tasks, test_tasks
    seeds        [0, ...]
    rows         one a (name, shots):
      name, kind ("learner" or "baseline"), shots (K, or "all"), settings {...}
      start      learners: what training starts from, for people; may be missing
      metrics    {metric: {mean, low, high, tasks, undefined, per_seed: [...]}}
      versus     learners: {"baseline": name, metric: {difference, low, high, p}} against the best baseline
                 at this K; a metric in which another one is best names its own "baseline" beside the four
      adaptation learners, K > 0: {metric: {difference, low, high, p}} against the same learner at K = 0
    warnings     [sentence, ...]; may be missing
    curves       {learner: [{step, loss, valid_<metric>, seconds}, ...]}
    timing       {stage: seconds}
    environment  {...}
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from metarec_jax.eval.metrics import REGISTRY
from metarec_jax.ops.files import write_atomic
from metarec_jax.ops.one_line import OneLineError
from metarec_jax.ops.untrusted import DamagedError, json_value

SCHEMA = 1
Results = dict[str, Any]

_SECTIONS = {
    "experiment": str,
    "dataset": dict,
    "split": dict,
    "seeds": list,
    "rows": list,
    "curves": dict,
    "timing": dict,
    "environment": dict,
}
_ROW = {"name": str, "kind": str, "shots": (int, str), "metrics": dict, "settings": dict}
_DATASET = {"name": str, "sha256": None}  # None: anything, null too
_SPLIT = {"sha256": (str, list)}
_NUMBER = (int, float, type(None))
_DIFFERENCE = dict.fromkeys(("difference", "low", "high", "p"), _NUMBER)
_FIGURES: dict[str, Any] = dict.fromkeys(("mean", "low", "high"), _NUMBER) | {"tasks": int, "undefined": int}


class ResultsError(OneLineError):
    """Results that do not follow the layout; the one-line message says where."""


def validate(results: Any) -> Results:
    """The results themselves when they follow the layout above; ResultsError otherwise."""
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        schema = results.get("schema") if isinstance(results, dict) else type(results).__name__
        raise ResultsError(f"schema is {schema!r}, expected {SCHEMA}: run the experiment again")
    _require(results, _SECTIONS, "results")
    _require(results["dataset"], _DATASET, "dataset")
    _require(results["split"], _SPLIT, "split")
    _require(results | {"warnings": results.get("warnings", [])}, {"warnings": list}, "results")
    seen = set()
    for index, row in enumerate(results["rows"]):
        where = f"rows[{index}]"
        _validate_row(row, where)
        if (row["name"], row["shots"]) in seen:
            raise ResultsError(f"{where}: {row['name']!r} at K = {row['shots']} occurs twice")
        seen.add((row["name"], row["shots"]))
    return results


def _validate_row(row: Any, where: str) -> None:
    _require(row, _ROW, where)
    if row["kind"] not in ("learner", "baseline"):
        raise ResultsError(f"{where}: kind is {row['kind']!r}, not learner or baseline")
    if isinstance(row["shots"], str) and row["shots"] != "all":
        raise ResultsError(f"{where}: shots is {row['shots']!r}, not a number or 'all'")
    for metric, figures in row["metrics"].items():
        _require(figures, _FIGURES, f"{where}.{metric}")
    if row.get("versus"):
        _require(row["versus"], {"baseline": str}, f"{where}.versus")
    for part in ("versus", "adaptation"):
        for metric, figures in (row.get(part) or {}).items():
            if metric != "baseline":
                _require(figures, _DIFFERENCE, f"{where}.{part}.{metric}")


def _require(part: Any, keys: dict[str, Any], where: str) -> None:
    if not isinstance(part, dict):
        raise ResultsError(f"{where} is {type(part).__name__}, not an object")
    for key, kind in keys.items():
        if key not in part:
            raise ResultsError(f"{where}: {key!r} is missing")
        if kind is not None and not isinstance(part[key], kind):
            raise ResultsError(f"{where}: {key!r} is {type(part[key]).__name__}")


def plain(value: Any) -> Any:
    """The value ready for JSON: numpy numbers and arrays as Python ones, what is not finite as None."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | os.PathLike[str], results: Results) -> None:
    """Write results atomically, numpy numbers as numbers and NaN as null.

    Raises:
      ResultsError: they do not follow the layout; nothing is written.
    """
    text = json.dumps(validate(plain(results)), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def read_json(path: str | os.PathLike[str]) -> Results:
    """Read what `write_json` wrote.

    Raises:
      FileNotFoundError: there is no such file.
      ResultsError: it is not JSON or does not follow the layout; the message names the file.
    """
    try:
        return validate(json_value(Path(path).read_bytes()))
    except (ResultsError, DamagedError) as error:
        raise ResultsError(f"{path}: {error}; delete it, and the same command makes it again") from None


def metrics(results: Results) -> list[str]:
    """The metrics of the rows, in the order of the registry."""
    measured = {metric for row in results["rows"] for metric in row["metrics"]}
    return list(dict.fromkeys(metric.name for metric in REGISTRY if metric.name in measured))


def shots(results: Results) -> list[int | str]:
    """The values of K, rising, then those that are texts, in the order of the rows."""
    values = dict.fromkeys(row["shots"] for row in results["rows"])
    return sorted(values, key=lambda k: math.inf if isinstance(k, str) else k)


def names(results: Results, kind: str) -> list[str]:
    """The learners or the baselines, in the order of the rows."""
    return list(dict.fromkeys(row["name"] for row in results["rows"] if row["kind"] == kind))


def find(results: Results, name: str, k: int | str, *path: str) -> dict[str, Any] | None:
    """What stands under `path`, for example ("metrics", "rmse"), in the row of this name and K, or None."""
    part = next((row for row in results["rows"] if row["name"] == name and row["shots"] == k), None)
    for key in path:
        part = part.get(key) if part else None
    return part


def figures(results: Results, name: str, k: int | str, metric: str) -> dict[str, Any] | None:
    """{mean, low, high, ...} of a metric, or None where it was not measured or is undefined."""
    values = find(results, name, k, "metrics", metric)
    return values if values and defined(values["mean"]) else None


def defined(number: float | None) -> bool:
    """Whether a figure is a number: not null (from a file) and not NaN (before it is written)."""
    return number is not None and math.isfinite(number)
