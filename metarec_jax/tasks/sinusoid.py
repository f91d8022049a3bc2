"""Sinusoid regression: each task is one sine wave, seen at K points. Finn, Abbeel and Levine 2017, arXiv:1703.03400.

y = A sin(x - phase) without noise, A uniform on [0.1, 5], phase on [0, pi], x on [-5, 5] (section 5.1; the minus sign
is that of the authors' code). The mean of y over tasks is not 0 but -2.55 (2 / pi) cos x, so a prediction at K = 0 can
be better than 0.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metarec_jax.types import Array, Episode, Examples, Tasks


class Family(NamedTuple):
    """The ranges, [2] each, of the uniform distributions of waves and inputs."""

    amplitude: Array
    phase: Array
    x: Array


def sinusoids(*, support: int, query: int, even_query: bool = False) -> Tasks:
    """Tasks of one wave each, from the paper's ranges.

    Args:
      support: K, the number of support examples.
      query: number of query examples.
      even_query: query inputs are evenly spaced over the range instead of random, so that the mean error is that of the
        whole curve. For evaluation.

    Returns:
      Tasks with x [N, 1] and y [N]. The wave depends on the key alone, not on K.
    """

    def sample(data: Family, key: Array) -> Episode:
        amplitude_key, phase_key, support_key, query_key = jax.random.split(key, 4)
        amplitude, phase = _uniform(amplitude_key, (), data.amplitude), _uniform(phase_key, (), data.phase)

        def examples(x: Array) -> Examples:
            return Examples(x[:, None], amplitude * jnp.sin(x - phase), jnp.ones(len(x)))

        query_x = jnp.linspace(data.x[0], data.x[1], query) if even_query else _uniform(query_key, (query,), data.x)
        return Episode(examples(_uniform(support_key, (support,), data.x)), examples(query_x))

    return Tasks(Family(jnp.array([0.1, 5.0]), jnp.array([0.0, math.pi]), jnp.array([-5.0, 5.0])), sample)


def _uniform(key: Array, shape: tuple[int, ...], bounds: Array) -> Array:
    return jax.random.uniform(key, shape, minval=bounds[0], maxval=bounds[1])
