"""A small valid file of every kind that the project reads, and how it is read: what `test_damaged_files.py` damages."""

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from helpers import random_frame, table_of
from PIL import Image

from experiments.workdir import claim
from metarec_jax import data
from metarec_jax.benchmarks import user_cold_start
from metarec_jax.benchmarks.driver import load_outcome
from metarec_jax.benchmarks.few_shot import FewShotResult
from metarec_jax.benchmarks.result import Result
from metarec_jax.benchmarks.sinusoid import SinusoidResult
from metarec_jax.data.features.content import poster_features
from metarec_jax.data.features.text import sentences
from metarec_jax.data.features.titles import ENCODER
from metarec_jax.data.fetch import archives
from metarec_jax.data.io.columns import open_columns
from metarec_jax.data.io.convert import write_columns
from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.data.sets import omniglot, omniglot_pack
from metarec_jax.data.texts import Texts
from metarec_jax.ops.files import npz_content, zip_content
from metarec_jax.search.tuned import read_tuned
from metarec_jax.tasks.lake_runs import lake_runs
from metarec_jax.tasks.melu_split import read_cold
from metarec_jax.tasks.split_file import read_split, split_content
from metarec_jax.tasks.splits import split_users
from metarec_jax.train import checkpoint
from metarec_jax.train.store import FolderStore

FRAME = random_frame(0, users=20, items=8, least=4, most=6)
TABLE = table_of(FRAME)


class Kind(NamedTuple):
    """Files that are read together, each of which may be damaged."""

    files: dict[str, bytes]  # below a folder
    read: Callable[[Path], Any]  # the folder -> whatever they hold


def single(file: str, content: bytes, read: Callable[[Path], Any]) -> Kind:
    """A kind of one file, whose path `read` is given."""
    return Kind({file: content}, lambda folder: read(folder / file))


def as_json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def as_file(write: Callable[[io.BytesIO], Any]) -> bytes:
    content = io.BytesIO()
    write(content)
    return content.getvalue()


def png(rows: int) -> bytes:
    ink = np.ones((105, 105), bool)
    ink[:rows] = False
    return as_file(lambda file: Image.fromarray(ink).save(file, "PNG"))


# ------------------------------------------------------------------------------------------------- ratings and sets


def ratings_kinds() -> dict[str, Kind]:
    """Files of ratings and of splits."""
    split = split_users(TABLE, seed=0, query=2)
    tabbed = as_file(lambda file: FRAME.write_csv(file, separator="\t"))
    return {
        "csv": single("r.csv", as_file(FRAME.write_csv), read_ratings),
        "tsv": single("r.tsv", tabbed, read_ratings),
        "parquet": single("r.parquet", as_file(FRAME.write_parquet), read_ratings),
        "split": single("s.csv", split_content(TABLE, split, ".csv"), lambda path: read_split(path, TABLE)),
        "parquet split": single("s.parquet", split_content(TABLE, split), lambda path: read_split(path, TABLE)),
    }


SETS = {
    "ml-100k": {
        "u.data": "2\t10\t3\t881250949\n1\t10\t5\t881250950\n1\t9\t1\t881250900\n",
        "u.user": "1|17|M|technician|85711\n2|56|F|other|94043\n",
        "u.item": "9|Laura (1944) |01-Jan-1944|||0|0|1\n10|Les (1995) (V)|||u|0|1|1\n11|unknown||||1|0|0\n",
        "u.genre": "unknown|0\nAction|1\nFilm-Noir|2\n\n",
    },
    "ml-1m": {
        "ratings.dat": "1::9::5::0\n2::10::3::978302109\n2::9::1::978302108\n",
        "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        "movies.dat": "9::Cafe (1942): The Return (1979)::Comedy|Drama\n10::Alien::Horror\n",
        "movies_extra.csv": 'movie_id,directors,actors,rated\n9,"A|B",C|A,PG\n10,A,C,\n',
    },
    "goodbooks-10k": {
        "ratings.csv": "user_id,book_id,rating\n1,2,5\n3,1,4\n",
        "books.csv": "book_id,title,language_code,original_publication_year,authors\n"
        '1,"E, a",en-GB,1815.0,A\n2,Q,,,A\n',
        "book_genres.csv": 'book_id,goodreads_book_id,genres\n1,77,"classics,to-read,scifi,sci-fi"\n',
    },
}
GROUPS = {"ml-1m": ("genre", "director", "actor", "rated"), "goodbooks-10k": ("genre", "language", "year", "author")}


