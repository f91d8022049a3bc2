"""A ridge head that the queries refine: by hand, and without a step R2-D2."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_classes import Scaled, outputs, three_classes

from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.closed_form.refined_r2d2 import refined_r2d2
from metarec_jax.objectives import cross_entropy


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def test_two_steps_by_hand():
    """As weighted ridge regression in the primal, without a balance."""
    task = three_classes()
    x, queries, y = np.asarray(task.support.x)[:4], np.asarray(task.query.x), np.array([0, 0, 1, 2])
    known, both = np.eye(3)[y] - 1 / 3, np.concatenate([x, queries])

    def fitted(rows, targets, weights):
        return np.linalg.solve(
            rows.T @ (weights[:, None] * rows) + 2.0 * np.eye(3), rows.T @ (weights[:, None] * targets)
        )

    logits = 5.0 * queries @ fitted(x, known, np.ones(4))
    for _ in range(2):
        targets = np.concatenate([known, softmax(logits) - 1 / 3])
        logits = 5.0 * queries @ fitted(both, targets, np.r_[np.ones(4), np.full(8, 0.3)])
    options = {"steps": 2, "lam": 2.0, "scale": 5.0, "weight": 0.3, "balance": 0.0}
    found = outputs(refined_r2d2(Scaled(), cross_entropy, ways=3, **options), task)
    np.testing.assert_allclose(np.exp(found), softmax(logits), atol=1e-5)


def test_without_a_step_and_a_balance_it_is_r2d2():
    task = three_classes(1)
    refined = outputs(refined_r2d2(Scaled(), cross_entropy, ways=3, steps=0, balance=0.0, lam=3.0, scale=4.0), task)
    plain = outputs(r2d2(Scaled(), cross_entropy, ways=3, lam=3.0, scale=4.0), task)
    # Labels less the share of each class are one number in all logits away from labels of 0 and 1.
    np.testing.assert_allclose(np.exp(refined).argmax(1), plain.argmax(1))
    np.testing.assert_allclose(np.exp(refined).sum(1), 1.0, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        task = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, three_classes(3)
        )
        learner = refined_r2d2(Scaled(), cross_entropy, ways=3, lam=1.0, weight=0.7, balance=0.8)
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), learner.init(jax.random.key(0), task))

        @jax.jit
        def loss(params):
            return learner.loss(params, task, jax.random.key(0))[0]

        gradient, step = jax.grad(loss)(params), 1e-5
        for name in params["numbers"]:
            up, down = (
                loss(params | {"numbers": params["numbers"] | {name: params["numbers"][name] + sign * step}})
                for sign in (1, -1)
            )
            np.testing.assert_allclose(gradient["numbers"][name], (up - down) / (2 * step), rtol=1e-6, err_msg=name)
        up, down = (loss(params | {"net": {"scale": params["net"]["scale"] + sign * step}}) for sign in (1, -1))
        np.testing.assert_allclose(gradient["net"]["scale"], (up - down) / (2 * step), rtol=1e-6)


def test_a_regression_that_the_queries_join_finds_classes_that_one_example_does_not():
    """Two long clouds whose single examples lie askew, so that the line between these cuts both clouds."""
    rng = np.random.default_rng(0)
    centres = np.array([[2.0, 0.0], [-2.0, 0.0]])
    classes = np.arange(40) % 2
    queries = centres[classes] + rng.normal(size=(40, 2)) * [0.3, 1.5]
    support = np.array([[2.0, 2.5], [-2.0, -2.5]])
    task = three_classes()
    task = task._replace(
        support=task.support._replace(x=jnp.asarray(support), y=jnp.array([0, 1]), mask=jnp.ones(2)),
        query=task.query._replace(x=jnp.asarray(queries), y=jnp.asarray(classes), mask=jnp.ones(40)),
    )

    def right(steps: int) -> float:
        learner = refined_r2d2(Scaled(), cross_entropy, ways=2, steps=steps, lam=0.1, scale=10.0, weight=1.0)
        return float((outputs(learner, task).argmax(1) == classes).mean())

    assert right(0) < 0.9 and right(10) > 0.97
