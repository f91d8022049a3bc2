"""A Gaussian family of linear tasks on which the fixed point of every first- and second-order rule is known.

A task is y = w . x with x ~ N(0, S) and w ~ N(m, I); there are two kinds of task, with a (S, m) each. Under the
expected squared error, H = 2 S, an inner step takes theta - w to A (theta - w), A = I - alpha H, so that the expected
update of each rule is M (theta - m), summed over the kinds of task, with a matrix M of its own:

    MAML        A^k H A^k   the gradient of its objective, which is quadratic in theta
    FOMAML          H A^k   the query's gradient at theta_k
    Reptile       I - A^k   theta - theta_k
    joint training      H   transfer: the gradient at theta

It vanishes at theta = (sum M)^-1 sum M m: four weighted means of the kinds' m, which differ because the kinds' H do.
The expectations are exact, not sampled: sqrt(n) times a Cholesky factor has the second moments S, and the four points
m +- 1 have the first two moments of N(m, I).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_tasks import Linear, examples

from metarec_jax import objectives
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.learners.gradient.transfer import transfer
from metarec_jax.types import Episode

ALPHA = 0.2
COVARIANCES = np.array([[[2.0, 0.3], [0.3, 0.4]], [[0.5, -0.2], [-0.2, 0.9]]])
MEANS = np.array([[2.0, -1.0], [-1.0, 3.0]])
RULES = {
    "maml": maml,
    "fomaml": partial(maml, first_order=True),
    "reptile": reptile,
    "transfer": transfer,
}


def family() -> Episode:
    """The eight tasks whose moments are the family's, as a task batch."""
    tasks = []
    for covariance, mean in zip(COVARIANCES, MEANS, strict=True):
        x = np.sqrt(2) * np.linalg.cholesky(covariance).T  # x' x / 2 = S
        for signs in ([1, 1], [1, -1], [-1, 1], [-1, -1]):
            part = examples(x, x @ (mean + signs))
            tasks.append(Episode(part, part))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks)


def fixed_point(name: str, steps: int) -> np.ndarray:
    left, right = np.zeros((2, 2)), np.zeros(2)
    for covariance, mean in zip(COVARIANCES, MEANS, strict=True):
        hessian = 2 * covariance
        turn = np.linalg.matrix_power(np.eye(2) - ALPHA * hessian, steps)
        matrix = {
            "maml": turn @ hessian @ turn,
            "fomaml": hessian @ turn,
            "reptile": np.eye(2) - turn,
            "transfer": hessian,
        }[name]
        left, right = left + matrix, right + matrix @ mean
    return np.linalg.solve(left, right)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", RULES)
def test_each_rule_converges_to_its_own_point(name, steps):
    with jax.enable_x64(True):
        rule = RULES[name](Linear(), objectives.squared_error, lr=ALPHA, steps=steps)
        tasks = family()

        def expected_loss(params):
            return jnp.mean(jax.vmap(lambda task: rule.loss(params, task, None)[0])(tasks))

        @jax.jit
        def train(params):
            def step(params, _):
                return jax.tree.map(lambda w, g: w - 0.2 * g, params, jax.grad(expected_loss)(params)), None

            return jax.lax.scan(step, params, length=5000)[0]

        reached = train({"w": jnp.array([10.0, -10.0])})["w"]
        np.testing.assert_allclose(reached, fixed_point(name, steps), rtol=1e-6)
        for other in RULES:
            if {name, other} == {"reptile", "transfer"} and steps == 1:
                continue  # one step of Reptile is joint training
            if other != name:
                assert np.abs(reached - fixed_point(other, steps)).max() > 0.1, other


def test_one_step_reptile_has_the_point_of_joint_training():
    np.testing.assert_allclose(fixed_point("reptile", 1), fixed_point("transfer", 1), rtol=1e-12)
