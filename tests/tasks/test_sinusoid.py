"""Sinusoid tasks: the ranges, uniform draws, and the function itself."""

import jax
import numpy as np
import pytest
from helpers import assert_uniform

from metarec_jax.eval.predict import fixed_tasks
from metarec_jax.tasks.sinusoid import sinusoids

NUMBER = 4000


@pytest.fixture(scope="module")
def drawn():
    """Many tasks of 5 support and 7 query points, as numpy."""
    tasks = fixed_tasks(sinusoids(support=5, query=7), jax.random.key(0), NUMBER)
    return jax.tree.map(np.asarray, tasks)


def wave(task) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude and phase of each task, [T] each, by least squares on its support: y = a sin x + b cos x."""
    x, y = task.x[..., 0].astype(float), task.y.astype(float)
    basis = np.stack([np.sin(x), np.cos(x)], -1)
    a, b = np.array([np.linalg.lstsq(m, t)[0] for m, t in zip(basis, y, strict=True)]).T
    return np.hypot(a, b), np.arctan2(-b, a)  # A sin(x - p) = A cos p sin x - A sin p cos x


def test_shapes_and_no_padding(drawn):
    assert drawn.support.x.shape == (NUMBER, 5, 1) and drawn.query.x.shape == (NUMBER, 7, 1)
    assert drawn.support.y.shape == (NUMBER, 5) and drawn.query.y.shape == (NUMBER, 7)
    assert drawn.support.mask.all() and drawn.query.mask.all()


def test_support_and_query_are_points_of_one_wave(drawn):
    amplitude, phase = wave(drawn.support)
    expected = amplitude[:, None] * np.sin(drawn.query.x[..., 0] - phase[:, None])
    error = np.abs(expected - drawn.query.y).max(1)
    assert np.median(error) < 1e-5 and np.quantile(error, 0.99) < 1e-2  # some supports hardly fix their wave


def test_amplitude_phase_and_inputs_are_uniform_on_their_ranges(drawn):
    amplitude, phase = wave(drawn.query)
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, np.pi)):
        inside = (values > low - 1e-3) & (values < high + 1e-3)
        assert inside.mean() > 0.999
        assert_uniform(np.histogram(values, bins=20, range=(low, high))[0])
    for x in (drawn.support.x, drawn.query.x):
        assert x.min() >= -5 and x.max() <= 5
        assert_uniform(np.histogram(x, bins=50, range=(-5, 5))[0])
    assert abs(np.corrcoef(amplitude, phase)[0, 1]) < 0.05
    assert abs(np.corrcoef(drawn.support.x[:, 0, 0], drawn.query.x[:, 0, 0])[0, 1]) < 0.05


def test_even_queries_run_from_end_to_end_and_the_waves_do_not_depend_on_k():
    def query(support):
        tasks = fixed_tasks(sinusoids(support=support, query=11, even_query=True), jax.random.key(1), 3)
        return jax.tree.map(np.asarray, tasks.query)

    few, many = query(2), query(9)
    np.testing.assert_allclose(few.x[:, :, 0], np.tile(np.linspace(-5, 5, 11), (3, 1)), atol=1e-6)
    np.testing.assert_array_equal(few.y, many.y)
    assert np.ptp(few.y, axis=0).min() > 0  # and differ from each other
