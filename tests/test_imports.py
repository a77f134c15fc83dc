"""What takes long to import is imported where it is needed, and every name is what it says."""

import ast
import importlib
import pickle
import subprocess
import sys
from inspect import ismodule
from pathlib import Path

import pytest

import bayes_personal as bp

SLOW = {"arviz", "arviz_plots", "arviz_stats", "dask", "matplotlib", "numba", "nutpie", "pymc", "pytensor",
        "scipy.stats"}
MODEL = """
import sys
import bayes_personal as bp
assert not {"numpy", "pandas"} & set(sys.modules)
prior = bp.PartialPooling("g") + bp.GaussianProcess("c") + bp.LinearVarying("d", basis="spline")
repr(bp.Model("y ~ x", prior, bp.StudentT()))
print(*sys.modules)
"""


def run(script: str) -> str:
    """What a fresh interpreter prints."""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_model_needs_neither_samplers_nor_figures() -> None:
    loaded = run(MODEL).split()
    assert "bayes_personal.model.model" in loaded and not SLOW & set(loaded)


def test_every_name_is_there_and_at_home() -> None:
    """The names that are imported late, those that tools read and those that are promised are the same."""
    tree = ast.parse(Path(str(bp.__file__)).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    read = {alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom)
            for alias in node.names}
    assert set(bp.__all__) == {name for name, home in read.items() if home != "bayes_personal"}
    for name, home in read.items():
        module, value = importlib.import_module(home), getattr(bp, name)
        assert name in dir(bp) and (ismodule(value) if home == "bayes_personal" else value is vars(module)[name]), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'bayes_personal' has no attribute 'PartialPoling'"):
        bp.PartialPoling  # noqa: B018
    with pytest.raises(ImportError, match="PartialPoling"):
        exec("from bayes_personal import PartialPoling")
    assert not hasattr(bp, "program_of_nothing")


def with_bp(formula: str) -> str:
    """What a notebook would send to a worker."""
    return bp.Model(formula).outcome


def test_functions_that_mention_the_package_reach_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of __main__ are pickled by value, with the modules they mention; so do joblib and Dask."""
    cloudpickle = pytest.importorskip("cloudpickle")

    class Job:
        def run(self) -> bp.Population:
            return bp.Population()

    monkeypatch.setattr(with_bp, "__module__", "__main__")
    monkeypatch.setattr(Job, "__module__", "__main__")
    assert pickle.loads(cloudpickle.dumps(bp)) is bp
    sent = cloudpickle.dumps((with_bp, Job))
    script = f"import pickle; send, job = pickle.loads({sent!r}); print(send('y ~ x'), job().run())"
    assert run(script).split() == ["y", "Population()"]


def test_a_verb_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = bp.loo
    monkeypatch.setattr(bp, "loo", len)
    assert bp.loo is len
    monkeypatch.undo()
    assert bp.loo is plain
