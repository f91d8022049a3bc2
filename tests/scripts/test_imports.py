"""Any two programs can be imported in one process: none defines a flag with absl before it is run."""

import importlib
from pathlib import Path

import pytest
from absl import flags, logging

from experiments.main import Experiment

ROOT = Path(__file__).parents[2]
FILES = [*sorted(ROOT.glob("experiments/[a-z]*.py")), *sorted(ROOT.glob("scripts/*.py"))]
NAMES = [f"{path.parent.name}.{path.stem}" for path in FILES]


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_program_defines_no_flag(name):
    logging.set_verbosity(logging.get_verbosity())  # absl's own flags are there
    before = set(flags.FLAGS)
    importlib.import_module(name)
    assert set(flags.FLAGS) == before


@pytest.mark.parametrize("name", NAMES)
def test_every_program_says_what_it_does(name, capsys):
    program = importlib.import_module(name)
    if isinstance(getattr(program, "main", None), Experiment):
        program.main([f"{name}.py", "--help"])
        shown = capsys.readouterr().out
        assert shown.startswith(program.__doc__.splitlines()[0]) and "Flags:" in shown
        assert all(f"{flag}:" in shown for flag in getattr(program, "FLAGS", ()))
