"""N-way K-shot classification: an episode has N classes, K support examples of each, and query examples.

Vinyals et al. 2016, arXiv:1606.04080. Classes are drawn without replacement, and so are the examples of a class, so
that no example is both support and query. Labels are the order of drawing and carry no information. Rotations of
pictures by 90 degrees may count as further classes (Santoro et al. 2016, arXiv:1605.06065).
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
    """The classes of one part of the split, on the device."""

    x: Any  # pytree of [N, ...], compact
    start: Array  # [C] int32 first row of each class
    count: Array  # [C] int32 number of its rows


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
      part: the part of the split whose classes are drawn, for example "train".
      ways: number of classes of an episode.
      shots: support examples of each class; or (least, most), and each class has its own number of shots, uniform on
        least..most.
      query: query examples of each class.
      rotations: a class of pictures and its three rotations by 90 degrees are four classes. For pictures only.
      mirrored: the mirror image of a class of pictures, and of each rotation, is another class. For pictures only.

    Returns:
      Tasks whose x is as in `classes`, except that pictures, uint8 [H, W], become float32 [H, W, 1]. y is the int32
      label of the class in the episode, 0..ways-1. Examples are grouped by class; the support has ways * (most shots)
      rows, and the mask says which are real. Drawing takes O(ways * (shots + query)^2).

    Raises:
      ValueError: there are fewer classes than `ways`, or a class has too few examples.
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
    """Pictures [N, H, H] mirrored where `side` [] is 1, then rotated `turn` [] (0..3) times by 90 degrees
    counter-clockwise, as by `numpy.rot90`."""
    pictures = jnp.where(side == 1, pictures[:, :, ::-1], pictures)
    half = jnp.where(turn >= 2, pictures[:, ::-1, ::-1], pictures)
    return jnp.where(turn % 2 == 1, jnp.rot90(half, axes=(1, 2)), half)


def shown(leaf: Array) -> Array:
    """Pictures, uint8 [N, H, W], as float32 [N, H, W, 1]; any other array unchanged."""
    if leaf.ndim == 3 and leaf.dtype == jnp.uint8:
        return leaf[..., None].astype(jnp.float32)
    return leaf
