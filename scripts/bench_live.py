"""How fast is a learner in service? One person's rating taken in and the catalogue ranked; many people at once.

    taskset -c 0 scripts/run.sh scripts/bench_live.py                # one core
    scripts/run.sh scripts/bench_live.py --dataset=ml-1m --json=live.json

The learner is a ridge head with a choice prior as meta-training begins it: the time does not depend on what the numbers
are. "rank" is `update` by one rating, predictions for all items of the set, and the ten best. Medians over rounds.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from metarec_jax import data
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes import RECIPES
from metarec_jax.serve.sessions import live
from metarec_jax.types import Episode, Examples, Inputs

DATASET = flags.DEFINE_enum("dataset", "ml-1m", list(data.DATASETS), "Data set.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of data sets; default METAREC_DATA_DIR, then a cache folder.")
LEARNER = flags.DEFINE_enum("learner", "ridge", ["ridge", "alpaca", "protonet", "maml"], "Which learner.")
PEOPLE = flags.DEFINE_integer("people", 10_000, "People whose ratings are taken in at once.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 50, "Timed calls; the median counts.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "File for the figures.")


def timed(call: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call, after two that are not counted."""
    seconds = []
    for _ in range(rounds + 2):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds[2:]))


def some(table: Ratings, people: int, rows: int) -> Examples:
    """Ratings of [people, rows] items at random."""
    rng = np.random.default_rng(0)
    item = rng.integers(table.num_items, size=(people, rows))
    context = np.repeat(table.user_features.values[rng.integers(table.num_users, size=people), None], rows, 1)
    x = Inputs(jnp.asarray(item, jnp.int32), jnp.asarray(table.item_features.values[item]), jnp.asarray(context))
    return Examples(x, jnp.asarray(rng.choice(table.levels, (people, rows))), jnp.ones((people, rows)))


def measure(table: Ratings) -> dict[str, float]:
    """Milliseconds by what was done."""
    built = RECIPES[LEARNER.value].build(table)
    history = some(table, PEOPLE.value, 10)
    one = jax.tree.map(lambda leaf: leaf[0], history)
    params = built.params
    if params is None:
        params = built.method.init(jax.random.key(0), Episode(one, one))
    many = live(built.method, params, one)
    every = table.num_items
    catalogue = Inputs(
        jnp.arange(every)[None],
        jnp.asarray(table.item_features.values)[None],
        jnp.broadcast_to(one.x.context[:1], (every, one.x.context.shape[1]))[None],
    )

    @jax.jit
    def rank(params, own, new, catalogue):
        own = many.update(params, own, new)
        return own, jax.lax.top_k(many.predict(params, own, catalogue)[0], 10)

    adapt, update, new = jax.jit(many.adapt), jax.jit(many.update), some(table, PEOPLE.value, 1)
    own = adapt(params, history)
    mine, my_new = [leaf[:1] for leaf in own], jax.tree.map(lambda leaf: leaf[:1], new)
    return {
        f"one person: a rating taken in, {every} items ranked": 1e3
        * timed(lambda: rank(params, mine, my_new, catalogue), ROUNDS.value),
        f"{PEOPLE.value} people: a rating of each taken in": 1e3
        * timed(lambda: update(params, own, new), max(3, ROUNDS.value // 10)),
        f"{PEOPLE.value} people: adapted to 10 ratings": 1e3
        * timed(lambda: adapt(params, history), max(3, ROUNDS.value // 10)),
    }


def main(argv: list[str]) -> None:
    """Measure, print, write."""
    if len(argv) > 1:
        sys.exit(f"error: {argv[1]!r} is not a flag.")
    try:
        table = data.load(DATASET.value, Path(DATA_DIR.value) if DATA_DIR.value else None)
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
    found = measure(table)
    print(f"{LEARNER.value} on {table.name}, milliseconds")
    for what, value in found.items():
        print(f"{what:<60}{value:>10.2f}")
    if JSON.value:
        figures = {"dataset": table.name, "learner": LEARNER.value, "milliseconds": found}
        write_atomic(Path(JSON.value), json.dumps(figures, indent=1).encode())


if __name__ == "__main__":
    app.run(main)
