"""The house rules: what may import what, where flags are, how long files and functions are, and which words we use."""

import ast
import itertools
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from experiments import flags as known_flags

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "metarec_jax"
# From the ground up: a room imports those before it and none after it.
ORDER = (
    *("types", "params", "ops", "objectives", "data", "tasks", "models", "priors", "learners", "baselines", "train"),
    *("eval", "recipes", "report", "serve", "benchmarks", "search", "testing"),
)


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(tree: ast.Module) -> set[str]:
    """All modules that a file imports, names of `from` imports appended: they may be modules too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def test_rooms_import_downwards():
    arrows = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "__init__.py":
            for name in imported(parsed(path)):
                if name.startswith("metarec_jax.") and (other := name.split(".")[1]) in ORDER and other != room(path):
                    arrows[room(path), other].add(name_of(path))
    upwards = {pair: files for pair, files in arrows.items() if ORDER.index(pair[1]) > ORDER.index(pair[0])}
    assert not upwards
    assert {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("path", python_files("metarec_jax"), ids=name_of)
def test_the_package_reads_no_flags_and_prints_nothing(path):
    tree = parsed(path)
    forbidden = {"absl.flags", "absl.app", "argparse", "experiments", "scripts"}
    assert not forbidden & {".".join(name.split(".")[:depth]) for name in imported(tree) for depth in (1, 2)}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("print", "input")]


def in_a_process(code: str, **variables: str | None) -> str:
    """What Python code prints in a process of its own; a variable that is None is not set there."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | variables
    environment = {name: value for name, value in environment.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_no_part_and_no_flags():
    code = "import sys, metarec_jax; print([m for m in sys.modules if m.startswith(('jax', 'absl', 'metarec_jax.'))])"
    assert in_a_process(code).strip() == "[]"


def test_a_program_bounds_the_threads_of_blas_before_numpy_is_loaded():
    code = "import os, sys, experiments; print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules)"
    assert in_a_process(code, OPENBLAS_NUM_THREADS=None).strip() == "1 False"
    assert in_a_process(code, OPENBLAS_NUM_THREADS="8").strip() == "8 False"  # a user's own number


def test_all_scripts_import_in_one_process_and_register_no_flag():
    modules = [f"{path.parent.name}.{path.stem}" for path in [*(ROOT / "experiments").glob("[a-z]*.py"), *SCRIPTS]]
    assert len(modules) > 20
    code = f"import importlib; [importlib.import_module(name) for name in {modules}]\n"
    code += "from absl import flags; print(sorted(flags.FLAGS.flags_by_module_dict()))"
    ours = ("metarec_jax", "experiments", "scripts")
    assert not [name for name in ast.literal_eval(in_a_process(code)) if name.startswith(ours)]


SCRIPTS = [path for path in sorted((ROOT / "scripts").glob("*.py"))]


def test_each_flag_is_defined_once():
    groups = [group for name, group in vars(known_flags).items() if name.isupper() and isinstance(group, dict)]
    groups.remove(known_flags.EVERY)
    names = list(itertools.chain(*groups))
    assert len(names) == len(set(names)) and set(names) == set(known_flags.EVERY)
    for path in python_files("experiments", "metarec_jax"):
        if path.name != "flags.py":
            assert "DEFINE_" not in path.read_text(), name_of(path)


@pytest.mark.parametrize("path", python_files("metarec_jax", "experiments", "scripts"), ids=name_of)
def test_files_and_functions_are_short_and_public_names_have_a_docstring(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
    if path.is_relative_to(PACKAGE):
        public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert not [node.name for node in public if not node.name.startswith("_") and not ast.get_docstring(node)]


def test_the_experiments_are_thin():
    assert sum(path.read_text().count("\n") for path in python_files("experiments")) < 2300


# Words of an earlier, private dialect; docs/conventions.md has the field's.
DIALECT = (
    r"\bchunks?\b|\bSpread\b|\bTouched\b|\bone_scale\b|\brewinding\b|\bfactored\b|\bOneProgram\b|\bone_program\b|\btenths\b"
    r"|\bPlaces\b|\bLiker\b|\bAsked\b|\b(id_)?doubt\b|\bmade_up\b|\bwith_history\b|\bbe told apart\b|\bforet(el|old)"
    r"|\bwhich see\b"
)


@pytest.mark.parametrize("folder", ["metarec_jax", "experiments", "scripts", "docs", "README.md"])
def test_the_dialect_is_gone(folder):
    paths = [ROOT / folder] if (ROOT / folder).is_file() else sorted((ROOT / folder).rglob("*"))
    hits = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in paths
        if path.suffix in (".py", ".md", ".html", ".js")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(DIALECT, line)
    ]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize("path", python_files("metarec_jax", "experiments", "scripts"), ids=name_of)
def test_names_say_what_things_are(path):
    names = {node.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(parsed(path)) if isinstance(node, ast.arg)}
    names |= {node.name for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)}
    assert not names & {"found", "of", "one", "at", "both"}


def test_bars_are_off_where_the_output_is_no_terminal():
    calls = [
        (name_of(path), node)
        for path in python_files("metarec_jax", "experiments", "scripts")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tqdm"
    ]
    assert calls
    for name, call in calls:
        (off,) = [keyword.value for keyword in call.keywords if keyword.arg == "disable"] or [None]
        off = off.body if isinstance(off, ast.IfExp) else off
        assert isinstance(off, ast.Constant) and off.value is None, name  # tqdm's word for that


def test_files_that_docs_name_exist():
    pattern = r"`((?:metarec_jax/|experiments/|scripts/|tests/)?[a-z_]+/[a-z_/0-9]+\.(?:py|md|sh))`"
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if page.name.startswith("add_a_"):  # names files that its readers write
            continue
        for name in re.findall(pattern, page.read_text()):
            assert (ROOT / name).exists() or (PACKAGE / name).exists(), f"{page.name}: {name}"


def test_no_test_module_imports_another():
    modules = {path.stem for path in python_files("tests") if path.stem.startswith("test_")}
    for path in python_files("tests"):
        assert not modules & {name.split(".")[-1] for name in imported(parsed(path))}, name_of(path)
