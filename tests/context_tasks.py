"""Rating tasks of a user with given side features, for learners whose start depends on who the user is."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.models.recommender import RatingNet
from metarec_jax.types import Episode, Examples, Inputs

NET = RatingNet(20, 3.0, id_dim=4, side_dim=4, hidden=(6,))


class ContentLinear(nn.Module):
    """content [N, F] . w, without a bias."""

    @nn.compact
    def __call__(self, x: Inputs):
        return x.content @ self.param("w", nn.initializers.normal(), (x.content.shape[-1],))


def task_of_user(context=(0.5, -1.0), rows: int = 6) -> Episode:
    """`rows` support and 4 query ratings of items 0, 1, ... by a user with side features `context` [G].

    Items and ratings are the same for every context.
    """
    rng = np.random.default_rng(0)

    def part(ids) -> Examples:
        n = len(ids)
        x = Inputs(ids, rng.normal(size=(n, 3)).astype(np.float32), np.float32(context))
        return Examples(x, rng.uniform(1, 5, size=n).astype(np.float32), np.ones(n, np.float32))

    ids = np.arange(rows + 4, dtype=np.int32)
    return jax.tree.map(jnp.asarray, Episode(part(ids[:rows]), part(ids[rows:])))


def with_random_parts(params, *names: str):
    """The parameters with random numbers in the parts `names`."""
    rng = np.random.default_rng(1)
    return params | {
        name: jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), leaf.dtype), params[name])
        for name in names
    }


def predict(learner, params, support: Examples, x: Inputs):
    """Predictions [N] for x after adapting to the support, compiled."""
    return jax.jit(lambda p, s: learner.predict(learner.adapt(p, s), x))(params, support)
