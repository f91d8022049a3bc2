"""Train a learner and write it as one file that answers without this package.

    scripts/run.sh experiments/export.py --learner=ridge --file=ridge.zip
    scripts/run.sh experiments/export.py --dataset=ml-1m --learner=ridge --file=ridge.zip --workdir=runs/export

Training is that of `user_cold_start.py` and goes on from the checkpoint in the work directory. What the file answers is
then compared with what the learner says for the test users, after `--support` of their ratings; docs/live.md has a
reader of the file.

Result on MovieLens-100K, ridge: 0.68 MB, loaded in 0.05 s; the file and the learner differ by 0.
"""

import sys
import time
import zipfile
from pathlib import Path

import jax
import numpy as np
from absl import app, flags
from jax import export as jax_export

from experiments.common import one_learner
from experiments.common.command_line import one_line_errors, only_flags, parse
from experiments.common.one_learner import LEARNER
from experiments.common.questions import USER_COLD_START
from metarec_jax.eval.predict import raw_predictions
from metarec_jax.serve.export import write_learner
from metarec_jax.tasks.episodes import episodes

EXPERIMENT = "export"
FILE = flags.DEFINE_string("file", None, "The file to write; default LEARNER.zip in the work directory.")
SUPPORT = flags.DEFINE_integer("support", 20, "Ratings that the file adapts to at once.", lower_bound=1)
flags.adopt_module_key_flags(one_learner)


def answers(path: Path, tasks, context: np.ndarray) -> tuple[np.ndarray, float]:
    """What the file predicts for the query of the tasks, [T, Q], and the seconds that it took to load."""
    begun = time.perf_counter()
    with zipfile.ZipFile(path) as archive:
        with archive.open("arrays.npz") as file:
            arrays = dict(np.load(file, allow_pickle=False))
        content = arrays.pop("content")
        programs = {name: jax_export.deserialize(bytearray(archive.read(name))) for name in ("adapt", "predict")}
    seconds, shared = time.perf_counter() - begun, ([arrays[str(place)] for place in range(len(arrays))], content)
    support = (tasks.support.x.id, tasks.support.y, tasks.support.mask)
    own = programs["adapt"].call(*shared, *support, context)
    return np.asarray(programs["predict"].call(*shared, own, tasks.query.x.id, context)), seconds


def main(argv: list[str]) -> None:
    """Train, write, compare."""
    with one_line_errors():
        only_flags(argv)
        asked = USER_COLD_START.protocol
        few = [k for k in asked.shots if isinstance(k, int) and k < SUPPORT.value]
        question = USER_COLD_START._replace(protocol=asked._replace(shots=[*few, SUPPORT.value]))
        use, name = one_learner.train(sys.modules[__name__], question), LEARNER.value
        path = Path(FILE.value) if FILE.value else use.folder / f"{name}.zip"
        write_learner(path, name, use.learner, use.params, use.ratings, SUPPORT.value)
        tasks, kept = episodes(use.ratings, use.split.test, SUPPORT.value)
        found, seconds = answers(path, tasks, use.ratings.user_features.values[use.split.test.users[kept]])
        apart = np.abs(found - raw_predictions(use.learner, use.params, jax.tree.map(np.asarray, tasks)))
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, loaded in {seconds:.2f} s")
    print(f"{len(kept)} test users after {SUPPORT.value} ratings: the file and the learner differ by {apart.max():.1e}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
