"""The evaluator against predictors whose figures are known: constant, random, NaN, oracle, reversed oracle.

And the rows of results.json against numbers worked out by hand.
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.eval import metrics
from metarec_jax.eval.compare import Scores, result_rows
from metarec_jax.eval.predict import PredictionError, mean_squared_errors, predict_tasks
from metarec_jax.report import results
from metarec_jax.types import Baseline, Episode, Examples, Inputs, Scale

TASKS, SUPPORT, QUERY, SCALE = 400, 3, 12, Scale(1.0, 5.0)
TRUTH, NOISE, BROKEN = range(3)  # columns of the content
NAMES = np.array([f"user-{task}" for task in range(TASKS)])


def make_tasks(seed=0, tasks=TASKS):
    """Ratings 1..5 with 6 to 12 real query rows a task; the content tells a cheating predictor the truth. Padding
    holds NaN, which nothing may read. Task 0 has equal ratings only, task 1 none that is relevant."""
    rng = np.random.default_rng(seed)

    def examples(size, shortest):
        y = rng.integers(1, 6, (tasks, size)).astype(np.float32)
        y[0], y[1] = 4.0, rng.integers(1, 4, size)
        y[1, :2] = 1.0, 3.0  # not all equal
        mask = (np.arange(size) < rng.integers(shortest, size + 1, tasks)[:, None]).astype(np.float32)
        noise = rng.normal(size=y.shape)
        content = np.stack([y, noise, np.zeros_like(y)], -1).astype(np.float32)
        content[mask == 0] = np.nan
        y[mask == 0] = np.nan
        return Examples(Inputs(np.zeros((tasks, size), np.int32), content, np.zeros((tasks, 0))), y, mask)

    return Episode(examples(SUPPORT, 1), examples(QUERY, 6))


def predictor(function, output="rating"):
    """A Baseline that predicts function(x)."""
    return Baseline(lambda train: {}, lambda params, support: params, lambda fast, x: function(x), output)


CONSTANT = predictor(lambda x: jnp.full(x.id.shape, 3.5))
RANDOM = predictor(lambda x: x.content[:, NOISE])
ORACLE = predictor(lambda x: x.content[:, TRUTH])
REVERSED = predictor(lambda x: -x.content[:, TRUTH])
NAN = predictor(lambda x: jnp.full(x.id.shape, jnp.nan))


def scored(method, tasks=None, name="method", kind="baseline", shots=3):
    """Scores of a method, all the way that an experiment goes."""
    tasks = make_tasks() if tasks is None else tasks
    names = NAMES[: len(tasks.query.mask)]
    predictions = predict_tasks(name, method, {}, tasks, names)
    values = metrics.per_task(predictions, tasks.query.y, tasks.query.mask, SCALE)
    return Scores(name, kind, shots, names, np.zeros(len(names)), values)


def rows_of(scores):
    return result_rows(scores, metrics.RATING)


def figures(method):
    return rows_of([scored(method)])[0]["metrics"]


def shares(tasks):
    """Share of relevant rows of each task."""
    real = tasks.query.mask > 0
    return ((tasks.query.y >= SCALE.liked) & real).sum(1) / real.sum(1)


def test_a_constant_gets_what_ignorance_deserves():
    found, tasks = figures(CONSTANT), make_tasks()
    assert found["auc"]["mean"] == found["auc"]["low"] == found["auc"]["high"] == 0.5
    base = shares(tasks)
    assert found["precision@5"]["mean"] == pytest.approx(base[base > 0].mean(), abs=1e-6)
    errors = (3.5 - tasks.query.y)[tasks.query.mask > 0]
    assert abs(found["rmse"]["mean"] - np.sqrt(np.mean(errors**2))) < 0.02  # tasks differ in length
    same = figures(predictor(lambda x: jnp.full(x.id.shape, -1e6)))
    for metric in ("auc", "precision@5", "ndcg@5", "ndcg@10"):
        assert same[metric] == found[metric]


def test_random_scores_get_the_same_on_average():
    constant, found = figures(CONSTANT), figures(RANDOM)
    for metric in ("auc", "precision@5", "ndcg@5", "ndcg@10"):
        assert found[metric]["low"] < constant[metric]["mean"] < found[metric]["high"], metric
        assert found[metric]["high"] - found[metric]["low"] < 0.1


def test_an_oracle_is_perfect_and_nothing_is_better():
    found = figures(ORACLE)
    for metric, best in {"rmse": 0.0, "mae": 0.0, "auc": 1.0}.items():
        assert found[metric]["mean"] == found[metric]["low"] == found[metric]["high"] == best
    for metric in ("ndcg@5", "ndcg@10"):
        assert found[metric]["mean"] == pytest.approx(1.0, abs=1e-6)
        assert found[metric]["mean"] <= 1.0
    real = make_tasks().query.mask > 0
    hits = np.minimum((shares(make_tasks()) * real.sum(1)).round(), 5) / np.minimum(real.sum(1), 5)
    assert found["precision@5"]["mean"] == pytest.approx(hits[hits > 0].mean(), abs=1e-6)


def test_a_reversed_oracle_is_as_bad_as_can_be():
    found, random = figures(REVERSED), figures(RANDOM)
    assert found["auc"]["mean"] == 0.0
    for metric in ("ndcg@5", "ndcg@10", "precision@5"):
        assert found[metric]["mean"] < random[metric]["low"]


def test_undefined_tasks_are_counted_neither_dropped_in_silence_nor_scored_zero():
    for method in (CONSTANT, ORACLE, REVERSED):
        found = figures(method)
        nothing_relevant = int((shares(make_tasks()) == 0).sum())
        equal = sum(len(set(y[~np.isnan(y)])) == 1 for y in make_tasks().query.y)
        assert nothing_relevant >= 1 and equal >= 1
        assert found["precision@5"]["undefined"] == nothing_relevant
        assert found["auc"]["undefined"] == found["ndcg@5"]["undefined"] == equal
        for metric in found.values():
            assert metric["tasks"] + metric["undefined"] == TASKS
        assert found["rmse"]["undefined"] == 0


def test_a_metric_without_any_defined_task_is_undefined_and_still_counted():
    tasks = make_tasks(tasks=40)
    only_ones = tasks._replace(query=tasks.query._replace(y=np.ones_like(tasks.query.y)))
    row = rows_of([scored(CONSTANT, only_ones)])[0]["metrics"]
    assert math.isnan(row["auc"]["mean"]) and row["auc"]["tasks"] == 0 and row["auc"]["undefined"] == 40
    assert np.isnan(row["auc"]["per_seed"]).all() and results.plain(row)["auc"]["mean"] is None


# ------------------------------------------------------------------------------------- predictions that are none


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_prediction_that_is_no_number_is_an_error_that_names_method_and_user(value):
    tasks = make_tasks()
    tasks.query.x.content[[17, 40], 3, BROKEN] = value
    method = predictor(lambda x: 3.0 + x.content[:, BROKEN])
    with pytest.raises(PredictionError) as caught:
        predict_tasks("maml", method, {}, tasks, NAMES)
    message = str(caught.value)
    assert "\n" not in message and "maml" in message and "user-17 " in message and f" {value} " in message
    assert "2 of 400 tasks" in message and "lower its learning rates" in message


def test_nan_everywhere_never_becomes_a_figure():
    with pytest.raises(PredictionError, match=r"^method predicts nan for task user-0 \(400 of 400 tasks\)"):
        scored(NAN)


def test_padding_may_hold_anything():
    tasks = make_tasks()
    predictions = predict_tasks("oracle", ORACLE, {}, tasks, NAMES)
    real = tasks.query.mask > 0
    assert (predictions[real] == tasks.query.y[real]).all() and np.isnan(predictions[~real]).all()
    assert (mean_squared_errors(ORACLE, {}, tasks) == 0).all()


@pytest.mark.parametrize("batch", [1, 7, 400, 1000])
def test_how_many_tasks_are_worked_on_at_a_time_changes_nothing(batch):
    """And predictions see the support of their own task."""
    tasks = make_tasks()
    mean = Baseline(
        lambda train: {},
        lambda params, support: params["shift"] + jnp.sum(jnp.where(support.mask > 0, support.y, 0)),
        lambda fast, x: jnp.full(x.id.shape, fast),
    )
    found = predict_tasks("mean", mean, {"shift": jnp.float32(10)}, tasks, NAMES, batch=batch)
    wanted = 10 + np.nansum(tasks.support.y, 1)
    assert (found == wanted[:, None]).all()
    errors = mean_squared_errors(mean, {"shift": jnp.float32(10)}, tasks, batch=batch)
    np.testing.assert_allclose(errors, np.nanmean((wanted[:, None] - tasks.query.y) ** 2, 1), rtol=1e-6)


def test_mean_squared_errors_of_a_broken_method_are_not_finite_and_not_an_error():
    assert np.isnan(mean_squared_errors(NAN, {}, make_tasks())).all()


# ------------------------------------------------------------------------------------------------- result rows


def score(name, kind, shots, users, squares, aucs, seeds=0):
    seeds = np.broadcast_to(seeds, len(users))
    values = {"rmse": np.array(squares, float), "auc": np.array(aucs, float)}
    return Scores(name, kind, shots, np.array(users), seeds, values)


def hand_worked():
    nan = float("nan")
    return [
        score("score", "baseline", 0, ["a", "b", "c"], [nan, nan, nan], [0.5, 0.25, nan]),
        score("bias", "baseline", 0, ["a", "b", "c"], [4, 4, 1], [0.5, 0.5, nan]),
        score("maml", "learner", 0, ["a", "b", "c"], [4, 1, 1], [0.5, 0.75, nan]),
        score("score", "baseline", 2, ["a", "b"], [nan, nan], [1.0, 0.5]),
        score("bias", "baseline", 2, ["a", "b"], [4, 1], [0.5, 0.5]),
        score("maml", "learner", 2, ["b", "a"], [0, 1], [0.25, 0.5]),  # in another order
    ]


def test_rows_worked_out_by_hand():
    rows = {(row["name"], row["shots"]): row for row in rows_of(hand_worked())}
    assert list(rows) == [(s.name, s.shots) for s in hand_worked()]
    cold, warm = rows["maml", 0], rows["maml", 2]
    assert cold["metrics"]["rmse"]["mean"] == pytest.approx(math.sqrt(2))  # sqrt((4 + 1 + 1) / 3)
    assert cold["metrics"]["rmse"]["per_seed"] == [cold["metrics"]["rmse"]["mean"]]
    assert cold["metrics"]["auc"]["mean"] == 0.625 and cold["metrics"]["auc"]["per_seed"] == [0.625]
    assert (cold["metrics"]["auc"]["tasks"], cold["metrics"]["auc"]["undefined"]) == (2, 1)
    # The best baseline in each metric; one that only scores has no RMSE.
    assert cold["versus"]["baseline"] == "bias"
    assert cold["versus"]["rmse"]["baseline"] == "bias" == cold["versus"]["auc"]["baseline"]
    assert cold["versus"]["rmse"]["difference"] == pytest.approx(math.sqrt(2) - math.sqrt(3))  # negative is better
    assert cold["versus"]["auc"]["difference"] == pytest.approx(0.125)  # positive is better
    assert warm["versus"]["baseline"] == "bias" and warm["versus"]["auc"]["baseline"] == "score"
    assert warm["versus"]["rmse"]["difference"] == pytest.approx(math.sqrt(0.5) - math.sqrt(2.5))
    assert warm["versus"]["auc"]["difference"] == pytest.approx(0.375 - 0.75)
    # What adaptation adds is counted on the users that both Ks have: a and b.
    assert "adaptation" not in cold
    assert warm["adaptation"]["rmse"]["difference"] == pytest.approx(math.sqrt(0.5) - math.sqrt(2.5))
    assert warm["adaptation"]["auc"]["difference"] == pytest.approx(0.375 - 0.625)
    for (name, _), row in rows.items():
        assert ("versus" in row) == (name == "maml") == (row["kind"] == "learner")
        assert "adaptation" not in row or name == "maml"


def test_pairs_are_matched_by_user_not_by_position():
    users = [f"u{number}" for number in range(50)]
    difficulty = np.random.default_rng(0).uniform(1, 9, 50)
    back = slice(None, None, -1)
    rows = rows_of(
        [
            score("bias", "baseline", 1, users, difficulty, difficulty / 10),
            score("ridge", "learner", 1, users[back], 0.9 * difficulty[back], difficulty[back] / 10),
        ]
    )
    versus = rows[1]["versus"]
    assert versus["rmse"]["high"] < 0 and versus["rmse"]["p"] < 1e-12  # users differ far more than the methods do
    assert (versus["auc"]["difference"], versus["auc"]["p"]) == (0.0, 1.0)


def test_the_best_baseline_is_the_best_whatever_the_metric():
    rows = rows_of(
        [
            score("one", "baseline", 5, ["a", "b"], [1, 1], [0.6, 0.6]),
            score("two", "baseline", 5, ["a", "b"], [0.8, 1.0], [0.4, 0.6]),
            score("three", "baseline", 5, ["a", "b"], [2, 2], [0.7, 0.9]),
            score("elsewhere", "baseline", 1, ["a", "b"], [0, 0], [1, 1]),  # at another K
            score("maml", "learner", 5, ["a", "b"], [1, 1], [0.7, 0.7]),
            score("ridge", "learner", 5, ["a", "b"], [0, 0], [1, 1]),  # learners are not rivals
        ]
    )
    versus = rows[4]["versus"]
    assert versus["baseline"] == versus["rmse"]["baseline"] == "two" and versus["auc"]["baseline"] == "three"
    assert versus["rmse"]["difference"] == pytest.approx(1 - math.sqrt(0.9))  # worse, and it says so
    assert versus["auc"]["difference"] == pytest.approx(-0.1)


def test_without_a_baseline_or_without_k_0_there_is_nothing_to_compare_with():
    learner = score("maml", "learner", 3, ["a", "b"], [1, 2], [0.5, 0.6])
    assert set(rows_of([learner])[0]) == {"name", "kind", "shots", "metrics"}
    all_of_it = learner._replace(shots="all")
    before = learner._replace(shots=0)
    assert "adaptation" in rows_of([before, all_of_it])[1]


def test_several_seeds_are_paired_within_the_seed_and_resampled_by_user():
    rng = np.random.default_rng(1)
    users = [f"u{number}" for number in range(30)]
    squares, rivals = rng.uniform(0.5, 2, 30), rng.uniform(0.5, 2, 30)

    def rows(seeds):
        repeat = {"users": users * len(seeds), "seeds": np.repeat(seeds, 30)}
        shift = np.repeat(np.array(seeds) * 0.1, 30)
        return rows_of(
            [
                score("bias", "baseline", 0, squares=np.tile(rivals, len(seeds)) + shift, aucs=0 * shift, **repeat),
                score("maml", "learner", 0, squares=np.tile(squares, len(seeds)) + shift, aucs=0 * shift, **repeat),
            ]
        )[1]

    one, three = rows([0]), rows([0, 1, 2])
    assert one["metrics"]["rmse"]["per_seed"] == [pytest.approx(np.sqrt(squares.mean()))]
    assert three["metrics"]["rmse"]["per_seed"] == pytest.approx(list(np.sqrt(squares.mean() + [0, 0.1, 0.2])))
    assert three["metrics"]["rmse"]["mean"] == pytest.approx(np.sqrt(squares.mean() + 0.1))
    difference = np.sqrt(squares.mean() + 0.1) - np.sqrt(rivals.mean() + 0.1)
    assert three["versus"]["rmse"]["difference"] == pytest.approx(difference)
    # The same user three times is not three users: nothing gets more certain by repeating a seed.
    same, thrice = rows([0]), rows([0, 0.0001, -0.0001])
    for part in (("metrics", "rmse"), ("versus", "rmse")):
        for key in ("low", "high"):
            assert thrice[part[0]][part[1]][key] == pytest.approx(same[part[0]][part[1]][key], abs=1e-3)
    assert thrice["versus"]["rmse"]["p"] == pytest.approx(same["versus"]["rmse"]["p"], rel=0.01)
