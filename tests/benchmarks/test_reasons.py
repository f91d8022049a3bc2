"""The reasons benchmark from Python: influences beside the predictions, and the figures that are made of them."""

import numpy as np
import pytest
from helpers import random_table

from metarec_jax import benchmarks
from metarec_jax.report import reasons as report
from metarec_jax.train.store import Store

TABLE = random_table(0, users=80, items=20, least=8, most=14)


def test_influences_are_kept_and_summed_up_for_each_k():
    store = Store()
    benchmark = benchmarks.reasons((2, 4), query=3, examples=2)
    found = benchmarks.run(benchmark, TABLE, ["gp"], seeds=(0, 1), store=store).content
    frame = store.load_frame("influences.parquet", "")
    predictions = store.load_frame("predictions.parquet", "")
    assert frame.columns[:3] == ["name", "shots", "seed"] and set(frame["seed"]) == {0, 1}
    for row in found["rows"]:
        k = row["shots"]
        own = frame.filter(frame["shots"] == str(k))
        predicted, effect = -own["by_weight"].to_numpy(), own["effect"].to_numpy()
        assert row["metrics"]["correlation"]["mean"] == pytest.approx(np.corrcoef(predicted, effect)[0, 1], abs=1e-6)
        most = np.abs(predicted.reshape(-1, k)).argmax(1)
        strongest = effect.reshape(-1, k)[np.arange(len(most)), most]
        sign = np.sign(predicted.reshape(-1, k)[np.arange(len(most)), most])
        assert row["metrics"]["actual"]["mean"] == pytest.approx((strongest * sign).mean(), abs=1e-6)
        assert row["metrics"]["same sign"]["mean"] == pytest.approx((strongest * sign > 0).mean())
        assert row["metrics"]["correlation"]["tasks"] == len(own) and row["metrics"]["random"]["tasks"] == len(most)
        once = predictions.filter(predictions["shots"] == str(k))
        assert (own["prediction"].to_numpy()[::k] == once["prediction"].to_numpy()).all()
        assert row["metrics"]["rmse"]["mean"] > 0
    assert len(found["examples"]["gp"]) == 2 and len(found["points"]["gp"][0]) == 2
    assert all(name in report.text_table(found) for name in report.COLUMNS)


def test_reasons_need_a_known_number_of_ratings():
    for shots in ((0, 5), ("all",)):
        with pytest.raises(ValueError, match="ratings that are known"):
            benchmarks.reasons(shots)
