"""What has a row axis is mapped; the context, which is the task's, is not."""

import jax.numpy as jnp
import numpy as np

from metarec_jax.ops.rows import join_rows, map_rows
from metarec_jax.types import Examples, Inputs


def examples(ids, context=(7.0, 8.0, 9.0)) -> Examples:
    n = len(ids)
    x = Inputs(jnp.asarray(ids), jnp.arange(2.0 * n).reshape(n, 2), jnp.asarray(context))
    return Examples(x, jnp.arange(1.0 * n), jnp.ones(n))


def test_the_context_stays():
    first = map_rows(lambda leaf: leaf[:1], examples([3, 5, 6]))
    assert first.x.id.tolist() == [3] and first.y.tolist() == [0.0] and first.mask.tolist() == [1.0]
    np.testing.assert_array_equal(first.x.content, [[0.0, 1.0]])
    np.testing.assert_array_equal(first.x.context, [7.0, 8.0, 9.0])


def test_rows_are_joined_in_their_order_under_the_first_context():
    joined = join_rows(examples([3, 5]), examples([1], context=(0.0, 0.0, 0.0)))
    assert joined.x.id.tolist() == [3, 5, 1] and joined.y.tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_array_equal(joined.x.context, [7.0, 8.0, 9.0])


def test_another_x_has_rows_only():
    pictures = Examples(np.zeros((4, 2, 2)), np.arange(4), np.ones(4))
    assert join_rows(pictures, pictures).x.shape == (8, 2, 2)
