"""Scripts that measure a benchmark: methods by flags, one table, one report."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from experiments import main
from experiments.flags import BENCHMARK
from experiments.main import Experiment, Options, chosen
from metarec_jax.benchmarks import Benchmark, run
from metarec_jax.benchmarks.result import Result
from metarec_jax.recipes import Recipe
from metarec_jax.search.tuned import Tuned, read_tuned
from metarec_jax.train.store import FolderStore


class Plan(NamedTuple):
    """What the flags ask for, checked before any ratings are read or anything is written."""

    recipes: list[Recipe]  # in the order of the table
    helpers: list[Recipe]  # of the benchmark
    tuned: Tuned | None
    stamp: str  # the flags, as flags.txt


def script(
    name: str,
    doc: str,
    benchmark: Callable[[Options], Benchmark],
    *,
    flags: Collection[str] = BENCHMARK,
    defaults: Mapping[str, Any] | None = None,
    shown: type[Result] = Result,
) -> Experiment:
    """A script that measures a benchmark.

    Args:
      name: of the script.
      doc: its docstring.
      benchmark: what the flags ask for; raises ValueError where they are wrong.
      flags: that it has.
      defaults: its own, by flag.
      shown: its kind of results.
    """

    def work(options: Options) -> None:
        measure(options, benchmark(options), shown)

    return Experiment(name, doc, tuple(flags), work, defaults or {})


def measure(options: Options, benchmark: Benchmark, shown: type[Result] = Result) -> None:
    """Run, or show what an earlier run in this work directory found."""
    plan = make_plan(options, benchmark)
    main.make_devices(options.devices)
    store = main.open_workdir(options, plan.stamp, main.label(options))
    result = done(store, shown) or fresh(options, benchmark, plan, store)
    print(result.table())
    print(f"\nAll of it, with other metrics and plots: {store.folder / 'report.html'}")


def done(store: FolderStore, shown: type[Result] = Result) -> Result | None:
    """What an earlier run found, which is said; None where it is not done."""
    path = store.folder / "results.json"
    if not path.exists():
        return None
    print(f"{store.folder} is done already; this is what it found.\n")
    return shown.load(path)


def fresh(options: Options, benchmark: Benchmark, plan: Plan, store: FolderStore) -> Result:
    """Run the benchmark and write its report."""
    begun = time.perf_counter()
    ratings = main.load_ratings(options)
    seconds = time.perf_counter() - begun
    log_tuned(options, plan, ratings.name)
    helpers = {recipe.name: recipe for recipe in plan.helpers}
    result = run(
        benchmark._replace(recipes=dict(benchmark.recipes) | helpers),
        ratings,
        plan.recipes,
        seeds=range(options.seed, options.seed + options.seeds),
        store=store,
        sharding=main.sharding(options),
        on_method=lambda name, seed, seconds: logging.info("%s, seed %d: %.1f s", name, seed, seconds),
    )
    result.content["timing"] = {"load": round(seconds, 2)} | result.content["timing"]
    if plan.tuned is not None and (sentence := seen_before(options.tuned, plan.tuned, result.content)):
        result.content["warnings"].append(sentence)
    result.write(store.folder)
    return result


def make_plan(options: Options, benchmark: Benchmark) -> Plan:
    """Check all flags.

    Args:
      options: the flags.
      benchmark: what they ask for.

    Raises:
      ValueError: one is wrong, or would do nothing.
    """
    learners = chosen("learners", options.learners, benchmark.learners(), benchmark.default)
    baselines = chosen("baselines", options.baselines, benchmark.baselines()) if options.has("baselines") else []
    names = baselines + learners
    if not names:
        flags = " and ".join(f"--{flag}=none" for flag in ("learners", "baselines") if options.has(flag))
        raise ValueError(f"with {flags} there is nothing to run.")
    recipes = [benchmark.recipes[name] for name in (*names, *(name for name in benchmark.helpers if name not in names))]
    idle = [*main.data_idle(options)]
    if not any(recipe.training for recipe in recipes):
        idle += [(flag, "needs a method that is trained") for flag in ("steps", "id_tables")]
    if options.devices == 1:
        idle.append(("parallel", "needs --devices above 1"))
    tuned_file = options.tuned if options.has("tuned") else None
    tuned = read_tuned(Path(tuned_file), benchmark.name, benchmark.recipes) if tuned_file is not None else None
    recipes = configured(options, recipes, tuned)
    stamp = options.stamp(idle)
    helpers = [recipe for recipe in recipes if recipe.name in benchmark.helpers]
    return Plan(recipes[: len(names)], helpers, tuned, stamp)


def configured(options: Options, recipes: list[Recipe], tuned: Tuned | None = None) -> list[Recipe]:
    """The recipes with the settings that the flags ask for; checked here, before anything long starts.

    A tuned setting gives way to --steps, and that to NAME.KEY=VALUE of --set.

    Raises:
      ValueError: not NAME.KEY=VALUE, a method that is not trained here, an unknown key or a wrong value.
    """
    trained = [recipe.name for recipe in recipes if recipe.training]
    changes: dict[str, dict[str, Any]] = {name: dict(tuned.changes.get(name, {})) if tuned else {} for name in trained}
    if options.steps is not None:
        changes = {name: settings | {"steps": options.steps} for name, settings in changes.items()}
    for text in options.set:
        target, equals, value = text.partition("=")
        name, dot, key = target.partition(".")
        if not (equals and dot):
            raise ValueError(f"--set={text}: write NAME.KEY=VALUE, for example maml.inner_lr=0.1.")
        if name not in changes:
            known = ", ".join(trained) or "none"
            raise ValueError(f"--set={text}: {name!r} is not run; the trained methods are {known}.")
        changes[name][key] = value
    try:
        configured_recipes = [recipe.configured(**changes.get(recipe.name, {})) for recipe in recipes]
    except ValueError as error:
        raise ValueError(f"--set: {error}") from error
    grids = tuned.grids if tuned else {}
    return [
        recipe._replace(grid=tuple(grids[recipe.name])) if recipe.name in grids else recipe
        for recipe in configured_recipes
    ]


def log_tuned(options: Options, plan: Plan, dataset: str) -> None:
    """Say which methods the tuned settings leave out, and where they come from other data."""
    if plan.tuned is None:
        return
    left_out = [recipe.name for recipe in plan.recipes if recipe.name not in plan.tuned.changes | plan.tuned.grids]
    if left_out:
        logging.info("%s does not name %s: default settings.", options.tuned, ", ".join(left_out))
    if plan.tuned.dataset != dataset:
        logging.warning("%s was tuned on %s, not on %s.", options.tuned, plan.tuned.dataset, dataset)


def seen_before(path: str, tuned: Tuned, content: Mapping[str, Any]) -> str:
    """A sentence where settings were chosen by users who are test users of the table; empty where they were not.

    Args:
      path: of the file of settings.
      tuned: what it holds.
      content: of results.json.
    """
    sha256, seeds = content["split"]["sha256"], content["seeds"]
    hashes = [sha256] if isinstance(sha256, str) else sha256
    others = [str(seed) for seed, own in zip(seeds, hashes, strict=True) if own != tuned.split]
    if tuned.dataset != content["dataset"]["name"] or not others:
        return ""
    return (
        f"{path} was tuned on one split, that of seed {tuned.seed}. Its validation users may be test users of seed "
        f"{', '.join(others)}, whose figures flatter what was tuned; --seed={tuned.seed} --seeds=1 is free of that."
    )
