"""The coordinate `unit` is the frame's index: in theta, predictions, log likelihoods, the tree and saved files."""

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_personal as bp
from bayes_personal.data.columns import unit_labels
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.samplers.draws import flat, tree

ROWS = 12
PAIRS = pd.MultiIndex.from_product([["p", "q"], range(ROWS // 2)], names=["who", "visit"])
# Of every kind of index, what its labels become.
INDICES: dict[str, tuple[pd.Index, list]] = {
    "numbers": (pd.RangeIndex(ROWS), list(range(ROWS))),
    "shuffled": (pd.Index(range(ROWS)[::-1]), list(range(ROWS))[::-1]),
    "fractions": (pd.Index(np.arange(ROWS) / 4), list(np.arange(ROWS) / 4)),
    "nullable": (pd.Index(range(ROWS), dtype="Int64"), list(range(ROWS))),
    "arrow": (pd.Index(range(ROWS), dtype="int64[pyarrow]"), list(range(ROWS))),
    "text": (pd.Index(list("lkjihgfedcba"), name="g"), list("lkjihgfedcba")),
    "repeated": (pd.Index(list("aabbccddeeff")), list("aabbccddeeff")),
    "categories": (pd.CategoricalIndex(list("abcdefghijkl")), list("abcdefghijkl")),
    "dates": (pd.date_range("2020", periods=ROWS), list(pd.date_range("2020", periods=ROWS))),
    "time zone": (pd.date_range("2020", periods=ROWS, tz="UTC"), [f"{day} 00:00:00+00:00" for day in
                                                                 pd.date_range("2020", periods=ROWS).date]),
    "days": (pd.Index([datetime.date(2020, 1, day + 1) for day in range(ROWS)]),
             [f"2020-01-{day + 1:02}" for day in range(ROWS)]),
    "intervals": (pd.interval_range(0, ROWS), [f"({k}, {k + 1}]" for k in range(ROWS)]),
    "two levels": (PAIRS, [f"{who}, {visit}" for who, visit in PAIRS]),
    "levels that read alike": (pd.MultiIndex.from_tuples([("a, b", "c"), ("a", "b, c"), *zip("defghijklm", "x" * 10,
                                                                                             strict=True)]),
                               ["('a, b', 'c')", "('a', 'b, c')", *(f"{a}, x" for a in "defghijklm")]),
    "mixed": (pd.Index([1, "1", *"abcdefghij"], dtype=object), ["1", "'1'", *"abcdefghij"]),
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame({"y": rng.normal(size=ROWS), "x": rng.normal(size=ROWS), "g": list("abcd") * 3})


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame) -> Posterior:
    return bp.fit(bp.Model("y ~ x", bp.PartialPooling("g")), frame, seed=1, progress=False, method=bp.Laplace(draws=40))


def labelled(fitted: Posterior, frame: pd.DataFrame) -> Posterior:
    """The same draws, of a frame with another index."""
    bound = fitted.model.bind(frame)
    return Posterior(fitted.model, bound, tree(bound, flat(fitted.tree), 1))


@pytest.mark.parametrize("kind", INDICES)
def test_every_index_labels_its_units_also_in_a_file(kind: str, fitted: Posterior, frame: pd.DataFrame,
                                                     tmp_path: Path) -> None:
    index, labels = INDICES[kind]
    posterior = labelled(fitted, frame.set_axis(index))
    posterior.save(tmp_path / "saved.nc")
    again = bp.load(tmp_path / "saved.nc")
    xr.testing.assert_identical(again.tree["observed_data"].to_dataset(), posterior.tree["observed_data"].to_dataset())
    forward = bp.predict(posterior, posterior.bound.frame, kind="theta").draws
    backward = bp.predict(posterior, posterior.bound.frame[::-1], kind="theta").draws[:, :, ::-1]
    for coordinate in (posterior.theta.unit, posterior.tree["observed_data"].unit, again.theta.unit, forward.unit,
                       backward.unit, bp.log_likelihood(posterior, progress=False).unit):
        assert pd.Index(coordinate.to_numpy()).to_list() == labels
    where = {label: [place for place, other in enumerate(labels) if other == label] for label in labels}
    for label, places in where.items():
        for theta in (posterior.theta, again.theta, forward):
            np.testing.assert_array_equal(theta.sel(unit=label).to_numpy().reshape(40, -1, 2),
                                          fitted.theta.isel(unit=places).to_numpy().reshape(40, -1, 2))


def test_after_rows_are_dropped_and_shuffled_a_label_is_still_the_same_row() -> None:
    """What a position says and what a label says differ once a single row is gone."""
    sleep = bp.load_dataset("sleepstudy").drop(3).sample(frac=1, random_state=0)
    posterior = bp.fit(bp.Model("reaction ~ days", bp.PartialPooling("subject")), sleep, seed=1, progress=False,
                       method=bp.Laplace(draws=200))
    days = posterior.theta_frame().query("coefficient == 'days'")["mean"]
    for label in (0, 10, 19, 179):
        own = posterior.theta.sel(unit=label, coefficient="days").mean()
        np.testing.assert_allclose(own, days[label], rtol=1e-12)
        of_subject = sleep.index[sleep["subject"] == sleep.loc[label, "subject"]]
        np.testing.assert_allclose(days[of_subject], own, rtol=1e-12)
        predicted = bp.predict(posterior, sleep.sort_index(), kind="theta").draws.sel(unit=label, coefficient="days")
        np.testing.assert_allclose(predicted.mean(), own, rtol=1e-12)
    assert (bp.loo(posterior, progress=False).pareto_k.unit.to_numpy() == sleep.index).all()


@pytest.mark.parametrize("kind", ["repeated", "dates", "two levels"])
def test_the_program_and_what_pymc_samples_from_it_have_the_same_labels(kind: str, frame: pd.DataFrame) -> None:
    index, labels = INDICES[kind]
    posterior = bp.fit(bp.Model("y ~ 1"), frame.set_axis(index), seed=1, progress=False,
                       method=bp.NUTS(draws=10, tune=10, chains=1, collapse=False))
    assert pd.Index(posterior.tree["observed_data"].unit.to_numpy()).to_list() == labels
    assert list(posterior.pymc.coords["unit"]) == labels


def test_rows_in_files_are_numbered(fitted: Posterior, frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "rows.parquet")
    bound = fitted.model.bind(tmp_path / "rows.parquet")
    assert bound.units.tolist() == list(range(ROWS)) == unit_labels(frame.index).tolist()


def test_compare_goes_by_rows_whatever_their_labels(frame: pd.DataFrame) -> None:
    """Were densities aligned by label, rows of one posterior would be subtracted from others of the next."""
    def fit(prior: bp.Population, index: pd.Index) -> Posterior:
        return bp.fit(bp.Model("y ~ x", prior), frame.set_axis(index), seed=1, progress=False, method=bp.Laplace())

    numbers, repeated = INDICES["numbers"][0], INDICES["repeated"][0]
    plain = fit(bp.Population(), numbers)
    one, other = (bp.compare({"population": plain, "groups": fit(bp.PartialPooling("g"), index)}, progress=False)
                  for index in (numbers, repeated))
    pd.testing.assert_frame_equal(one, other)
