"""The door of every experiment: whatever a person can mend is one line of bounded length, with what to do."""

import errno

import jax
import pytest
from helpers import call, write_ratings

from experiments import catalogue_ranking, flags, sinusoid, user_cold_start
from experiments.main import one_line_errors, parse_shots
from metarec_jax.benchmarks.scale import ScaleConfig
from metarec_jax.ops.one_line import WHOLE, OneLineError, one_line
from metarec_jax.train.sharding import ShardingError

LONG, NINES = "x" * 5000, "9" * 5000
COMMANDS = {
    "seed": (user_cold_start, "--seed=99999999999999999999", ["[0, 2147483647]"]),
    "a seed of 5,000 digits": (user_cold_start, f"--seed={NINES}", ["--seed=999"]),
    "seeds": (user_cold_start, "--seeds=99999999999999999999", ["--seeds", "[1, 10000]"]),
    "seeds from the last": (user_cold_start, ["--seed=2147483640", "--seeds=20"], ["--seed and --seeds", "2147483647"]),
    "steps": (user_cold_start, "--steps=99999999999999999999", ["--steps", "[1, 2147483647]"]),
    "devices": (user_cold_start, "--devices=99999999999999999999", ["--devices", "[1, 1024]"]),
    "shots": (user_cold_start, "--shots=0,99999999999999999999", ["--shots", "neither a number up to a million"]),
    "shots of 5,000 digits": (user_cold_start, f"--shots={NINES}", ["--shots", "999"]),
    "shots of others": (catalogue_ranking, "--shots=99999999999999999999", ["at least 0, up to a million"]),
    "points": (sinusoid, "--shots=99999999999999999999", ["at least 1, up to a million"]),
    "home of nobody": (user_cold_start, ["--data_dir=~nobody_here/data"], ["~nobody_here/data", "--data_dir"]),
    "data set": (user_cold_start, f"--dataset={LONG}", ["--dataset=xxx", "ml-100k"]),
    "names": (user_cold_start, f"--learners={LONG}", ["--learners", "maml"]),
    "columns": (user_cold_start, ["--ratings=mine.csv", f"--columns={LONG}"], ["columns", "user=uid"]),
    "file": (user_cold_start, f"--ratings={LONG}.csv", ["File name too long", "check the path"]),
    "work directory": (
        user_cold_start, ["--ratings=mine.csv", f"--workdir={LONG}"], ["File name too long", "check the path"]
    ),
    "a flag file": (user_cold_start, "--flagfile=/nothing/here", ["/nothing/here"]),
    "no flag": (user_cold_start, LONG, ["is not a flag"]),
}  # fmt: skip


@pytest.mark.parametrize("what", COMMANDS)
def test_huge_values_and_long_ones_are_one_short_line(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    write_ratings(tmp_path / "mine.csv")
    script, arguments, words = COMMANDS[what]
    with pytest.raises(SystemExit) as caught:
        call(script, *([arguments] if isinstance(arguments, str) else arguments))
    line = str(caught.value.code)
    assert line.startswith("error: ") and "\n" not in line and len(line) < WHOLE + 100
    assert not [word for word in words if word not in line], line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_every_count_has_a_largest_value():
    for name, flag in flags.EVERY.items():
        if flag.define is flags.flags.DEFINE_integer:
            assert flag.more["upper_bound"] <= flags.MOST, name


def line_of(error: Exception) -> str:
    with pytest.raises(SystemExit) as caught, one_line_errors():
        raise error
    return str(caught.value.code)


def test_what_the_system_complains_about_says_where_and_what_to_do():
    full = OSError(errno.ENOSPC, "No space left on device", "runs/x/results.json")
    assert line_of(full).startswith("error: runs/x/results.json cannot be read or written (No space left on device);")
    assert "check the path, its rights and the space there" in line_of(OSError(errno.EIO, "Input/output error"))
    assert "the memory does not suffice" in line_of(MemoryError())
    assert "ask for less" in line_of(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"))
    with pytest.raises(jax.errors.JaxRuntimeError), one_line_errors():  # a bug
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
    assert line_of(ValueError("a\nb\tc")) == "error: a b c"


def test_one_line():
    assert one_line(" a path  with blanks ") == "a path  with blanks"
    assert one_line("u\x1b[31m\u2028v\x00\udc80") == "u\\x1b[31m v\\x00\\udc80"
    long = one_line(f"user {'x' * 5000} rates twice; keep one.")
    assert long.startswith("user xxx") and long.endswith("xxx rates twice; keep one.") and len(long) < 400
    many = one_line(" ".join(["word"] * 5000) + " end")
    assert many.endswith("word end") and "[...]" in many and len(many) < WHOLE + 10
    assert str(OneLineError("a\nb")) == "a b"


def test_shots_up_to_a_million():
    assert parse_shots(["1000000", "007", "all"]) == [7, 1000000, "all"]
    with pytest.raises(ValueError, match="'1000001'"):
        parse_shots(["1000001"])


def test_tasks_that_do_not_divide_into_shards():
    with pytest.raises(ShardingError, match="40 tasks a step cannot be drawn evenly from 16 shards"):
        ScaleConfig(batch=40, shards=16).sharding(streamed=False)
