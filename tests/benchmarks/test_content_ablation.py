"""The variants of content: which groups of features each sees."""

from metarec_jax.benchmarks.content_ablation import variants


def test_with_three_kinds_each_is_left_out_once():
    found = variants({"a": ["a"], "b+c": ["b", "c"], "d": ["d"]})
    assert set(found) == {
        "all_content",
        "no_content",
        *(f"{how}_{kind}" for how in ("only", "without") for kind in ("a", "b+c", "d")),
    }
    seen = {name: recipe.build.__wrapped__.args[0] for name, recipe in found.items()}
    assert (
        seen["all_content"] == ["a", "b", "c", "d"]
        and seen["without_a"] == ["b", "c", "d"]
        and seen["no_content"] == []
    )
