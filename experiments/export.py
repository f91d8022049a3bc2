"""Train a learner and write it as one file that answers without this package.

    scripts/run.sh experiments/export.py --learner=ridge --file=ridge.zip
    scripts/run.sh experiments/export.py --dataset=ml-1m --learner=ridge --file=ridge.zip --workdir=runs/export

Training is that of `user_cold_start.py` and goes on from the checkpoint in the work directory. What the file answers is
then compared with what the learner says for the test users, after `--support` of their ratings; docs/live.md has a
reader of the file.

Result on MovieLens-100K, ridge: 0.68 MB, loaded in 0.05 s; the file and the learner differ by 0.
"""

from pathlib import Path

from experiments import learner
from experiments.main import Experiment, Options, protocol
from metarec_jax.benchmarks import user_cold_start
from metarec_jax.serve.export import compare, write_learner


def work(options: Options) -> None:
    """Train, write, compare."""
    support = options.support
    few = [k for k in user_cold_start().protocol["shots"] if k < support]
    use = learner.train(options, user_cold_start(shots=(*few, support), **protocol(options)))
    method, params = use.trained.method, use.trained.params
    path = Path(options.file) if options.file else use.store.folder / f"{use.name}.zip"
    write_learner(path, use.name, method, params, use.fold.tables["all"], support)
    tasks = use.fold.held_out("test")[support].tasks
    difference, seconds = compare(path, method, params, tasks)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, loaded in {seconds:.2f} s")
    print(
        f"{len(tasks.query.y)} test users after {support} ratings: the file and the learner differ by {difference:.1e}"
    )


main = Experiment("export", __doc__, (*learner.FLAGS, "support", "file"), work, {"support": 20})

if __name__ == "__main__":
    main()
