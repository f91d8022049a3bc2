"""MeLU's four partitions of MovieLens-1M: mean absolute error beside what the paper and a re-implementation report.

    scripts/run.sh experiments/melu_partitions.py --dataset=ml-1m --partition=melu_split.json

Warm and cold users on warm and cold items; training sees warm users on warm items. A task is a user with 13 to 100
ratings in a partition, 10 of which are predicted from the rest (`metarec_jax/tasks/melu_split.py`). The file has
four lists of raw ids: warm_users, cold_users, warm_items, cold_items. By default it is looked for beside the ratings.

Result of attentive ridge in the order of the table: 0.684, 0.685, 0.877 and 0.870; with every prediction moved to the
nearest star 0.644, 0.646, 0.844 and 0.838.
"""

from pathlib import Path

from experiments.flags import BENCHMARK, SPLIT
from experiments.main import Experiment, Options, data_dir, label, make_devices, open_workdir, protocol
from experiments.measure import done, fresh, make_plan
from metarec_jax import benchmarks
from metarec_jax.benchmarks.melu import summary
from metarec_jax.data.fetch import download
from metarec_jax.train.store import FolderStore

FLAGS = [name for name in BENCHMARK if name not in (*SPLIT, "order", "tuned")]


def partition_file(options: Options) -> Path:
    """The file that says who is cold. Raises ValueError where there is none."""
    if options.partition is None and (options.ratings is not None or options.dataset != "ml-1m"):
        raise ValueError("--partition is needed for other data than --dataset=ml-1m.")
    path = Path(options.partition or download.locate("ml-1m", data_dir(options)) / "melu_split.json")
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the file of the partition with --partition.")
    return path


def work(options: Options) -> None:
    """Run the partitions that are not done, and show all."""
    path = partition_file(options)
    parts = benchmarks.melu_partitions(path, **protocol(options))
    plan = make_plan(options, next(iter(parts.values())))
    make_devices(options.devices)
    store, predictions = open_workdir(options, plan.stamp, label(options)), {}
    store.save("partition.json", path.read_bytes())
    for number, (name, benchmark) in enumerate(parts.items()):
        part = FolderStore(store.folder / f"{number}_{name.replace(', ', '_').replace(' ', '_')}")
        result = done(part) or fresh(options, benchmark, plan, part)
        print(result.table("mae"))
        predictions[name] = part.load_frame("predictions.parquet", "delete its folder to run the partition again.")
    text = summary(predictions)
    store.save("summary.txt", f"{text}\n".encode())
    print(f"{text}\n\nA report page for each partition is below {store.folder}")


main = Experiment("melu_partitions", __doc__, (*FLAGS, "partition"), work)

if __name__ == "__main__":
    main()
