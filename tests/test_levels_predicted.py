"""Predictions and figures of outcomes that are levels: probabilities of all, and drawn ones by their labels."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import special
from test_cumulative import LABELS, graded

import bayes_personal as bp
from bayes_personal.errors import InputError, SpecificationError


@cache
def fitted() -> bp.Posterior:
    model = bp.Model("answer ~ x", bp.PartialPooling("site", on=["Intercept"]), bp.Cumulative())
    return bp.fit(model, graded(), seed=1, progress=False)


def test_the_mean_is_the_probability_of_every_level() -> None:
    posterior, new = fitted(), graded().iloc[:5].assign(site=["s0", "s1", "s2", "elsewhere", None])
    shares = bp.predict(posterior, new, kind="mean", seed=1)
    assert shares.draws.dims == ("chain", "draw", "unit", "level") and shares.draws.level.to_numpy().tolist() == LABELS
    draws = posterior.tree["posterior"]
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws
    eta = (theta.to_numpy() * np.column_stack([np.ones(5), new["x"]])).sum(axis=-1)
    gaps = [draws["gap_1"].to_numpy()[..., None], draws["gap_2"].to_numpy()[..., None]]
    above = [special.expit(eta), special.expit(eta - gaps[0]), special.expit(eta - gaps[0] - gaps[1])]
    wanted = -np.diff(np.stack([np.ones_like(eta), *above, np.zeros_like(eta)], axis=-1), axis=-1)
    np.testing.assert_allclose(shares.draws, wanted, rtol=1e-9, atol=1e-12)
    table = shares.frame()
    assert len(table) == 20 and table["level"].tolist() == LABELS * 5
    np.testing.assert_allclose(table["mean"], wanted.mean(axis=(0, 1)).ravel(), rtol=1e-9)
    # Of one row and level alone.
    np.testing.assert_allclose(shares.draws.isel(unit=3).sel(level="often"), wanted[:, :, 3, 2], rtol=1e-9)


def test_outcomes_are_labels_in_proportion_to_their_probabilities() -> None:
    posterior, new = fitted(), graded().iloc[:4]
    outcomes = bp.predict(posterior, new, kind="outcome", seed=1)
    labels, table = outcomes.draws.to_numpy(), outcomes.frame()
    assert labels.shape[2:] == (4,) and set(np.unique(labels)) <= set(LABELS)
    shares = bp.predict(posterior, new, kind="mean").draws.mean(("chain", "draw")).to_numpy()
    for level, label in enumerate(LABELS):
        found = (labels == label).mean(axis=(0, 1))
        np.testing.assert_allclose(table[label], found)
        error = np.sqrt(shares[:, level] * (1 - shares[:, level]) / labels[..., 0].size)
        assert (np.abs(found - shares[:, level]) < 4 * error).all()
    assert table["most_likely"].tolist() == [LABELS[k] for k in table[LABELS].to_numpy().argmax(axis=1)]
    assert outcomes.draws.isel(unit=2, draw=[5, 3]).to_numpy().tolist() == labels[:, [5, 3], 2].tolist()


def test_whole_numbers_stay_numbers() -> None:
    frame = pd.DataFrame({"stars": np.repeat([2, 3, 5], 8)})
    with pytest.warns(UserWarning, match="no row of column 'stars' is 4"):
        posterior = bp.fit(bp.Model("stars ~ 1", family=bp.Cumulative()), frame, seed=1, progress=False)
    draws = bp.predict(posterior, frame.iloc[:2], kind="outcome", seed=1).draws
    assert draws.dtype.kind == "i" and set(np.unique(draws)) == {2, 3, 5}
    model = bp.Model("stars ~ 1", family=bp.Cumulative(levels=[2, 3, 5]))
    simulated = bp.simulate(model, pd.DataFrame({"z": np.zeros(24)}), seed=1)
    assert set(simulated.outcome) <= {2, 3, 5} and simulated.outcome.dtype.kind == "i"
    with pytest.raises(SpecificationError, match="these rows have none. State them"):
        bp.simulate(bp.Model("stars ~ 1", family=bp.Cumulative()), pd.DataFrame({"z": np.zeros(24)}), seed=1)


@pytest.mark.parametrize(("by", "places"), [(None, 8), ("x", 12)])
def test_shares_are_stacked(by: str | None, places: int) -> None:
    """A bar a group, or areas along a number; boundaries of the observed outcomes are those of the rows."""
    before, frame = plt.get_fignums(), graded()
    figure = bp.plot_shares(fitted(), by=by)
    assert plt.get_fignums() == before
    (ax,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*LABELS, "observed", "90 % interval"]
    points = [line for line in ax.lines if line.get_marker() == "o"]
    if by is None:
        assert len(points) == places + 1 and len(ax.patches) == 4 * places
        found = {label.get_text(): line.get_xdata() for label, line in zip(ax.get_yticklabels(), points, strict=False)}
        for site, rows in frame.groupby("site"):
            codes = rows["answer"].cat.codes
            np.testing.assert_allclose(found[site], [(codes <= level).mean() for level in range(3)])
        widths = np.reshape([patch.get_width() for patch in ax.patches], (places, 4))
        np.testing.assert_allclose(widths.sum(axis=1), 1.0)
        wanted = bp.predict(fitted(), kind="mean").draws.mean(("chain", "draw")).to_numpy()
        first = (frame["site"] == ax.get_yticklabels()[0].get_text()).to_numpy()
        np.testing.assert_allclose(widths[0], wanted[first].mean(axis=0), atol=0.02)
    else:
        assert len(points) == 3 + 1 and all(len(line.get_xdata()) == places for line in points[:3])
    figure.savefig("/dev/null", format="png")


def test_what_has_no_shares_is_refused() -> None:
    frame = pd.DataFrame({"y": np.arange(12) % 3})
    counts = bp.fit(bp.Model("y ~ 1", family=bp.Poisson()), frame, seed=1, progress=False)
    with pytest.raises(SpecificationError, match="outcomes of Poisson.* are numbers"):
        bp.plot_shares(counts)
    plain = bp.fit(bp.Model("y ~ 1", family=bp.Cumulative()), frame, seed=1, progress=False)
    with pytest.raises(SpecificationError, match="Name one with by="):
        bp.plot_shares(plain)
    with pytest.raises(InputError, match="no column 'z'"):
        bp.plot_shares(plain, by="z")
    bp.plot_shares(plain, by="y")


def test_observed_and_replicated_levels_are_named() -> None:
    (ax,) = bp.plot_predictive(fitted(), draws=8, seed=1).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == LABELS
    heights = sorted(patch.get_height() for patch in ax.patches)
    assert heights == sorted(graded()["answer"].value_counts())


def test_levels_are_no_nodes() -> None:
    with pytest.raises(SpecificationError, match="levels, and the nodes of a network are numbers"):
        bp.Network("a + b ~ 1", family={"a": bp.Cumulative()})
