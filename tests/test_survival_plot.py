"""Survival curves hold the numbers of the posterior; the steps are Kaplan and Meier's."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from scipy import stats

import bayes_personal as bp
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.families import Family
from bayes_personal.pages.survival_plot import kaplan_meier
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.samplers.draws import tree

ROWS = 40


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame({"y": rng.gamma(2, 5, ROWS), "seen": (np.arange(ROWS) % 3 > 0).astype(int),
                         "site": np.resize(["a", "b"], ROWS)})


def drawn(family: Family, rows: pd.DataFrame) -> Posterior:
    """A posterior whose draws come from the prior: what a figure shows does not depend on how they were made."""
    model = bp.Model("y ~ 1", bp.PartialPooling("site"), family)
    bound, rng = model.bind(rows), np.random.default_rng(5)
    values = {each.name: np.stack([each.draw(rng) for _ in range(100)]) for each in (bound.mean, *bound.parameters)
              if each is not None}
    for term, one in zip(bound.terms, bound.features, strict=False):
        values[f"{term.name}_z"] = rng.standard_normal((100, one.matrix.shape[1], len(term.positions)))
    return Posterior(model, bound, tree(bound, values, 2))


def points(ax: Axes, label: str) -> np.ndarray:
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return np.column_stack(found.get_data()).astype(float)


def test_kaplan_and_meier_on_a_small_table() -> None:
    end, seen = np.array([1.0, 2.0, 2.0, 3.0, 4.0, 4.0]), np.array([True, True, False, False, True, False])
    times, share = kaplan_meier(end, seen)
    assert times.tolist() == [1.0, 2.0, 4.0]
    np.testing.assert_allclose(share, [5 / 6, 5 / 6 * 4 / 5, 5 / 6 * 4 / 5 / 2])
    found = stats.ecdf(stats.CensoredData(uncensored=end[seen], right=end[~seen])).sf
    np.testing.assert_allclose(share, found.evaluate(times))


LAWS = {"Weibull": (bp.Weibull(event="seen"), lambda eta, own: stats.weibull_min(own, scale=np.exp(eta))),
        "Gamma": (bp.Gamma(), lambda eta, own: stats.gamma(own**-2, scale=own**2 * np.exp(eta))),
        "LogNormal": (bp.LogNormal(), lambda eta, own: stats.lognorm(own, scale=np.exp(eta))),
        "Normal": (bp.Normal(), lambda eta, own: stats.norm(eta, own))}


@pytest.mark.parametrize("name", LAWS)
def test_curves_are_averages_over_rows_and_quantiles_over_draws(name: str) -> None:
    family, law = LAWS[name]
    rows = frame()
    posterior = drawn(family, rows)
    own = posterior.tree["posterior"][family.parameters(1.0)[0].name].to_numpy().reshape(-1, 1)
    theta = posterior.theta.to_numpy()[..., 0].reshape(100, ROWS)
    figure = bp.plot_survival(posterior, by="site")
    assert [ax.get_title("left") for ax in figure.axes] == ["a", "b"]
    for ax, site in zip(figure.axes, "ab", strict=True):
        place = int(np.flatnonzero(rows["site"] == site)[0])
        for time, height in points(ax, "posterior median")[[10, 60, 119]]:
            assert height == pytest.approx(np.median(law(theta[:, place], own[:, 0]).sf(time)), abs=1e-9)
        steps = points(ax, "Kaplan and Meier")
        here = (rows["site"] == site).to_numpy()
        seen = rows["seen"].to_numpy() == 1 if family.columns else np.ones(ROWS, bool)
        times, share = kaplan_meier(rows["y"].to_numpy()[here], seen[here])
        np.testing.assert_allclose(steps[1:-1], np.column_stack([times, share]))
    (ax,) = bp.plot_survival(posterior).axes
    time, height = points(ax, "posterior median")[40]
    assert height == pytest.approx(np.median(law(theta, own).sf(time).mean(axis=1)), abs=1e-9)
    new = pd.DataFrame({"site": ["b", "elsewhere"]}, index=["known", "new"])
    axes = bp.plot_survival(posterior, new, seed=1).axes
    assert [each.get_title("left") for each in axes] == ["row known", "row new"]
    np.testing.assert_allclose(points(axes[0], "posterior median"), points(figure.axes[1], "posterior median"))


def test_what_is_left_out_is_said_and_what_cannot_be_shown_refused() -> None:
    posterior = drawn(bp.Weibull(event="seen"), frame())
    (ax,) = bp.plot_survival(posterior, by="site", limit=1).axes
    assert "1 more panels are not shown" in ax.get_xlabel()
    with pytest.raises(SpecificationError, match="14 of 40 outcomes are censored.*Take plot_survival"):
        bp.plot_predictive(posterior)
    with pytest.raises(SpecificationError, match="limit=0"):
        bp.plot_survival(posterior, limit=0)
    with pytest.raises(InputError, match="no column 'sites'"):
        bp.plot_survival(posterior, by="sites")
    counts = frame().assign(y=np.arange(ROWS) % 4)
    with pytest.raises(SpecificationError, match=r"Poisson\(\) has outcomes that are counted.*Weibull"):
        bp.plot_survival(drawn(bp.Poisson(), counts))
