"""How fast is a learner in service? One person's rating taken in and the catalogue ranked; many people at once.

    taskset -c 0 scripts/run.sh scripts/bench_live.py                # one core
    scripts/run.sh scripts/bench_live.py --dataset=ml-1m --json=live.json

The learner is a ridge head with a choice prior as meta-training begins it: the time does not depend on what the numbers
are. "rank" is `update` by one rating, predictions for all items of the set, and the ten best. Medians over rounds.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.flags import Flag
from experiments.main import Experiment, Options, data_dir
from metarec_jax import data
from metarec_jax.data.table import Ratings
from metarec_jax.ops.files import write_atomic
from metarec_jax.recipes import RECIPES
from metarec_jax.serve.sessions import live
from metarec_jax.types import Episode, Examples, Inputs

LEARNERS = ["ridge", "alpaca", "protonet", "maml"]
FLAGS = {
    "learner": Flag(flags.DEFINE_enum, "ridge", "Which learner.", {"enum_values": LEARNERS}),
    "people": Flag(flags.DEFINE_integer, 10_000, "People whose ratings are taken in at once.", {"lower_bound": 1}),
}


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
    context = table.user_features.values[rng.integers(table.num_users, size=people)]
    x = Inputs(jnp.asarray(item, jnp.int32), jnp.asarray(table.item_features.values[item]), jnp.asarray(context))
    return Examples(x, jnp.asarray(rng.choice(table.levels, (people, rows))), jnp.ones((people, rows)))


def measure(table: Ratings, options: Options) -> dict[str, float]:
    """Milliseconds by what was done."""
    built = RECIPES[options.learner].build(table)
    people, rounds = options.people, options.rounds
    history = some(table, people, 10)
    person = jax.tree.map(lambda leaf: leaf[0], history)
    params = built.params
    if params is None:
        params = built.method.init(jax.random.key(0), Episode(person, person))
    many = live(built.method, params, person)
    every = table.num_items
    catalogue = Inputs(
        jnp.arange(every)[None],
        jnp.asarray(table.item_features.values)[None],
        person.x.context[None],
    )

    @jax.jit
    def rank(params, own, new, catalogue):
        own = many.update(params, own, new)
        return own, jax.lax.top_k(many.predict(params, own, catalogue)[0], 10)

    adapt, update, new = jax.jit(many.adapt), jax.jit(many.update), some(table, people, 1)
    own = adapt(params, history)
    mine, my_new = [leaf[:1] for leaf in own], jax.tree.map(lambda leaf: leaf[:1], new)
    return {
        f"one person: a rating taken in, {every} items ranked": 1e3
        * timed(lambda: rank(params, mine, my_new, catalogue), rounds),
        f"{people} people: a rating of each taken in": 1e3
        * timed(lambda: update(params, own, new), max(3, rounds // 10)),
        f"{people} people: adapted to 10 ratings": 1e3 * timed(lambda: adapt(params, history), max(3, rounds // 10)),
    }


def work(options: Options) -> None:
    """Measure, print, write."""
    table = data.load(options.dataset, data_dir(options))
    milliseconds = measure(table, options)
    print(f"{options.learner} on {table.name}, milliseconds")
    for what, value in milliseconds.items():
        print(f"{what:<60}{value:>10.2f}")
    if options.json:
        figures = {"dataset": table.name, "learner": options.learner, "milliseconds": milliseconds}
        write_atomic(Path(options.json), json.dumps(figures, indent=1).encode())


SHARED = ("dataset", "data_dir", "rounds", "json")
main = Experiment("bench_live", __doc__, SHARED, work, {"dataset": "ml-1m", "rounds": 50}, own=FLAGS)

if __name__ == "__main__":
    main()
