"""The shell scripts beside a stand-in for Python: whose flags are whose, and an installation that was killed."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# Python, pip, uv and the package in one: an environment has "pip" and then "package", half of it first. Like the real
# ones they take what is there for whole. Every step may be the last: KILL=3 kills all at the third.
STAND_IN = r"""#!/usr/bin/env bash
venv=$(dirname "$(dirname "$0")")
step() {
    echo >>"$STEPS"
    if [ "$(wc -l <"$STEPS")" = "$KILL" ]; then kill -KILL 0; fi
}
echo "$*" >>"$CALLS"
if [ -n "$GONE" ] && [[ "$*" == *--constraint* ]]; then exit 1; fi # the versions of the lock
case "$(basename "$0") $1 $2" in
*" -c import fcntl"*) exec "$REAL" "$@" ;;
*" -m venv")
    step
    rm -f "$4"/installed-* && step && rm -rf "$4"
    mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && step
    touch "$4/pip" && step
    ;;
"python -m pip")
    [ -e "$venv/pip" ] && [ -z "$OFFLINE" ] || exit 1
    step
    [ "${*: -1}" != uv ] || cp "$0" "$venv/bin/uv"
    step
    ;;
"uv "*)
    step
    package=$venv/package-$(basename "${*: -1}")
    [ -e "$package" ] || { touch "$package" && step && echo whole >"$package"; }
    step
    ;;
"python -m experiments"*) grep -qr whole "$venv"/package-* && ! find "$venv"/package-* -empty | grep -q . ;;
esac
"""
RUN, DEMO = "-m experiments.user_cold_start", "-m experiments.demo"


@pytest.fixture
def run(tmp_path):
    """run(script, *flags, KILL=3) -> exit code and what Python was called with, in a copy of the scripts."""
    for part in ("scripts", "experiments"):
        shutil.copytree(ROOT / part, tmp_path / "copy" / part)
    for file in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / file, tmp_path / "copy")
    (tmp_path / "stand_in").write_text(STAND_IN)
    (tmp_path / "stand_in").chmod(0o755)
    numbers = itertools.count()

    def run(script: str, *flags: str, **variables: str) -> tuple[int, list[str]]:
        number = next(numbers)
        calls, steps = tmp_path / f"calls_{number}", tmp_path / f"steps_{number}"
        own = {"PYTHON": tmp_path / "stand_in", "REAL": sys.executable, "CALLS": calls, "STEPS": steps}
        own |= {"KILL": "", "OFFLINE": "", "GONE": ""}
        command = [tmp_path / "copy" / "scripts" / script, *flags]
        environment = os.environ | {name: str(value) for name, value in (own | variables).items()}
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, start_new_session=True)
        return done.returncode, calls.read_text().splitlines()

    run.folder = tmp_path / "copy"
    return run


@pytest.mark.parametrize(
    ("arguments", "extra", "expected"),
    [
        (["run.sh"], "", RUN),
        (["run.sh", "--dataset=ml-1m"], "", f"{RUN} --dataset=ml-1m"),
        (["run.sh", "experiments/user_cold_start.py", "--seed=1"], "", f"{RUN} --seed=1"),
        (["demo.sh", "--port=9000"], "[demo]", f"{DEMO} --port=9000"),
    ],
)
def test_flags_go_to_the_program_and_not_to_the_installation(run, arguments, extra, expected):
    code, calls = run(*arguments)
    assert code == 0 and calls[-1] == expected
    venv = run.folder / ".venv"
    assert calls[2] == f"-m venv --clear {venv}"
    assert calls[3] == "-m pip install --quiet uv"
    options = f"--python {venv}/bin/python --constraint {run.folder}/requirements.lock"
    assert calls[4] == f"pip install --quiet {options} --editable {run.folder}{extra}"
    assert run(*arguments) == (0, [expected])  # nothing is left to install


def killed_everywhere(run, script: str, before: str | None = None) -> int:
    """Kill a script at each of its steps, and see that the same command puts things right. How many steps there are."""
    for step in range(1, 100):
        shutil.rmtree(run.folder / ".venv", ignore_errors=True)
        if before:
            assert run(before)[0] == 0
        code, calls = run(script, KILL=str(step))
        if code == 0:
            return step - 1
        assert code == -signal.SIGKILL, step
        code, calls = run(script)
        assert code == 0, (step, calls)
    raise AssertionError("it has no end")


def test_an_installation_that_was_killed_anywhere_is_made_anew(run):
    assert killed_everywhere(run, "run.sh") == 9


def test_and_so_is_an_environment_to_which_something_was_to_be_added(run):
    assert killed_everywhere(run, "demo.sh", before="run.sh") == 5


def test_where_the_versions_of_the_lock_are_gone_others_are_taken(run):
    code, calls = run("run.sh", GONE="1")
    assert code == 0 and calls[-1] == RUN
    assert calls[-2] == f"pip install --quiet --python {run.folder}/.venv/bin/python --editable {run.folder}"


def test_another_lock_is_installed(run):
    assert run("run.sh")[0] == 0
    with open(run.folder / "requirements.lock", "a") as lock:
        lock.write("# of another day\n")
    assert len(run("run.sh")[1]) > 1 and run("run.sh") == (0, [RUN])


def test_the_lock_has_a_version_of_all_that_is_needed_and_tells_nothing_of_the_machine():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    locked = {requirement.name: requirement for requirement in map(Requirement, lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["dev"], *extras["demo"], *extras["scale"]]
    for requirement in map(Requirement, needed):
        if requirement.name == project["name"]:
            continue
        (pin,) = locked[requirement.name].specifier
        assert pin.operator == "==" and pin.version in requirement.specifier, requirement.name
    assert not re.search("[/@]|://|--", "\n".join(lines))


def test_without_a_registry_what_is_there_stays(run):
    assert run("run.sh")[0] == 0
    assert run("demo.sh", OFFLINE="1")[0] == 1
    assert run("run.sh", OFFLINE="1") == (0, [RUN])


def test_an_environment_that_was_half_made_before_there_was_a_mark_is_made_anew(run):
    python = run.folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy(run.folder.parent / "stand_in", python)  # without pip
    code, calls = run("run.sh")
    assert code == 0 and calls[-1] == RUN


def test_workers_that_are_started_together_install_once(run):
    with ThreadPoolExecutor() as pool:
        done = [pool.submit(run, "run.sh") for _ in range(3)]
    assert [each.result()[0] for each in done] == [0, 0, 0]
    assert sum("-m venv" in line for each in done for line in each.result()[1]) == 1
