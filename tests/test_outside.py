"""A prior or family outside of the package keeps all laws with no line inside changed."""

import importlib.util
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parent / "outside").glob("*.py"))
LONG = ("waiting_times",)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("script", [
    pytest.param(script, id=script.stem, marks=[pytest.mark.slow] * (script.stem in LONG)) for script in SCRIPTS])
def test_outside(script: Path) -> None:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.check()
