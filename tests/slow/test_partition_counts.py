"""Counts under divisions of contexts at the defaults: with changes, without, and with few events.

`uv run pytest -m slow tests/slow/test_partition_counts.py`: 268 data sets, an hour and a half of one processor.
"""

import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning, InputWarning

CONTEXTS = 40
FAMILIES = {"Bernoulli": bp.Bernoulli(), "Binomial": bp.Binomial("n"), "Poisson": bp.Poisson()}
PRIORS = {"Partition": bp.Partition("t"), "TreePartition": bp.TreePartition("t")}
# Rates of a row, or chances, before and after the middle. Of rare events there are about four in all.
CHANCES = {"changes": (0.2, 0.7), "none": (0.4, 0.4), "rare": (0.1, 0.1)}
RATES = {"changes": (2.0, 6.0), "none": (3.0, 3.0), "rare": (0.1, 0.1)}
TRIALS = 10


def rows(family: str, kind: str, seed: int) -> pd.DataFrame:
    """A count at each of a few contexts."""
    rng, late = np.random.default_rng([seed, *map(ord, family + kind)]), np.arange(CONTEXTS) >= CONTEXTS // 2
    early, after = (RATES if family == "Poisson" else CHANCES)[kind]
    level = np.where(late, after, early)
    if family == "Poisson":
        y = rng.poisson(level)
    elif family == "Binomial":
        y = rng.binomial(TRIALS, level / TRIALS if kind == "rare" else level)
    else:
        y = rng.binomial(1, level)
    return pd.DataFrame({"t": np.arange(CONTEXTS), "y": y, "n": TRIALS})


def everything(prior: bp.priors.Prior, family: bp.families.Family, formula: str, frame: pd.DataFrame, seed: int,
               folder: Path) -> tuple[bp.Posterior, az.ELPDData]:
    """Fit, leave out, save, load and predict, between the contexts too; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        warnings.simplefilter("error", ConvergenceWarning)
        posterior = bp.fit(bp.Model(formula, prior, family), frame, seed=seed, progress=False)
        assert not posterior.complaints
        left_out = bp.loo(posterior, progress=False)
        assert np.isfinite(left_out.elpd_i).all()
    path = folder / "posterior.nc"
    posterior.save(path)
    # Draws, hyperparameters and as many levels as contexts, in eight bytes each.
    assert path.stat().st_size < 4000 * (3 * len(frame) + 50) * 8
    again = bp.load(path)
    new = frame.assign(**{prior.columns[0]: frame[prior.columns[0]] + 0.5}).iloc[:-1]
    one, two = (bp.predict(each, new, seed=1).frame() for each in (posterior, again))
    pd.testing.assert_frame_equal(one, two)
    assert np.isfinite(one.to_numpy(float)).all()
    return posterior, left_out


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", RATES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prior", PRIORS)
def test_counts(prior: str, family: str, kind: str, seed: int, tmp_path: Path) -> None:
    everything(PRIORS[prior], FAMILIES[family], "y ~ 1", rows(family, kind, seed), seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_coal(seed: int, tmp_path: Path) -> None:
    _, left_out = everything(bp.Partition("year"), bp.Poisson(), "disasters ~ 1", bp.load_dataset("coal"), seed,
                             tmp_path)
    assert left_out.elpd == pytest.approx(-171.75, abs=0.1)


def compared(seed: int, kind: str) -> pd.DataFrame:
    """Two assumptions of counts whose rate is the same throughout, or trebles in the middle."""
    return bp.compare({"alike": bp.Population(), "changing": bp.Partition("t")}, "y ~ 1", rows("Poisson", kind, seed),
                      family=bp.Poisson(), seed=seed, progress=False)


def alike_is_worse(table: pd.DataFrame) -> bool:
    """By 4 nats and 2 standard errors."""
    less, error = (abs(table.loc["alike", name]) for name in ("difference", "difference_se"))
    return table.index[0] == "changing" and less > 4 and less > 2 * error


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "sets"), [("none", 60), ("changes", 20)])
def test_the_population_is_worse_where_the_rate_trebles_and_never_else(kind: str, sets: int) -> None:
    tables = [compared(seed, kind) for seed in range(sets)]
    assert {alike_is_worse(table) for table in tables} == {kind == "changes"}
    # One default fit in fifty may miss the effective sample size that its diagnostics ask for.
    complaints = [words for table in tables for words in table["complaints"] if words]
    assert len(complaints) <= 2 * sets / 50 and all("ESS" in words for words in complaints), complaints
