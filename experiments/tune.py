"""Tuning with equal budgets: as many trials for every baseline as for every learner, on validation users only.

    scripts/run.sh experiments/tune.py --dataset=ml-100k --out=experiments/tuned/ml-100k.json
    scripts/run.sh --dataset=ml-100k --tuned=experiments/tuned/ml-100k.json
    scripts/run.sh experiments/tune.py --benchmark=item_cold_start --dataset=ml-100k

A trial of a learner is a meta-training with early stopping, worth the mean over K of its validation RMSE. A trial of a
baseline is a fit, scored at every K, and the best settings are kept for every K apart (nDCG@5 for those that only
rank). The first trial of a method has its default settings, and the next ones of a baseline its grid, so that nothing
gets worse on the validation users; then Optuna's TPE sampler looks in the method's space. Settings with which a method
diverges lose. Nothing is made of the test users' ratings.

A run that was killed goes on with the same command: trials are in --storage, a SQLite file or a database. Any number of
processes may share one, each started with the same command and a --workdir of its own, also while others are at work:

    for worker in 1 2 3 4; do  # on one machine
        scripts/run.sh experiments/tune.py --dataset=ml-100k --storage=trials.sqlite --workdir=runs/worker$worker &
    done
    scripts/run.sh experiments/tune.py --dataset=ml-100k --workdir=runs/$(hostname) \
        --storage=postgresql+psycopg2://user@host/trials  # on every machine, for example by srun

They share out methods, and the trials of one method stay one after another: settings and values do not depend on the
number of processes, and each writes the same file when all methods are done. When one is killed, others take over its
method after half a minute without a sign of life.
"""

from pathlib import Path

from experiments import main as door
from experiments.flags import DATA, SPLIT
from experiments.main import Experiment, Options, chosen
from metarec_jax import benchmarks
from metarec_jax.search.tuned import text_table, write_tuned
from metarec_jax.search.tuning import tune


def work(options: Options) -> None:
    """Do the trials that are left, and write and show the best settings."""
    benchmark = getattr(benchmarks, options.benchmark)(**door.protocol(options))
    names = chosen("methods", options.methods, [*benchmark.baselines(), *benchmark.learners()])
    if not names:
        raise ValueError("--methods=none leaves nothing to tune.")
    idle = [*door.data_idle(options)]
    if not any(benchmark.recipes[name].training for name in names):
        idle.append(("steps", "needs a method that is trained"))
    store = door.open_workdir(options, options.stamp(idle), door.label(options))
    content = tune(
        benchmark,
        door.load_ratings(options),
        names,
        storage=options.storage or str(store.folder / "trials.sqlite"),
        trials=options.trials,
        seed=options.seed,
        steps=options.steps,
        store=store,
    )
    out = Path(options.out) if options.out else store.folder / "tuned.json"
    write_tuned(out, content)
    print(text_table(content))
    print(f"\nFor --tuned={out}")


OWN = ("benchmark", "methods", "trials", "storage", "out", "shots", "query", "order", "seed", "steps", "workdir")
main = Experiment("tune", __doc__, (*DATA, *SPLIT, *OWN), work)

if __name__ == "__main__":
    main()