def set_kinds() -> dict[str, Kind]:
    """A data set in each layout; that its counts are not the official ones must be no matter."""

    def kind(name: str) -> Kind:
        files = {f"{name}/{file}": text.encode() for file, text in SETS[name].items()}
        return Kind(files, lambda folder: data.load(name, folder, GROUPS.get(name)))

    return {name: kind(name) for name in SETS}


def text_kinds() -> dict[str, Kind]:
    """Sets of texts, and vectors of texts."""
    domains = {f"domain {d}": [f"intent {d}.{i}" for i in range(2)] for d in range(10)}
    halves = {half: [["say", i] for own in domains.values() for i in own] for half in ("train", "val", "test")}
    files = {
        "clinc150": {"data_full.json": as_json(halves), "domains.json": as_json(domains)},
        "huffpost": {"huffpost.json": b"\n".join(b'{"raw": "news", "label": %d}' % kind for kind in range(41))},
        "banking77": {
            "categories.json": as_json([f"intent {kind}" for kind in range(77)]),
            "train.csv": b"text,category\nsay,intent 1\n",
            "test.csv": b'text,category\n"say, ""so""",intent 2\n',
        },
    }

    def kind(name: str) -> Kind:
        own = {f"{name}/{file}": content for file, content in files[name].items()}
        return Kind(own, data.TEXT_SETS[name])

    vectors = "\x1f".join([ENCODER, "a", "b", "c"])
    name = f"set-{hashlib.sha256(vectors.encode()).hexdigest()[:16]}.npz"
    content = npz_content({"vectors": np.ones((3, 4), np.float16)})
    return {name: kind(name) for name in files} | {"vectors": single(name, content, read_vectors)}


def read_vectors(path: Path) -> Any:
    parts = {part: np.array([number]) for number, part in enumerate(("train", "valid", "test"))}
    return sentences(Texts("set", ["a", "b", "c"], np.arange(4), ["x", "y", "z"], parts, "a test"), path.parent)


# ------------------------------------------------------------------------------------------- pictures and side features


def picture_kinds() -> dict[str, Kind]:
    """Files of drawings and posters, and archives."""
    names = [f"Latin/character{number:02}" for number in range(2)]
    packed = {"images": np.zeros((2, 20, 98), np.uint8), "class_names": np.array(names)}
    lists = {"background": {"Latin": ["character00", "character01"]}, "evaluation": {}}
    drawings = {f"images_background/{name}/0001_{who:02}.png": png(who) for name in names for who in range(1, 21)}
    runs = {}
    for part in ("training/class", "test/item"):
        runs |= {f"run01/{part}{number:02}.png": png(number) for number in (1, 2)}
    pairs = [f"run01/test/item{n:02}.png run01/training/class{n:02}.png\n" for n in (1, 2)]
    runs["run01/class_labels.txt"] = "".join(pairs).encode()
    posters = {"item_id": np.arange(4), "thumb": np.ones((4, 3), np.float16)}
    archive = {"set/a.csv": b"1,2\n" * 9, "set/b.csv": b"3,4\n"}

    def unpacked(path: Path) -> None:
        archives.unpack(path, path.parent / "unpacked", 10_000)

    return {
        "posters": single("posters.npz", npz_content(posters), lambda path: poster_features(path, list("0123"))),
        "packed": single("packed.npz", npz_content(packed), omniglot.read_packed),
        "list": single("list.json", as_json(lists), lambda path: omniglot._listed(path, names)),
        "runs": single("runs.zip", zip_content(runs, zipfile.ZIP_DEFLATED), lambda path: lake_runs(path, 1, 2)),
        "drawings": single("drawings.zip", zip_content(drawings), omniglot_pack._read),
        "archive": single("set.zip", zip_content(archive, zipfile.ZIP_DEFLATED), unpacked),
    }


def columns_kinds() -> dict[str, Kind]:
    """A folder of columns, whose sums are not compared."""
    with tempfile.TemporaryDirectory() as folder:
        FRAME.write_csv(Path(folder) / "r.csv")
        write_columns(Path(folder) / "r.csv", Path(folder) / "columns")
        files = {f"columns/{path.name}": path.read_bytes() for path in sorted(Path(folder, "columns").iterdir())}
    header = {"columns/columns.json": files.pop("columns/columns.json")}

    def opened(folder: Path) -> Any:
        return open_columns(folder / "columns", check=False)

    return {"columns": Kind(header | files, opened)}


