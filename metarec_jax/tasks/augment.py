"""Pictures of training episodes drawn a little otherwise every time, as by another hand.

A thousand characters of twenty drawers each are learnt by heart in minutes; one that is turned, stretched, slanted and
moved a little is still the same character (Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural
networks", affine distortions). For training alone: held-out episodes stay as they are. So a pixel is the nearest one of
the picture and not a mean of four: what is ink or paper in a test must not be grey in training.
"""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from metarec_jax.types import Array, Episode, Examples, Tasks


def jittered(
    tasks: Tasks, *, turn: float = 0.1, stretch: float = 0.1, slant: float = 0.15, shift: float = 1.5
) -> Tasks:
    """The same tasks with every picture changed by an affine map of its own.

    Args:
      tasks: whose x are pictures, [N, H, W, 1].
      turn: at most so many radians, either way.
      stretch: each axis is scaled by a factor between 1 / (1 + stretch) and 1 + stretch.
      slant: at most so many pixels across for a pixel down.
      shift: at most so many pixels, along either axis.
    """

    def sample(data: object, key: Array) -> Episode:
        draw_key, *keys = jax.random.split(key, 3)
        parts = zip(keys, tasks.sample(data, draw_key), strict=True)
        return Episode(*(part._replace(x=change(key, part)) for key, part in parts))

    def change(key: Array, part: Examples) -> Array:
        bounds = jnp.array([turn, jnp.log1p(stretch), jnp.log1p(stretch), slant, shift, shift])
        drawn = bounds * jax.random.uniform(key, (len(part.x), 6), minval=-1.0, maxval=1.0)
        return jax.vmap(moved)(part.x[..., 0], drawn)[..., None]

    return tasks._replace(sample=sample)


def moved(picture: Array, how: Array) -> Array:
    """A picture [H, W] under an affine map about its middle: the nearest pixels, and 0 beyond the edge.

    Args:
      picture: [H, W].
      how: [6] turn in radians, log of the scale down and across, slant, pixels down and across. Zeros change nothing.
    """
    turn, down, across, slant, *shift = how
    scale = jnp.array([[jnp.exp(-down), 0.0], [0.0, jnp.exp(-across)]])
    turned = jnp.array([[jnp.cos(turn), jnp.sin(turn)], [-jnp.sin(turn), jnp.cos(turn)]])
    back = scale @ jnp.array([[1.0, 0.0], [-slant, 1.0]]) @ turned  # from a place in the result to one in the picture
    middle = (jnp.array(picture.shape) - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, picture.shape), indexing="ij"), -1) - middle
    place = (grid - jnp.stack(shift)) @ back.T + middle
    return map_coordinates(picture, [place[..., 0], place[..., 1]], order=0, mode="constant")
