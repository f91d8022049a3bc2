"""Scripts on the field's own benchmarks, few-shot classification and sinusoids: one table, one page."""

from collections.abc import Callable, Iterable
from typing import Any

from absl import logging

from experiments import main
from experiments.main import Idle, Options, chosen, whole_numbers
from experiments.measure import done
from experiments.workdir import Workdir
from metarec_jax.benchmarks import Benchmark, run
from metarec_jax.benchmarks.few_shot import FewShotResult, Shape
from metarec_jax.benchmarks.result import PageResult, Result
from metarec_jax.train.sharding import Sharding

FEW_SHOT = (
    *("ways", "shots", "query", "learners", "baselines", "minutes", "steps", "episodes", "devices", "seed"),
    *("data_dir", "workdir"),
)
DEFAULTS = {"shots": ["1", "5"], "query": 15}


def few_shot(
    options: Options, label: str, build: Callable[..., Benchmark], load: Callable[[], Any], idle: Idle = ()
) -> None:
    """Measure learners and baselines of few-shot classification, as the flags say.

    Args:
      options: what they say.
      label: of the run, for people.
      build: (shapes, episodes=, minutes=) -> the benchmark.
      load: reads the data.
      idle: the script's own flags that do nothing beside the others, and why.

    Raises:
      ValueError: a flag is wrong, would do nothing, or contradicts another.
    """
    ways, shots = (whole_numbers(flag, getattr(options, flag), 1) for flag in ("ways", "shots"))
    if options.steps and options.minutes:
        raise ValueError("--steps and --minutes: give one of the two.")
    shapes = [Shape(way, shot, options.query) for way in ways for shot in shots]
    benchmark = build(shapes, episodes=options.episodes, minutes=options.minutes)
    learners = chosen("learners", options.learners, benchmark.learners(), benchmark.default)
    baselines = chosen("baselines", options.baselines, benchmark.baselines())
    if not learners + baselines:
        raise ValueError("--learners=none and --baselines=none leave nothing to run.")
    if not learners:
        idle = [*idle, *((flag, "needs a learner") for flag in ("steps", "minutes", "devices"))]
    measure(options, label, benchmark, baselines + learners, load, FewShotResult, idle)


def measure(
    options: Options,
    label: str,
    benchmark: Benchmark,
    names: Iterable[str],
    load: Callable[[], Any],
    result: type[PageResult],
    idle: Idle = (),
) -> None:
    """Run, or show what an earlier run in this work directory found.

    Args:
      options: with `seed`, `steps` and perhaps `devices`.
      label: of the run, for people.
      benchmark: what is measured.
      names: of the methods.
      load: reads the data.
      result: of such a benchmark.
      idle: flags that do nothing beside the others, and why.
    """
    store = main.open_workdir(options, options.stamp(idle), label)
    results = done(store, result)
    if results is None:
        results = fresh(options, benchmark, names, load, store)
        results.write(store.folder)
    print(results.table())
    print(f"\nAll of it, with plots: {store.folder / 'report.html'}")


def fresh(
    options: Options, benchmark: Benchmark, names: Iterable[str], load: Callable[[], Any], store: Workdir
) -> Result:
    """Run the benchmark. Devices are made where there is more than one: one has as many threads as there are cores."""
    devices = options.devices if options.has("devices") else 1
    if devices > 1:
        main.make_devices(devices)
    main.keep_compiled()
    recipes = [benchmark.recipes[name] for name in names]
    if options.steps is not None:
        recipes = [recipe.configured(steps=options.steps) if recipe.training else recipe for recipe in recipes]
    return run(
        benchmark,
        load(),
        recipes,
        seeds=[options.seed],
        store=store,
        sharding=Sharding(devices),
        on_method=lambda name, seed, seconds: logging.info("%s, seed %d: %.1f s", name, seed, seconds),
    )
