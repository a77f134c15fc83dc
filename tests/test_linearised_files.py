"""Rows in files whose family is not Normal: the fit, the questions and the errors are those of a frame."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from dask import distributed
from test_linearised import FAMILIES, PRIORS, frame

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning, InputError, InputWarning, SpecificationError

METHOD = bp.Laplace(draws=100)
# The search for the point of expansion ends where a step gains a billionth of the log density, which places it to a
# few parts in 100 000 of a posterior standard deviation: sums in another order may move draws by as much.
NEAR = 1e-4
pytestmark = pytest.mark.filterwarnings("ignore::bayes_personal.errors.InputWarning")


def must_agree(found: xr.DataArray, wanted: xr.DataArray) -> None:
    """Assert that draws are the same but for the order in which rows were summed."""
    over = ("chain", "draw")
    # A correlation of a coefficient with itself does not vary.
    assert bool((np.abs(found - wanted).max(over) <= NEAR * wanted.std(over) + 1e-12).all()), wanted.name


def save(rows: pd.DataFrame, folder: Path) -> Path:
    """Two files, the first with several row groups."""
    folder.mkdir(exist_ok=True)
    rows.iloc[:90].to_parquet(folder / "a.parquet", row_group_size=40)
    rows.iloc[90:].to_parquet(folder / "b.parquet")
    return folder


@pytest.mark.parametrize(("family", "prior"), [*((family, "slopes") for family in FAMILIES), ("Bernoulli", "smooth"),
                                               ("StudentT", "both")])
def test_the_posterior_is_that_of_the_frame(family: str, prior: str, tmp_path: Path) -> None:
    rows = frame(rows=150)
    model = bp.Model(f"{family} ~ x", PRIORS[prior], FAMILIES[family])
    held, stored = (bp.fit(model, data, seed=3, method=METHOD, progress=False) for data in
                    (rows, save(rows, tmp_path / "table")))
    for name, values in held.tree["posterior"].data_vars.items():
        must_agree(stored.tree["posterior"][name], values)
    one, other = (bp.loo(each, refit=False, progress=False) for each in (held, stored))
    np.testing.assert_allclose(other.elpd_i, one.elpd_i, rtol=NEAR)
    stored.save(tmp_path / "posterior.nc")
    loaded = bp.load(tmp_path / "posterior.nc")
    new = rows.iloc[:5]
    must_agree(*(bp.predict(each, new, kind="theta").draws for each in (loaded, held)))


def test_a_cluster_sums(tmp_path: Path) -> None:
    rows = frame(rows=150)
    model = bp.Model("Poisson ~ x", PRIORS["smooth"], FAMILIES["Poisson"])
    folder = save(rows, tmp_path / "table")
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        found = bp.fit(model, folder, seed=3, method=METHOD, progress=False, client=client)
    wanted = bp.fit(model, rows, seed=3, method=METHOD, progress=False)
    must_agree(*(each.tree["posterior"]["gp_c_scale"] for each in (found, wanted)))


@pytest.mark.parametrize(("family", "column", "words"), [
    ("Bernoulli", [0, 2], "neither 0 nor 1"), ("Poisson", [1, -3], "negative"), ("Binomial", [0, 30], "more successes"),
    ("NegativeBinomial", [1, 0.5], "fractional")])
def test_what_the_frame_is_refused_for(family: str, column: list[float], words: str, tmp_path: Path) -> None:
    rows = frame(rows=150)
    rows[family] = rows[family].astype(float)
    rows.loc[[0, 120], family] = column
    with pytest.raises(InputError, match=words) as refusal:
        bp.fit(bp.Model(f"{family} ~ x", PRIORS["slopes"], FAMILIES[family]), save(rows, tmp_path / "table"))
    assert "120" in str(refusal.value)


@pytest.mark.filterwarnings("error::bayes_personal.errors.InputWarning")
def test_a_part_without_a_success_is_no_reason_to_warn(tmp_path: Path) -> None:
    # Of several files, the second one has failures alone.
    rows = frame(rows=150, even=True).assign(g=np.resize(list("abc"), 150))
    rows.loc[90:, "Bernoulli"] = 0
    model = bp.Model("Bernoulli ~ x", bp.PartialPooling("g"), bp.Bernoulli())
    bp.fit(model, save(rows, tmp_path / "table"), seed=1, method=METHOD, progress=False)
    with pytest.warns(InputWarning, match="is 0 in all 150 rows"):
        model.bind(save(rows.assign(Bernoulli=0), tmp_path / "table"))


def test_what_needs_all_rows_says_so(tmp_path: Path) -> None:
    rows = frame(rows=150)
    folder = save(rows, tmp_path / "table")
    model = bp.Model("Poisson ~ x", PRIORS["smooth"], FAMILIES["Poisson"])
    with pytest.raises(SpecificationError, match="in memory"):
        bp.fit(model, folder, seed=1, method=bp.NUTS(draws=10, collapse=False), progress=False)
    with pytest.raises(SpecificationError, match="Rows in files fit models"):
        bp.fit(bp.Model("Poisson ~ x", bp.Mixture(2), FAMILIES["Poisson"]), folder)
    rows.loc[7, "Poisson"] = 400
    posterior = bp.fit(model, save(rows, folder), seed=1, method=METHOD, progress=False)
    with pytest.warns(ConvergenceWarning, match="With all rows in memory"):
        result = bp.loo(posterior, progress=False)
    assert result.pareto_k[7] > result.good_k and not len(result.refits)
