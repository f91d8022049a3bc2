"""N-way K-shot classification: an episode is some classes, K known examples of each and more to tell apart.

Vinyals et al. 2016, arXiv:1606.04080. Classes are drawn without replacement, and examples of a class without
replacement, the known before the unknown, so that none is both. The first class drawn is called 0: the name of a class
says nothing. Quarter turns of pictures may count as further classes (Santoro et al. 2016, arXiv:1605.06065).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.classes import Classes
from metarec_jax.tasks.sampling import below, draw_distinct
from metarec_jax.types import Array, Episode, Examples, Tasks

TURNS = 4


class Pool(NamedTuple):
    """The classes of one part, on the device."""

    x: Any  # pytree of [N, ...], compact
    start: Array  # [C] int32 first row of each class
    count: Array  # [C] int32 its rows


def n_way(
    classes: Classes,
    part: str,
    *,
    ways: int,
    shots: int | tuple[int, int],
    query: int,
    rotations: bool = False,
    mirrored: bool = False,
) -> Tasks:
    """Episodes of `ways` classes.

    Args:
      classes: the labelled examples.
      part: whose classes are drawn, for example "train".
      ways: classes of an episode.
      shots: known examples of each class; or the least and the most, and each class has a number between them of its
        own, both included, all equally likely.
      query: examples of each class to tell apart.
      rotations: the quarter turns of a class of pictures are four classes. For pictures only.
      mirrored: the mirror image of a class of pictures, and of each quarter turn, is another class: more to train on.

    Returns:
      Tasks whose x is as in `classes`, save for pictures: uint8 [H, W] of the table are float32 [H, W, 1] here. y is
      the int32 number of the class in the episode, 0..ways-1. Examples stand class by class; the support has
      ways * (most shots) rows, of which the mask tells the real ones. Drawing takes O(ways * (shots + query)^2).

    Raises:
      ValueError: there are not as many classes, or a class has not as many examples.
    """
    least, most = (shots, shots) if isinstance(shots, int) else shots
    members = classes.parts[part]
    sizes, turns, sides = classes.sizes[members], TURNS if rotations else 1, 2 if mirrored else 1
    number = sides * turns * len(members)
    if not (1 <= ways <= number and 0 <= least <= most):
        raise ValueError(f"{ways} ways of {least} to {most} shots, with {number} classes for {part}")
    if sizes.min() < most + query:
        name = classes.class_names[members[int(sizes.argmin())]]
        raise ValueError(f"class {name!r} of {classes.name} has {sizes.min()} examples, not {most} + {query}")

    def sample(data: Pool, key: Array) -> Episode:
        bits = jax.random.bits(key, (ways, 2 + most + query))
        drawn = draw_distinct(bits[:, 0], jnp.int32(number))
        chosen, side, turn = drawn // (sides * turns), drawn // turns % sides, drawn % turns
        examples = jax.vmap(draw_distinct)(bits[:, 2:], data.count[chosen])
        rows = data.start[chosen, None] + examples
        x = jax.tree.map(lambda leaf: leaf[rows], data.x)
        x = jax.tree.map(lambda leaf: jax.vmap(turned)(leaf, side, turn), x) if rotations or mirrored else x
        real = jnp.arange(most) < least + below(bits[:, 1], most - least + 1)[:, None]
        label = jnp.arange(ways, dtype=jnp.int32)

        def examples_of(first: int, last: int, mask: Array) -> Examples:
            flat = jax.tree.map(lambda leaf: shown(leaf[:, first:last].reshape(-1, *leaf.shape[2:])), x)
            return Examples(flat, jnp.repeat(label, last - first), mask.reshape(-1).astype(jnp.float32))

        return Episode(examples_of(0, most, real), examples_of(most, most + query, jnp.ones((ways, query))))

    start = classes.offsets[members].astype(np.int32)
    pool = Pool(jax.tree.map(jnp.asarray, classes.x), jnp.asarray(start), jnp.asarray(sizes, jnp.int32))
    return Tasks(pool, sample)


def turned(pictures: Array, side: Array, turn: Array) -> Array:
    """Pictures [N, H, H] in a mirror where `side` [] is 1, then by a number of quarter turns, [] 0..3, against the
    clock; as `numpy.rot90` does."""
    pictures = jnp.where(side == 1, pictures[:, :, ::-1], pictures)
    half = jnp.where(turn >= 2, pictures[:, ::-1, ::-1], pictures)
    return jnp.where(turn % 2 == 1, jnp.rot90(half, axes=(1, 2)), half)


def shown(leaf: Array) -> Array:
    """Pictures, uint8 [N, H, W], as float32 [N, H, W, 1]; everything else as it is."""
    if leaf.ndim == 3 and leaf.dtype == jnp.uint8:
        return leaf[..., None].astype(jnp.float32)
    return leaf
