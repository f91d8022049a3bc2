"""Pictures drawn a little otherwise: by hand, what stays, and that no two are changed alike."""

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.tasks.augment import affine_warp, jittered
from metarec_jax.types import Episode, Examples, Tasks


def picture() -> np.ndarray:
    """A stroke that no turn or mirror leaves as it is."""
    x = np.zeros((9, 9), np.float32)
    x[2:7, 3] = 1.0
    x[6, 3:6] = 1.0
    return x


def test_nothing_changes_nothing():
    np.testing.assert_allclose(affine_warp(picture(), jnp.zeros(6)), picture(), atol=1e-6)


def test_a_shift_moves_and_what_leaves_is_gone():
    down = affine_warp(picture(), jnp.array([0, 0, 0, 0, 2.0, -1.0]))
    np.testing.assert_allclose(down[2:, :-1], picture()[:-2, 1:], atol=1e-6)
    assert float(jnp.abs(down[:2]).max()) == 0.0
    assert float(jnp.abs(affine_warp(picture(), jnp.array([0, 0, 0, 0, 9.0, 0]))).max()) == 0.0


def test_a_quarter_turn_is_that_of_numpy():
    turned = affine_warp(picture(), jnp.array([jnp.pi / 2, 0, 0, 0, 0, 0]))
    assert any(np.allclose(turned, np.rot90(picture(), k), atol=1e-5) for k in (1, 3))


def test_twice_as_tall_has_twice_the_ink_and_a_slant_keeps_rows():
    tall = affine_warp(picture(), jnp.array([0, jnp.log(2.0), 0, 0, 0, 0]))
    assert abs(float(tall[:, 3].sum()) - 2 * picture()[:, 3].sum()) <= 1.5  # at the ends
    slanted = affine_warp(picture(), jnp.array([0, 0, 0, 1.0, 0, 0]))
    np.testing.assert_allclose(slanted.sum(1)[2:7], picture().sum(1)[2:7], atol=1e-5)
    assert np.argmax(slanted[2]) == np.argmax(picture()[2]) - 2  # two rows above the middle


def test_every_picture_has_a_change_of_its_own_and_labels_stay():
    y, mask = jnp.arange(3), jnp.ones(3)
    part = Examples(jnp.broadcast_to(picture()[None, ..., None], (3, 9, 9, 1)), y, mask)
    tasks = jittered(Tasks(None, lambda data, key: Episode(part, part)))
    found = jax.jit(tasks.sample)(None, jax.random.key(0))
    rows = np.concatenate([found.support.x, found.query.x]).reshape(6, -1)
    assert len(np.unique(rows, axis=0)) == 6
    assert set(np.unique(rows)) == {0.0, 1.0}  # as in the pictures
    assert np.abs(rows.sum(1) / picture().sum() - 1).max() < 0.5  # the ink stays about what it was
    for part in found:
        np.testing.assert_array_equal(part.y, y)
    again = tasks.sample(None, jax.random.key(1))
    assert np.abs(np.asarray(again.support.x) - found.support.x).max() > 0.1
