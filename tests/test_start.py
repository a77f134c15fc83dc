"""A sampler that cannot start says at which variable, before anything compiles, and in words of this package."""

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.start import started

TINY = bp.Hyperprior("HalfNormal", sigma=1e-200)
FAR = bp.Hyperprior("Normal", mu=1e6, sigma=1e-3)
METHODS = [bp.NUTS(), bp.NUTS(collapse=False), bp.NUTS(sampler="pymc"), bp.Laplace(), bp.ADVI()]


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a program nor a sampler is begun."""
    def begun(*args, **named):
        raise AssertionError("too late")

    for name in ("nutpie.sample", "pymc.sample", "pymc.ADVI", "bayes_personal.model.program.program"):
        monkeypatch.setattr(name, begun)


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 6, 30)
    return pd.DataFrame({"x": x, "k": rng.poisson(3, 30), "g": np.arange(30) % 3 + 0.5, "y": x + rng.normal(size=30)})


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize(("name", "prior", "family"), [
    ("sigma", bp.Population(), bp.Normal(sigma=TINY)), ("g_scale", bp.PartialPooling("g", scale=TINY), bp.Normal())])
def test_a_hyperprior_that_excludes_what_is_expected_is_named(
        name: str, prior, family, method, rows: pd.DataFrame, never: None) -> None:
    with pytest.raises(SpecificationError, match=rf"^{name}: .*HalfNormal\(sigma=1e-200\).*density 0 at"):
        bp.fit(bp.Model("y ~ x", prior, family), rows, seed=1, method=method, progress=False)


@pytest.mark.parametrize("method", [bp.NUTS(), bp.NUTS(sampler="pymc"), bp.ADVI()], ids=repr)
@pytest.mark.parametrize(("family", "outcome"), [(bp.Poisson(), "k"), (bp.NegativeBinomial(), "k")])
def test_a_mean_at_which_the_outcome_is_impossible_is_named(
        family, outcome: str, method, rows: pd.DataFrame, never: None) -> None:
    model = bp.Model(f"{outcome} ~ x", bp.Population(), family, mean=FAR)
    with pytest.raises(SpecificationError, match=r"^mu_centered: .*Normal\(mu=1e\+06, sigma=0.001\) 30 of 30 outcomes"):
        bp.fit(model, rows, seed=1, method=method, progress=False)


def test_the_stack_of_a_sampler_stays_hidden() -> None:
    with pytest.raises(SpecificationError, match="cannot start") as caught, started("NUTS()"):
        raise RuntimeError("All initialization points failed\n\nStack backtrace:\n   0: <unknown>")
    assert "backtrace" not in str(caught.value) and caught.value.__suppress_context__
    with pytest.raises(RuntimeError, match="of another kind"), started("NUTS()"):
        raise RuntimeError("of another kind")
