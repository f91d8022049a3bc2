"""Did a change of the code change a bit of any result? Runs every experiment, small, and keeps digests of the results.

    .venv/bin/python scripts/golden.py --tree=../before --write=golden.json      # the tree as it was
    .venv/bin/python scripts/golden.py --tree=. --compare=golden.json            # exit code 1 where anything differs
    .venv/bin/python scripts/golden.py --tree=. --compare=golden.json --only=users_metric,scale --jobs=2

The data sets are those in METAREC_DATA_DIR. Both trees must run on the same machine with the same packages and the same
XLA_FLAGS: by default those of the tests, with which compiling takes less than half as long. With
JAX_COMPILATION_CACHE_DIR a run compiles only what earlier ones did not. What is kept of a command does not depend on
the file it was found in:

    results      the means in the rows of results.json, one line each; of files without rows every value
    details      whatever else the rows hold: ends of intervals, differences, settings
    predictions  of each method, K and seed the SHA-256 of what it predicted, as float32, and of other columns of floats
    parameters   of each checkpoint the SHA-256 of names, types, shapes and bytes of its leaves
"""

import argparse
import functools
import hashlib
import io
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flax.serialization
import numpy as np
import polars as pl

# Name -> modules and their flags, run one after the other in a temporary folder, below which they write by default.
UNTRAINED = "experiments.user_cold_start --shots=0,5 --learners=none"
USERS = "experiments.user_cold_start --shots=0,5 --steps=10"
COMMANDS = {
    "users_metric": f"{USERS} --baselines=none --learners=protonet,matching,relation,lwa,nlba",
    "users_gradient": f"{USERS} --baselines=transfer --learners=maml,fomaml,anil,melu,reptile,meta_sgd,cavia",
    "users_other_gradient": f"{USERS} --baselines=none --learners=melu_published,maml_plus_plus,imaml,paml,mamo",
    "users_model": f"{USERS} --baselines=none --learners=cnp,anp,tanp,set_transformer",
    "users_closed_form": f"{USERS} --baselines=none --learners=ridge,attentive_ridge,logistic,alpaca,deep_kernel",
    "users_simple": f"{UNTRAINED} --baselines=constant,user_mean,item_mean,popularity,bias,content_ridge",
    "users_other_simple": f"{UNTRAINED} --baselines=item_knn,item_cosine,ease,als,gp,fm",
    "users_seeds": f"{USERS} --seeds=2 --learners=ridge,maml --baselines=bias",
    "users_time": "experiments.user_cold_start --shots=0,5,all --steps=10 --order=time --min_ratings=30 "
    "--learners=ridge --baselines=bias",
    "users_devices": f"{USERS} --devices=2 --parallel=shard_map --learners=protonet,maml --baselines=none",
    "users_rows": f"{USERS} --id_tables=rows --learners=protonet,maml --baselines=none",
    "users_tuned": f"{USERS} --tuned={{tree}}/experiments/tuned/ml-100k.json --learners=ridge,maml --baselines=bias",
    "users_own_file": f"{USERS} --ratings=ratings.csv --learners=protonet,ridge --baselines=bias,item_knn",
    "items": "experiments.item_cold_start --shots=0,5 --steps=10 --baselines=content_regression,content_knn,bias "
    "--learners=metaemb,mwuf,dropoutnet,clcrec,multimodal_ridge,history_ridge --set=multimodal_ridge.rank=4 "
    "--set=history_ridge.rank=4",
    "both": "experiments.both_cold_start --shots=0,3 --steps=10 --learners=ridge,maml --baselines=bias",
    "warm_up": "experiments.item_warm_up --feedback=5 --steps=10 --learners=mwuf --baselines=content_regression,bias",
    "catalogue": "experiments.catalogue_ranking --shots=1,5 --steps=10 --baselines=popularity,item_cosine",
    "catalogue_users": "experiments.catalogue_ranking --rank=users --liked=any --shots=0,5 --steps=10 "
    "--learners=set_encoder --baselines=popularity",
    "melu": "experiments.melu_partitions --dataset=ml-1m --steps=5 --learners=ridge,melu_published --baselines=bias",
    "online": "experiments.online --positions=21 --steps=10 --learners=ridge,maml,alpaca --baselines=bias,gp",
    "interview": "experiments.interview --questions=3 --steps=10 --learners=ridge",
    "reasons": "experiments.reasons --shots=5 --steps=10",
    "content": "experiments.content_ablation --content=genre+year,title --shots=0,5 --steps=10",
    "texts": "experiments.few_shot_text --dataset=clinc150 --features=ngrams --steps=20 --episodes=40 --shots=1",
    "pictures": "experiments.omniglot --learners=protonet,maml --steps=3 --episodes=16 --ways=5 --shots=1 --query=5",
    "sinusoid": "experiments.sinusoid --methods=maml,cavia,imaml --steps=10 --tasks=50",
    "scale": "experiments.scale --learner=maml_network --steps=20 --every=10 --test=catalogue --test_users=20",
    "scale_devices": "experiments.scale --learner=maml_network --steps=20 --every=10 --devices=2 --parallel=shard_map",
    "scale_rows": "experiments.scale --learner=protonet_levels --steps=20 --every=10 --id_tables=rows",
    "scale_columns": "scripts.make_columns --ratings=ratings.csv --out=columns ; "
    "experiments.scale --columns_dir=columns --learner=maml_network --steps=20 --every=10 --test=ratings"
    " --fit_users=100",
    "many_runs": "experiments.many_runs --learner=maml_network --steps=10 --seeds=2 --vary=inner_lr=0.03,0.1",
    "tune": "experiments.tune --trials=2 --steps=20 --methods=ridge,bias,maml --shots=0,5",
    "export": "experiments.export --learner=ridge --steps=10",
}
KEYS = ("name", "ways", "shots", "steps", "way", "questions", "seed")  # what a row is about
GIVEN = ("rating", "known_rating")  # columns that are no result
CHANGING = ("seconds", "timing", "environment", "ms_per_step_of_all", "peak_memory_mb")  # from run to run
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
HEADER = 52  # bytes of a checkpoint before its msgpack: magic, version, length, SHA-256