# --------------------------------------------------------------------------------------------------- work directories


def figures(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "tasks": 9, "undefined": 0, "per_seed": [mean]}


CHANGE = {"difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.04}


def ratings_results() -> dict[str, Any]:
    row = {"shots": 0, "settings": {}, "metrics": {"rmse": figures(1.0)}}
    against = {"versus": {"baseline": "bias", "rmse": CHANGE}, "adaptation": {"rmse": CHANGE}}
    return {
        "schema": 1, "experiment": "toy", "dataset": {"name": "toy", "sha256": ""}, "split": {"sha256": ""},
        "seeds": [0], "curves": {}, "timing": {}, "environment": {},
        "rows": [row | {"name": "bias", "kind": "baseline"}, row | {"name": "maml", "kind": "learner"} | against],
    }  # fmt: skip


def few_shot_results() -> dict[str, Any]:
    row = {"ways": 5, "shots": 1, "accuracy": figures(0.5), "transductive": False, "settings": {}, "versus": None}
    rows = [row | {"name": "nearest", "kind": "baseline"}]
    rows += [row | {"name": "m", "kind": "learner", "versus": CHANGE | {"baseline": "nearest"}}]
    return {
        "schema": 1, "protocol": {"test episodes": 9}, "official": None, "figures": [], "curves": {},
        "rows": rows,
    }  # fmt: skip


def sinusoid_results() -> dict[str, Any]:
    row = {"name": "maml", "shots": 10, "median": 0.5, "diverged": 0, "versus_maml": None}
    rows = [row | {"steps": steps, "mse": {"mean": 1.0, "low": 0.9, "high": 1.1}} for steps in (0, 1)]
    protocol = {"test tasks": 40, "gradient steps": [0, 1]}
    settings = {"maml": {"inner_steps": 1}}
    return {"protocol": protocol, "rows": rows, "figures": [], "orders": [], "without": {}, "settings": settings}


def store_kinds() -> dict[str, Kind]:
    """What a run keeps in its work directory."""
    record = {"seed": 0, "name": "maml", "step": 10, "seconds": 1.0, "loss": 0.5, "valid_rmse": 1.0}
    log = b"".join(json.dumps(record | {"step": step}).encode() + b"\n" for step in range(5))
    info = {"kind": "learner", "output": "rating", "transductive": False, "seconds": 1.0}
    info |= {"frames": ["values"], "settings": {}}
    values = as_file(pl.DataFrame({"name": ["maml"], "rmse": [1.0]}).write_parquet)
    params = {"net": {"weight": np.ones((3, 2), np.float32)}}
    recipes = user_cold_start().recipes
    tuned = (Path(__file__).parents[1] / "experiments" / "tuned" / "ml-100k.json").read_bytes()

    def outcome(folder: Path) -> Any:
        return load_outcome(FolderStore(folder), "maml", "maml")

    return {
        "results": single("results.json", as_json(ratings_results()), Result.load),
        "few-shot results": single("results.json", as_json(few_shot_results()), FewShotResult.load),
        "sinusoid results": single("results.json", as_json(sinusoid_results()), SinusoidResult.load),
        "log": single("metrics.jsonl", log, lambda path: FolderStore(path.parent).curve(0, "maml")),
        "outcome": Kind({"maml/info.json": as_json(info), "maml/values.parquet": values}, outcome),
        "checkpoint": single("p.msgpack", checkpoint.encode(params, {}), lambda path: checkpoint.restore(path, params)),
        "flags": single("flags.txt", b"--seed=0\n", lambda path: claim("x", "x", "--seed=0\n", str(path.parent))),
        "tuned": single("tuned.json", tuned, lambda path: read_tuned(path, "user_cold_start", recipes)),
        "cold": single("cold.json", as_json(cold()), lambda path: read_cold(path, TABLE)),
    }


def cold() -> dict[str, list[str]]:
    users, items = TABLE.user_ids.tolist(), TABLE.item_ids.tolist()
    return {"warm_users": users[:9], "cold_users": users[9:], "warm_items": items[:4], "cold_items": items[4:]}


PARTS = {
    "ratings": ratings_kinds, "sets": set_kinds, "texts": text_kinds, "pictures": picture_kinds, "runs": store_kinds,
    "columns": columns_kinds,
}  # fmt: skip
