"""A posterior says what drew it, and the report what its numbers mean."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_linearised import FAMILIES, PRIORS, density_of, frame

import bayes_personal as bp
from bayes_personal.samplers.corrected import corrected

SMOOTH = bp.GaussianProcess("c")
FITS: dict[str, tuple[str, Any, Any, str]] = {
    "collapsed": ("StudentT", SMOOTH, bp.NUTS(draws=20, tune=50, chains=2), "NUTS over the hyperparameters; all else"),
    "exact": ("StudentT", SMOOTH, bp.Laplace(draws=20), "importance sampling of the hyperparameters; all else drawn"),
    "weighted": ("Poisson", PRIORS["slopes"], bp.Laplace(draws=40), "importance sampling of the hyperparameters and "),
    "corrected": ("Poisson", SMOOTH, bp.NUTS(draws=400, tune=100, chains=2), "under Normal pseudo-data"),
    "explicit": ("Poisson", bp.Population(), bp.NUTS(draws=20, tune=20, chains=1, collapse=False), "all unknowns"),
    "variational": ("Poisson", bp.Population(), bp.ADVI(draws=20, max_iterations=50), "a variational approximation"),
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("case", FITS)
def test_the_engine_is_told(case: str, tmp_path: Path) -> None:
    outcome, prior, method, words = FITS[case]
    family = bp.Normal() if case in ("collapsed", "exact") else FAMILIES[outcome]
    posterior = bp.fit(bp.Model(f"{outcome} ~ x", prior, family), frame(), seed=1, method=method, progress=False)
    first, *_ = str(posterior.diagnostics).splitlines()
    assert first.startswith("engine: ") and words in first
    posterior.save(tmp_path / "posterior.nc")
    assert str(bp.load(tmp_path / "posterior.nc").diagnostics) == str(posterior.diagnostics)
    if case == "weighted":
        page = bp.report(posterior, tmp_path / "page.html", seed=1).read_text(encoding="utf-8")
        assert "rows&#39; own likelihoods" in page and posterior.diagnostics.explanation in page
    assert ("how heavy the tail" in posterior.diagnostics.explanation) == (case in ("exact", "weighted", "corrected"))
    assert ("weights of groups" in posterior.diagnostics.explanation) == (case == "weighted")


@pytest.mark.parametrize("draws", [4, 5])
def test_nuts_says_why_it_walks_over_everything(draws: int) -> None:
    """Of so few draws no correction can be trusted."""
    rows = pd.DataFrame({"y": [0, 1, 30, 0, 2, 1], "g": list("abcdef")})
    model = bp.Model("y ~ 1", bp.PartialPooling("g"), bp.Poisson())
    posterior = bp.fit(model, rows, seed=1, method=bp.NUTS(draws=draws, tune=20, chains=1), progress=False)
    first, *_ = posterior.diagnostics.words
    assert first.startswith("engine: NUTS over all unknowns, for draws under pseudo-data could not be corrected: ")
    assert posterior.theta.sizes["draw"] == draws


def test_progress_counts_the_draws_that_are_weighted() -> None:
    counts: list[int] = []
    density = density_of("Poisson", "smooth")
    sample = corrected(density, 1024, 2, np.random.default_rng(1), counts.append)
    assert counts[-1] == len(sample.weighted.points) and set(counts[:-1]) <= {density.effort.round, 1024}
    assert 1 <= len(counts) - 1 <= density.effort.rounds + 1
