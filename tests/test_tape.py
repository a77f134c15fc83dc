"""Recorded functions give what NumPy gives, and its derivatives; models share the machine that runs them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.kernels import compiling, gaussian, tape
from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.tape import Symbolic, Tape
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.pieces import Piece

STEP = 1e-30


@compiled
def run(point, start, given, code, outputs):
    """The outputs, and the gradient of each."""
    work = tape.forward(point, start, given, code)
    gradients = np.empty((len(outputs), len(point)))
    for k in range(len(outputs)):
        slope = np.zeros(len(work))
        slope[outputs[k]] = 1.0
        gradients[k] = tape.backward(work, slope, given, code)
    return work[outputs], gradients


FUNCTIONS = {
    "add": lambda x: x[0] + x[1] + 2.0 + (3.0 + x[2]),
    "subtract": lambda x: (x[0] - x[1]) - 2.0 + (1.0 - x[2]),
    "multiply": lambda x: x[0] * x[1] * 3.0 * (0.5 * x[2]),
    "divide": lambda x: x[0] / x[1] + 1.0 / x[2] + x[1] / 4.0,
    "power": lambda x: x[0] ** 2 + x[1] ** -1.5 + x[2] ** 1,
    "negative": lambda x: -x[0] * +x[1],
    "functions": lambda x: np.exp(x[0]) * np.log(x[1]) + np.log1p(x[2]) * np.sqrt(x[0] * x[1]),
    "itself twice": lambda x: x[0] * x[0] / (x[0] + x[0]),
    "known": lambda x: 0 * x[0] + np.exp(0 * x[1]) + 2.0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations_and_their_derivatives(name: str) -> None:
    function = FUNCTIONS[name]
    point = np.array([0.7, 1.9, 0.4])
    recorded = Tape.of(lambda x: list(np.ravel(function(x[None, :].T))), 3)
    found, gradient = run(point, *recorded.arrays)
    np.testing.assert_allclose(found, [function(point)], rtol=1e-14)
    exact = [np.imag(function(point + STEP * 1j * axis)) / STEP for axis in np.eye(3)]
    np.testing.assert_allclose(gradient, [exact], rtol=1e-13)


@pytest.mark.parametrize("point", [[1.0, 2.0], [2.0, 1.0]])
def test_the_smaller_of_two(point: list[float]) -> None:
    recorded = Tape.of(lambda x: [Symbolic().minimum(x[0] ** 2, 3 * x[1])], 2)
    (found,), (gradient,) = run(np.array(point), *recorded.arrays)
    assert found == min(point[0] ** 2, 3 * point[1])
    np.testing.assert_allclose(gradient, [2 * point[0], 0] if point[0] ** 2 < 3 * point[1] else [0, 3])


@pytest.mark.parametrize("name", [name for name, kind in DISTRIBUTIONS.items() if kind.support != "count"])
def test_every_hyperprior_can_be_recorded(name: str) -> None:
    kind, x = DISTRIBUTIONS[name], np.array([0.3])
    arguments = {each: np.array([1.7 + 0.1 * place]) for place, each in enumerate(kind.roles)}
    recorded = Tape.of(lambda point: list(kind.log_density(point, **arguments)), 1)
    (found,), ((slope,),) = run(x, *recorded.arrays)
    np.testing.assert_allclose(found, kind.log_density(x, **arguments)[0], rtol=1e-13)
    np.testing.assert_allclose(slope, kind.log_density(x + STEP * 1j, **arguments)[0].imag / STEP, rtol=1e-12)


def test_equal_operations_are_done_once_and_known_ones_never() -> None:
    recorded = Tape.of(lambda x: [(x[0] * x[1] + 1) * (x[0] * x[1] + 1), 0 * x[0] + np.log(2.0)], 2)
    assert len(recorded.code) == 3


REFUSED = {
    "tanh": lambda x: np.tanh(x),
    "tanh by xp": lambda x: Symbolic().tanh(x),
    "tanh of an entry": lambda x: [x[0].tanh()],
    "arctan2": lambda x: np.arctan2(x, 2.0),
    "real": lambda x: [x[0].real],
    "abs": lambda x: np.abs(x),
    "comparison": lambda x: np.maximum(x, 1.0),
    "comparison by ==": lambda x: np.where(x == 0, 1.0, x),
    "condition": lambda x: np.where(x, x, 1.0),
    "plain number by floor": lambda x: np.floor(x),
    "plain number": lambda x: np.asarray(x, float),
    "//": lambda x: x // 2.0,
    "isfinite": lambda x: np.isfinite(x),
    "gammaln": lambda x: gammaln(x),
    "exponent": lambda x: x ** x[0],
    "exponent of a number": lambda x: 2.0 ** x,
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_operations_are_refused_in_words(name: str) -> None:
    words = r"^scales may use \+ - \* /, known powers, exp, log, log1p, sqrt, xp.minimum; got "
    with pytest.raises(SpecificationError, match=f"{words}.*{name.split(' ')[0]}"):
        Tape.of(lambda x: list(REFUSED[name](x)), 2)


def test_a_scale_that_cannot_be_recorded_is_refused_before_anything_samples(frame: pd.DataFrame) -> None:
    @dataclass(frozen=True, repr=False)
    class Bounded(bp.PartialPooling):
        def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
            (term,) = super().terms(frame, coefficients)

            class BoundedTerm(type(term)):
                def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any]:
                    scale, root = super().scales(values, xp)
                    return xp.tanh(scale), root

            return (BoundedTerm(*(getattr(term, each.name) for each in fields(term))),)

    with pytest.raises(SpecificationError, match="got tanh"):
        bp.fit(bp.Model("y ~ 1", Bounded("site")), frame, seed=1, progress=False)


@pytest.mark.parametrize("prior", [
    bp.PartialPooling("site"), bp.Conditional("site"),
    bp.PartialPooling("site") + bp.PartialPooling("sex", on=["Intercept", "dose"]) + bp.GaussianProcess("age"),
], ids=repr)
def test_groups_may_be_eliminated_or_not(frame: pd.DataFrame, prior: bp.priors.Prior,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Value, gradient, leave-one-out and, given the noise, nothing but rounding differs."""
    bound = bp.Model("y ~ dose + weight", prior).bind(frame)
    one = GaussianDensity(bound)
    points = np.random.default_rng(1).normal(0, 0.7, (3, one.size))
    (batch,) = bound.rows.batches(len(frame))
    assert one.arrangement.groups
    before = [one.log_density(point) for point in points], one.leave_one_out(one.values(points), 3, batch)
    for kind in {type(term) for term in bound.terms if term.grouped}:
        monkeypatch.setattr(kind, "grouped", False)
    other = GaussianDensity(bound)
    assert not other.arrangement.groups and other.arrangement.size > one.arrangement.size
    after = [other.log_density(point) for point in points], other.leave_one_out(other.values(points), 3, batch)
    for (value, slope), (again, same) in zip(before[0], after[0], strict=True):
        np.testing.assert_allclose(value, again, rtol=1e-12)
        np.testing.assert_allclose(slope, same, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(before[1], after[1], rtol=1e-9, atol=1e-9)


def test_no_model_compiles_anything_of_its_own(frame: pd.DataFrame, capfd: pytest.CaptureFixture[str]) -> None:
    models = [bp.Model("y ~ dose", bp.PartialPooling("site")), bp.Model("y ~ 1", bp.GaussianProcess("age")),
              bp.Model("y ~ dose + weight", bp.Population(), bp.Normal(sd="se"))]
    for model in models:
        bp.fit(model, frame, seed=1, progress=False, method=bp.Laplace(draws=50, fallback=False, proposals=1024))
        density = GaussianDensity(model.bind(frame))
        density.log_density(np.zeros(density.size))
    for function in (gaussian.value_and_gradient, gaussian.values, gaussian.draw, gaussian.factor):
        assert len(function.signatures) <= 1, function.signatures
    # LAPACK prints what it does not accept, and goes on.
    assert capfd.readouterr() == ("", "")


def test_where_nothing_is_finite_the_density_is_zero(frame: pd.DataFrame) -> None:
    density = GaussianDensity(bp.Model("y ~ dose", bp.PartialPooling("site")).bind(frame))
    for far in (800.0, -800.0, np.nan):
        value, slope = density.log_density(np.full(density.size, far))
        assert value == -np.inf and not slope.any()
        assert density.value(np.full(density.size, far)) == -np.inf


def test_what_is_kept_on_disk_belongs_to_one_state_of_the_files(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba would run the old code of a function that another file's function calls."""
    for file in compiling.SOURCES.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(compiling, "SOURCES", tmp_path)
    before = compiling.state()
    assert before == compiling.state()
    (tmp_path / "tape.py").write_text((tmp_path / "tape.py").read_text() + "\n# changed\n")
    assert compiling.state() != before
    assert gaussian.value_and_gradient.stats.cache_path == str(compiling.folder())
