"""Metrics in plain Python, which breaks ties in all ways."""

import itertools

import numpy as np
import polars as pl


def plain_auc(frame: pl.DataFrame) -> float:
    rating, prediction = frame["target"].to_list(), frame["prediction"].to_list()
    pairs = [(i, j) for i, j in itertools.permutations(range(len(rating)), 2) if rating[i] > rating[j]]
    won = [(prediction[i] > prediction[j]) + (prediction[i] == prediction[j]) / 2 for i, j in pairs]
    return sum(won) / len(won) if won else float("nan")


def plain_ndcg(frame: pl.DataFrame, k: int) -> float:
    """Averaged over every order of the rows with a stable sort, which breaks ties in all ways."""
    gain = 2.0 ** frame["target"].to_numpy() - 1  # of ratings 1..5
    if len(set(gain)) == 1:
        return float("nan")
    discount = np.where(np.arange(len(gain)) < k, 1 / np.log2(np.arange(len(gain)) + 2.0), 0)
    orders = [np.array(order) for order in itertools.permutations(range(len(gain)))]
    score = -frame["prediction"].to_numpy()
    dcg = [gain[order[np.argsort(score[order], kind="stable")]] @ discount for order in orders]
    return float(np.mean(dcg) / (np.sort(gain)[::-1] @ discount))


def plain_metrics(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Metric -> one value a task, NaN where undefined, in plain Python."""
    tasks = [task for _, task in frame.group_by("task", maintain_order=True)]
    errors = [(task["prediction"].cast(float) - task["target"].cast(float)).to_numpy() for task in tasks]
    relevant = [(task["target"] >= 4).mean() for task in tasks]  # a query of 3 is shorter than 5
    return {
        "rmse": np.array([np.mean(error**2) for error in errors]),
        "mae": np.array([np.mean(np.abs(error)) for error in errors]),
        "auc": np.array([plain_auc(task) for task in tasks]),
        "ndcg@5": np.array([plain_ndcg(task, 5) for task in tasks]),
        "precision@5": np.array([share if share else np.nan for share in relevant]),
        "ndcg@10": np.array([plain_ndcg(task, 10) for task in tasks]),
    }
