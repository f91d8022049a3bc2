"""Data augmentation of training pictures by random affine maps.

Networks overfit to a thousand characters of twenty drawings each within minutes; a drawing that is slightly rotated,
stretched, slanted and shifted still shows the same character (Simard, Steinkraus and Platt 2003, "Best practices for
convolutional neural networks", affine distortions). Only training episodes are augmented. Resampling takes the nearest
pixel and does not interpolate, because held-out pictures have no grey pixels.
"""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from metarec_jax.types import Array, Episode, Examples, Tasks


def jittered(
    tasks: Tasks, *, turn: float = 0.1, stretch: float = 0.1, slant: float = 0.15, shift: float = 1.5
) -> Tasks:
    """The same tasks with every picture under its own random affine map.

    Args:
      tasks: tasks whose x are pictures, [N, H, W, 1].
      turn: largest rotation in radians, in either direction.
      stretch: each axis is scaled by a factor between 1 / (1 + stretch) and 1 + stretch.
      slant: largest shear, in pixels across for a pixel down.
      shift: largest translation along either axis, in pixels.
    """

    def sample(data: object, key: Array) -> Episode:
        draw_key, *keys = jax.random.split(key, 3)
        pairs = zip(keys, tasks.sample(data, draw_key), strict=True)
        return Episode(*(examples._replace(x=change(key, examples)) for key, examples in pairs))

    def change(key: Array, examples: Examples) -> Array:
        bounds = jnp.array([turn, jnp.log1p(stretch), jnp.log1p(stretch), slant, shift, shift])
        drawn = bounds * jax.random.uniform(key, (len(examples.x), 6), minval=-1.0, maxval=1.0)
        return jax.vmap(affine_warp)(examples.x[..., 0], drawn)[..., None]

    return tasks._replace(sample=sample)


def affine_warp(picture: Array, parameters: Array) -> Array:
    """A picture [H, W] under an affine map about its centre: the nearest pixels, and 0 beyond the edge.

    Args:
      picture: [H, W].
      parameters: [6] rotation in radians, log of the scale down and across, slant, shift down and across in pixels.
        Zeros are the identity.
    """
    turn, down, across, slant, *shift = parameters
    scale = jnp.array([[jnp.exp(-down), 0.0], [0.0, jnp.exp(-across)]])
    turned = jnp.array([[jnp.cos(turn), jnp.sin(turn)], [-jnp.sin(turn), jnp.cos(turn)]])
    back = (
        scale @ jnp.array([[1.0, 0.0], [-slant, 1.0]]) @ turned
    )  # from a position in the result to one in the picture
    middle = (jnp.array(picture.shape) - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, picture.shape), indexing="ij"), -1) - middle
    place = (grid - jnp.stack(shift)) @ back.T + middle
    return map_coordinates(picture, [place[..., 0], place[..., 1]], order=0, mode="constant")
