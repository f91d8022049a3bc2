"""A trained learner as one file that answers without this package: compiled programs, parameters, the items.

The file is a zip archive of
    adapt, update, predict     programs by `jax.export`, for any number of people (and, in predict, of candidates)
    arrays.npz                 the parameters in the order in which the programs take them ("0", "1", ...), and
                               "content" [I, F], the items' side features
    about.json                 what is what: shapes, items' raw ids and titles, rating levels, versions
All programs take and give flat lists of arrays (see `programs`), so that a reader needs jax and numpy and nothing else:
`docs/live.md` has one. "update" is missing where the learner has none. The same learner gives the same bytes.
"""

import contextlib
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from metarec_jax.data.table import Ratings
from metarec_jax.eval.predict import raw_predictions
from metarec_jax.ops.files import npz_content, write_atomic, zip_content
from metarec_jax.serve.sessions import live
from metarec_jax.types import Array, Baseline, Episode, Examples, Inputs, Learner, Params

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
FORMAT = 1


def programs(method: Learner | Baseline, params: Params, content: Array, context: int, support: int) -> dict[str, Any]:
    """Name -> exported program, for n people and m candidates, both any number:

        adapt(leaves, content, item [n, K], rating [n, K], real [n, K], context [n, G]) -> own
        update(leaves, content, own, item [n, 1], rating [n, 1], context [n, G]) -> own
        predict(leaves, content, own, item [n, m], context [n, G]) -> rating [n, m]

    Args:
      method: a learner or a baseline.
      params: what it was trained to; `leaves` are jax.tree.leaves of it.
      content: [I, F].
      context: G, number of the features of a person.
      support: K of `adapt`; fewer ratings are padded, with `real` 0. More come by `update`.
    """
    leaves, tree = jax.tree.flatten(params)

    def inputs(content: Array, item: Array, context: Array) -> Inputs:
        return Inputs(item, content[item], context)

    x = Inputs(jnp.zeros(support, jnp.int32), jnp.zeros((support, content.shape[1])), jnp.zeros(context))
    many = live(method, params, Examples(x, jnp.zeros(support), jnp.ones(support)))

    def adapt(leaves, content, item, rating, real, context):
        return many.adapt(tree.unflatten(leaves), Examples(inputs(content, item, context), rating, real))

    def update(leaves, content, own, item, rating, context):
        new = Examples(inputs(content, item, context), rating, jnp.ones(rating.shape))
        return many.update(tree.unflatten(leaves), own, new)

    def predict(leaves, content, own, item, context):
        return many.predict(tree.unflatten(leaves), own, inputs(content, item, context))

    n, m = jax_export.symbolic_shape("n, m")

    def floats(*shape) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def items(*shape) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.int32)

    shared = ([jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves], floats(*content.shape))
    supports = (items(n, support), floats(n, support), floats(n, support), floats(n, context))
    own = jax.eval_shape(adapt, *shared, *supports)
    shapes = {"adapt": (adapt, supports), "predict": (predict, (own, items(n, m), floats(n, context)))}
    if many.update is not None:
        shapes["update"] = (update, (own, items(n, 1), floats(n, 1), floats(n, context)))
    with without_locations():
        return {
            name: jax_export.export(jax.jit(program), platforms=PLATFORMS)(*shared, *arguments)
            for name, (program, arguments) in shapes.items()
        }


@contextlib.contextmanager
def without_locations() -> Iterator[None]:
    """Leave the lines of code, with the folders of this machine, out of what is lowered: a program is the same bytes
    wherever it is exported, and whoever calls."""
    limit = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", limit)


def write_learner(
    path: Path, name: str, method: Learner | Baseline, params: Params, ratings: Ratings, support: int = 20
) -> None:
    """Write a trained learner of this table's users as one file.

    Args:
      path: of the .zip file; it is replaced as a whole.
      name: of the learner.
      method, params: the learner, trained.
      ratings: the table, for items and features.
      support: see `programs`.
    """
    content = np.asarray(ratings.item_features.values, np.float32)
    made = programs(method, params, jnp.asarray(content), len(ratings.user_features.names), support)
    arrays = {str(place): np.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(params))}
    about = {
        "format": FORMAT,
        "learner": name,
        "dataset": ratings.name,
        "support": support,
        "leaves": len(arrays),
        "levels": ratings.levels.tolist(),
        "items": ratings.item_ids.tolist(),
        "titles": ratings.item_titles.tolist(),
        "features": {"of an item": ratings.item_features.names, "of a person": ratings.user_features.names},
        "jax": jax.__version__,
    }
    members = {"about.json": json.dumps(about).encode(), "arrays.npz": npz_content({"content": content} | arrays)}
    members |= {program: bytes(exported.serialize()) for program, exported in made.items()}
    write_atomic(path, zip_content(members, zipfile.ZIP_DEFLATED))


def compare(path: Path, method: Learner | Baseline, params: Params, tasks: Episode) -> tuple[float, float]:
    """Ask a file of `write_learner` what its learner is asked.

    Args:
      path: of the file.
      method, params: what was written to it.
      tasks: [T] tasks of the table, whose support has as many rows as the file adapts to.

    Returns:
      The largest difference of the predictions for the query, in rating units, and the seconds that loading took.
    """
    begun = time.perf_counter()
    with zipfile.ZipFile(path) as archive:
        with archive.open("arrays.npz") as file:
            arrays = dict(np.load(file, allow_pickle=False))
        content = arrays.pop("content")
        read = {name: jax_export.deserialize(bytearray(archive.read(name))) for name in ("adapt", "predict")}
    seconds, shared = time.perf_counter() - begun, ([arrays[str(place)] for place in range(len(arrays))], content)
    context = np.asarray(tasks.query.x.context)
    own = read["adapt"].call(*shared, tasks.support.x.id, tasks.support.y, tasks.support.mask, context)
    answers = np.asarray(read["predict"].call(*shared, own, tasks.query.x.id, context))
    expected = raw_predictions(method, params, jax.tree.map(np.asarray, tasks))
    return float(np.abs(answers - expected).max()), seconds