def write_ratings(path: Path) -> None:
    """A file of somebody's own ratings: 150 users, 80 items, in an order of time."""
    rng, lines = random.Random(0), ["user,item,rating,timestamp"]
    for user in range(150):
        kind = rng.uniform(-1.0, 1.0)
        for place, item in enumerate(rng.sample(range(80), rng.randint(25, 40))):
            rating = 3.0 + kind + 1.5 * (item / 80 - 0.5) + rng.gauss(0.0, 0.5)
            lines.append(f"u{user},i{item},{min(5, max(1, round(rating)))},{1000 * user + place}")
    path.write_text("\n".join(lines) + "\n")


def values(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of all that JSON holds and that does not change from run to run."""
    if isinstance(part, dict | list):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if key not in CHANGING:
                yield from values(value, (*path, str(key)))
    elif part is not None:
        yield path, part


def row_lines(row: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The means of a row of results.json, and all else that it says; a figure is named by the last key of its path."""
    about = [f"{key}={row[key]}" for key in KEYS if key in row]
    means, details = [], []
    for path, value in values({key: part for key, part in row.items() if key not in KEYS}):
        *above, last = [key for key in path if not key.isdigit()]
        if last == "mean" and above:
            means.append(" ".join([*about, above[-1], repr(value)]))
        else:
            details.append(" ".join([*about, last, repr(value)]))
    return means, details


def results(folder: Path) -> tuple[list[str], list[str]]:
    """Lines of all results files, sorted: means, details."""
    means, details = [], []
    for path in [*folder.rglob("results.json"), *folder.rglob("tuned.json")]:
        content = json.loads(path.read_text())
        if "rows" in content:
            for row in content["rows"]:
                for lines, more in zip((means, details), row_lines(row), strict=True):
                    lines.extend(more)
        else:
            means += [f"{'.'.join(where)} {value!r}" for where, value in values(content)]
    return sorted(means), sorted(details)


def sha256(parts: Iterable[bytes]) -> str:
    """Of one part after the other."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def predictions(folder: Path) -> Iterator[tuple[str, str]]:
    """(method, K, seed and column; digest) of all Parquet files that tell of methods."""
    for path in folder.rglob("*.parquet"):
        frame = pl.read_parquet(path)
        keys = [key for key in KEYS if key in frame.columns]
        columns = [name for name, kind in frame.schema.items() if kind.is_float() and name not in GIVEN]
        if "name" not in keys or "role" in frame.columns:
            continue
        for group, rows in frame.group_by(keys, maintain_order=True):
            about = " ".join(f"{key}={value}" for key, value in zip(keys, group, strict=True))
            for column in columns:
                yield f"{about} {column}", sha256([rows[column].to_numpy().astype(np.float32).tobytes()])


def arrays_digest(arrays: dict[str, Any]) -> str:
    """Of named arrays, in the order of their names."""

    def parts() -> Iterator[bytes]:
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            yield f"{name} {array.dtype} {array.shape}\n".encode()
            yield array.tobytes()

    return sha256(parts())


def parameters(folder: Path) -> Iterator[tuple[str, str]]:
    """(method and seed; digest) of all checkpoints, and of the arrays of exported learners."""
    for path in folder.rglob("*.msgpack"):
        content = flax.serialization.msgpack_restore(path.read_bytes()[HEADER:])
        meta = json.loads(content["meta"])
        yield f"{meta.get('name', path.stem)} seed={meta.get('seed', '-')}", arrays_digest(content["leaves"])
    for path in folder.rglob("*.zip"):
        with zipfile.ZipFile(path) as archive, np.load(io.BytesIO(archive.read("arrays.npz"))) as arrays:
            yield f"exported {path.stem}", arrays_digest(dict(arrays))


def gathered(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """One line a key and digest, sorted: a file and a copy of a part of it count once."""
    return sorted({f"{key} {digest}" for key, digest in pairs})


def run(name: str, tree: Path, environment: dict[str, str], python: str) -> dict[str, Any]:
    """Run one of the commands in a folder of its own, and digest what it left there."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="golden_") as made:
        folder = Path(made)
        write_ratings(folder / "ratings.csv")
        for command in COMMANDS[name].format(tree=tree).split(" ; "):
            whole = [python, "-m", *shlex.split(command)]
            done = subprocess.run(whole, cwd=folder, env=environment, capture_output=True, text=True)
            if done.returncode:
                return {"error": "\n".join(done.stderr.strip().splitlines()[-10:])}
        means, details = results(folder)
        lines_by_part = {"results": means, "details": details}
        lines_by_part |= {"predictions": gathered(predictions(folder)), "parameters": gathered(parameters(folder))}
    digests = {part: sha256(f"{line}\n".encode() for line in lines) for part, lines in lines_by_part.items()}
    return {"seconds": round(time.perf_counter() - begun, 1), "sha256": digests, **lines_by_part}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is in one only: "-" before, "+" now."""
    if failed := {each["error"] for each in (before, now) if "error" in each}:
        return sorted(failed)
    lines = []
    for part in before["sha256"]:
        old, new = Counter(before[part]), Counter(now[part])
        changed = [(line, "-") for line in (old - new).elements()] + [(line, "+") for line in (new - old).elements()]
        lines += [f"{sign} {part}: {line}" for line, sign in sorted(changed)]
    return lines


def main() -> int:
    """Run, and write or compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(), help="the root of the code to run")
    parser.add_argument("--python", help="interpreter; default: that of the tree's .venv")
    parser.add_argument("--only", help=f"some of {','.join(COMMANDS)}")
    parser.add_argument("--jobs", type=int, default=1, help="commands at a time")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, help="file to write the digests to")
    what.add_argument("--compare", type=Path, help="file of digests to compare with")
    asked = parser.parse_args()
    tree = asked.tree.resolve()
    python = os.path.abspath(asked.python or tree / ".venv/bin/python")
    names = asked.only.split(",") if asked.only else [*COMMANDS]
    before = json.loads(asked.compare.read_text()) if asked.compare else {}
    digests, wrong = {}, 0
    with ThreadPoolExecutor(asked.jobs) as pool, tempfile.TemporaryDirectory(prefix="golden_compiled_") as compiled:
        cache = {"JAX_COMPILATION_CACHE_DIR": compiled, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        environment = cache | {"XLA_FLAGS": QUICK} | os.environ | {"PYTHONPATH": str(tree)}
        work = functools.partial(run, tree=tree, environment=environment, python=python)
        for name, digest in zip(names, pool.map(work, names), strict=True):
            digests[name] = digest
            other = before.get(name, {"error": f"{asked.compare} has no {name}"}) if asked.compare else digest
            lines = differences(other, digest)
            verdict = f"{len(lines)} differences" if lines else "the same" if asked.compare else "done"
            print(f"{name}: {verdict}, {digest.get('seconds', '-')} s", *lines, sep="\n  ", flush=True)
            wrong += bool(lines)
    if asked.write:
        asked.write.write_text(json.dumps(digests, indent=1, ensure_ascii=False) + "\n")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
