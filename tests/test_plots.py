"""Figures hold the numbers of the posterior: the plotted data are read back."""

import warnings
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bayes_personal as bp
from bayes_personal.errors import InputError, InputTypeError, NotFittedError, SpecificationError
from bayes_personal.families import Bernoulli, Family, Poisson
from bayes_personal.pages import plots
from bayes_personal.pages.comparison_plots import plot_comparison, plot_pareto_k
from bayes_personal.pages.plots import plot_predictive, plot_theta, profiles, replicates
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors import Prior
from bayes_personal.samplers.draws import tree


@pytest.fixture(autouse=True)
def without_warnings_or_pyplot() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert pyplot.get_fignums() == []


def drawn(frame: pd.DataFrame, prior: Prior, formula: str = "y ~ dose", family: Family | None = None,
          chains: int = 2, draws: int = 50) -> Posterior:
    """A posterior whose draws come from the prior: what a figure shows does not depend on how they were made."""
    model = bp.Model(formula, prior=prior, family=family or bp.Normal())
    bound, rng, count = model.bind(frame), np.random.default_rng(5), chains * draws
    hyper = (*([bound.mean] if bound.mean else []), *bound.parameters)
    values = {each.name: np.stack([each.draw(rng) for _ in range(count)]) for each in hyper}
    for term, one in zip(bound.terms, bound.features, strict=False):
        values[f"{term.name}_z"] = rng.standard_normal((count, one.matrix.shape[1], len(term.positions)))
    return Posterior(model, bound, tree(bound, values, chains))


def rows_of(posterior: Posterior, coefficient: str) -> pd.DataFrame:
    """The summary of every row, as the posterior gives it."""
    table = posterior.theta_frame()
    return table[table["coefficient"] == coefficient]


def line(ax: Axes, label: str) -> np.ndarray:
    """The points of a line, (point, 2)."""
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return np.column_stack(found.get_data()).astype(float)


def segments(ax: Axes, label: str) -> np.ndarray:
    """The ends of intervals, (interval, 2 ends, 2)."""
    (found,) = [each for each in ax.collections if each.get_label() == label]
    return np.array(found.get_segments())


def band(ax: Axes, label: str) -> np.ndarray:
    (found,) = [each for each in ax.collections if each.get_label() == label]
    return found.get_paths()[0].vertices


def labels(ax: Axes) -> list[str]:
    return [each.get_text() for each in ax.get_yticklabels()]


def entries(figure: Figure) -> list[str]:
    return [each.get_text() for each in figure.legends[0].get_texts()]


def test_groups_are_sorted_rows_with_their_intervals(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.PartialPooling("site"))
    axes = plot_theta(posterior).axes
    assert [ax.get_title("left") for ax in axes] == ["Intercept", "dose"]
    assert [ax.get_xlabel() for ax in axes] == ["y", "y per unit of dose"]
    for ax, name in zip(axes, ("Intercept", "dose"), strict=True):
        wanted = rows_of(posterior, name).assign(site=frame["site"]).groupby("site").first().sort_values("mean")
        assert labels(ax) == list(wanted.index)
        points = line(ax, "posterior mean")
        np.testing.assert_allclose(points, np.column_stack([wanted["mean"], range(5)]), rtol=1e-12)
        np.testing.assert_allclose(segments(ax, "90 % interval")[:, :, 0], wanted[["q5", "q95"]], rtol=1e-12)
        theta = posterior.theta.sel(coefficient=name).stack(s=("chain", "draw"))
        first = [int(np.flatnonzero(frame["site"] == site)[0]) for site in wanted.index]
        half = np.quantile(theta.isel(unit=first).to_numpy(), [0.25, 0.75], axis=1)
        np.testing.assert_allclose(segments(ax, "50 % interval")[:, :, 0], half.T, rtol=1e-12)


def test_the_band_is_the_population_mean(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.PartialPooling("site"))
    ax = plot_theta(posterior, "dose").axes[0]
    mu = posterior.tree["posterior"]["mu"].sel(coefficient="dose").to_numpy().ravel()
    (patch,) = [each for each in ax.patches if each.get_label() == "population mean, 90 %"]
    np.testing.assert_allclose([patch.get_x(), patch.get_x() + patch.get_width()], np.quantile(mu, [0.05, 0.95]))
    assert "population mean, 90 %" in entries(plot_theta(posterior))
    alone = plot_theta(drawn(frame, bp.Conditional("site")))
    assert not alone.axes[0].patches and "population mean, 90 %" not in entries(alone)


def test_too_many_groups_leave_the_middle_out_and_say_so(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.PartialPooling("site", on="dose"))
    (whole,), (part,) = plot_theta(posterior).axes, plot_theta(posterior, limit=3).axes
    order = labels(whole)
    assert labels(part) == [order[0], *order[3:]] and not whole.texts
    assert [each.get_text() for each in part.texts] == ["2 of 5 between these are not shown"]
    np.testing.assert_allclose(line(part, "posterior mean")[:, 0], line(whole, "posterior mean")[[0, 3, 4], 0])


def test_a_numeric_context_is_an_axis(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.GaussianProcess("age", on="dose"))
    (ax,) = plot_theta(posterior).axes
    wanted = rows_of(posterior, "dose").assign(age=frame["age"]).sort_values("age")
    np.testing.assert_allclose(line(ax, "posterior median"), wanted[["age", "q50"]], rtol=1e-12)
    np.testing.assert_allclose(line(ax, "_rug")[:, 0], wanted["age"])
    theta = posterior.theta.sel(coefficient="dose").to_numpy().reshape(-1, 40)[:, np.argsort(frame["age"])]
    for name, (low, high) in {"90 % band": (0.05, 0.95), "50 % band": (0.25, 0.75)}.items():
        outline = band(ax, name)
        for edge in np.quantile(theta, [low, high], axis=0):
            for point in zip(wanted["age"], edge, strict=True):
                assert np.isclose(outline, point, rtol=1e-12).all(axis=1).any()
    assert ax.get_xlabel() == "age" and ax.get_ylabel() == "y per unit of dose"


def test_several_contexts_are_small_multiples_of_every_row(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.LinearVarying("age", "height", "sex", on="dose"))
    age, height, sex = plot_theta(posterior).axes
    for ax, name in ((age, "age"), (height, "height")):
        wanted = rows_of(posterior, "dose").assign(at=frame[name]).sort_values("at")
        np.testing.assert_allclose(line(ax, "posterior median"), wanted[["at", "q50"]], rtol=1e-12)
        np.testing.assert_allclose(segments(ax, "90 % interval")[:, :, 1], wanted[["q5", "q95"]], rtol=1e-12)
    # At the labels of a coefficient that depends on more, the draws are averaged over their rows.
    theta = posterior.theta.sel(coefficient="dose")
    for place, label in enumerate(labels(sex)):
        average = theta.isel(unit=np.flatnonzero(frame["sex"] == label)).mean("unit").to_numpy()
        np.testing.assert_allclose(line(sex, "posterior mean")[place, 0], average.mean(), rtol=1e-12)
        np.testing.assert_allclose(segments(sex, "90 % interval")[place, :, 0], np.quantile(average, [0.05, 0.95]),
                                   rtol=1e-12)


def test_two_numeric_contexts_are_a_map(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.LinearVarying("age", "height", on="dose"))
    ax, bar = plot_theta(posterior).axes
    wanted = rows_of(posterior, "dose").assign(age=frame["age"], height=frame["height"]).sort_values("age")
    (cloud,) = [each for each in ax.collections if len(each.get_offsets()) == len(frame)]
    np.testing.assert_allclose(cloud.get_offsets(), wanted[["age", "height"]])
    np.testing.assert_allclose(cloud.get_array(), wanted["mean"], rtol=1e-12)
    average = wanted["mean"].mean()
    ringed = np.asarray(cloud.get_linewidths()) > 1
    np.testing.assert_array_equal(ringed, (wanted["q5"] > average) | (wanted["q95"] < average))
    assert bar.get_ylabel() == "posterior mean: y per unit of dose"


def test_a_sum_shows_each_of_its_contexts(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.PartialPooling("site") + bp.LinearVarying("age", on="dose"))
    shown = [(one.coefficient, one.columns, one.kind) for one in profiles(posterior, None, None)]
    assert shown == [("Intercept", ("site",), "labels"), ("dose", ("site",), "labels"), ("dose", ("age",), "points")]
    # The population mean is not what groups scatter around where a context moves the coefficient too.
    assert [bool(ax.patches) for ax in plot_theta(posterior).axes] == [True, False, False]


def test_repeated_contexts_are_averaged_over_their_rows(frame: pd.DataFrame) -> None:
    frame = frame.assign(age=frame["age"].round(-1))
    posterior = drawn(frame, bp.PartialPooling("site", on="dose") + bp.LinearVarying("age", on="dose"))
    (ax,) = plot_theta(posterior, by="age").axes
    theta = posterior.theta.sel(coefficient="dose")
    for at, median in line(ax, "posterior median"):
        average = theta.isel(unit=np.flatnonzero(frame["age"] == at)).mean("unit").to_numpy()
        np.testing.assert_allclose(median, np.median(average), rtol=1e-12)
    assert set(line(ax, "posterior median")[:, 0]) == set(frame["age"])


def test_where_nothing_varies_one_interval_stands_for_all_rows(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.Population())
    axes = plot_theta(posterior).axes
    assert [labels(ax) for ax in axes] == [["all rows"]] * 2
    for ax, name in zip(axes, ("Intercept", "dose"), strict=True):
        wanted = rows_of(posterior, name).iloc[0]
        np.testing.assert_allclose(line(ax, "posterior mean")[0, 0], wanted["mean"], rtol=1e-12)
    common = plot_theta(drawn(frame, bp.PartialPooling("site", on="dose")), "Intercept")
    assert [labels(ax) for ax in common.axes] == [["all rows"]]


def test_a_context_of_dates_is_an_axis_of_dates(frame: pd.DataFrame) -> None:
    frame = frame.assign(day=pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(40) * 9, unit="D"))
    figure = plot_theta(drawn(frame, bp.LinearVarying("day", on="dose")))
    figure.canvas.draw()
    assert any("2024" in each.get_text() for each in figure.axes[0].get_xticklabels())


def test_text_from_the_data_is_never_mathematics(frame: pd.DataFrame) -> None:
    frame = frame.rename(columns={"site": "$\\frac{$", "y": "y_$^"}).assign(**{"$x_{$": frame["age"]})
    frame["$\\frac{$"] = "$" + frame["$\\frac{$"] + "^$"
    for prior in (bp.PartialPooling("$\\frac{$"), bp.GaussianProcess("$x_{$"), bp.LinearVarying("$x_{$", "height")):
        posterior = drawn(frame, prior, "`y_$^` ~ dose")
        plot_theta(posterior).canvas.draw()
        plot_predictive(posterior, draws=3, seed=1).canvas.draw()


def test_wrong_requests_are_refused(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.PartialPooling("site"))
    with pytest.raises(SpecificationError, match="no coefficient 'dosis'. Did you mean 'dose'"):
        plot_theta(posterior, "dosis")
    with pytest.raises(InputError, match="no column 'sit'. Did you mean 'site'"):
        plot_theta(posterior, by="sit")
    with pytest.raises(SpecificationError, match="must be one column, or two columns of numbers"):
        plot_theta(posterior, by=["site", "age"])
    with pytest.raises(SpecificationError, match="limit=1 must be a whole number, 2 or more"):
        plot_theta(posterior, limit=1)
    with pytest.raises(SpecificationError, match="draws=0 must be a whole number, 1 or more"):
        plot_predictive(posterior, draws=0)
    for verb in (plot_theta, plot_predictive):
        with pytest.raises(NotFittedError, match="got Model"):
            verb(posterior.model)


def test_replicates_of_a_continuous_outcome(frame: pd.DataFrame) -> None:
    posterior = drawn(frame, bp.Population())
    figure = plot_predictive(posterior, draws=7, seed=3)
    density, distribution = figure.axes
    assert entries(figure) == ["replicated, 7 draws", "observed"]
    observed = line(distribution, "observed")
    np.testing.assert_allclose(observed[1:, 0], np.sort(frame["y"]))
    np.testing.assert_allclose(observed[1:, 1], np.arange(1, 41) / 40)
    assert len(distribution.lines) == 8
    again, other = plot_predictive(posterior, draws=7, seed=3), plot_predictive(posterior, draws=7, seed=4)
    values = [[each.get_xdata() for each in one.axes[1].lines[:7]] for one in (figure, again, other)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    grid, height = line(density, "observed").T
    inside = (frame["y"] >= grid[0]) & (frame["y"] <= grid[-1])
    assert inside.all() and 0.9 < np.trapezoid(height, grid) < 1.02


@pytest.mark.parametrize(("family", "top"), [(Poisson(), 6), (Bernoulli(), 1)], ids=repr)
def test_replicates_of_counts(frame: pd.DataFrame, family: Family, top: int) -> None:
    frame = frame.assign(y=np.random.default_rng(8).integers(0, top + 1, 40))
    posterior = drawn(frame, bp.Population(), "y ~ 1", family)
    # Two rates that alternate, so that the replicates are known to be near one or the other.
    posterior.tree["posterior"]["mu"][:] = np.tile([-1.0, 0.0], 50).reshape(2, 50, 1)
    figure = plot_predictive(posterior, draws=90, seed=3)
    (ax,) = figure.axes
    assert entries(figure) == ["replicated, 90 %", "replicated, 50 %", "replicated, median", "observed"]
    heights = [patch.get_height() for patch in ax.patches]
    found = np.bincount(frame["y"], minlength=len(heights))
    np.testing.assert_array_equal(heights, found)
    wide, narrow = segments(ax, "replicated, 90 %")[:, :, 1], segments(ax, "replicated, 50 %")[:, :, 1]
    assert (wide[:, 0] <= narrow[:, 0]).all() and (narrow[:, 1] <= wide[:, 1]).all()
    made = replicates(posterior, 90, 3, np.arange(40))
    assert made.shape == (90, 40)
    for value in range(len(heights)):
        rows = (made == value).sum(axis=1)
        np.testing.assert_allclose([*wide[value], *narrow[value]], np.quantile(rows, [0.05, 0.95, 0.25, 0.75]))
    # Rows at zero: 40 exp(-1 / e) or 40 exp(-1) of a Poisson outcome, 40 (1 - p) of a binary one.
    zero = 40 * np.exp(-np.exp([-1.0, 0.0])) if top > 1 else 40 / (1 + np.exp([-1.0, 0.0]))
    z = ((made == 0).sum(axis=1).mean() - zero.mean()) / ((made == 0).sum(axis=1).std() / np.sqrt(90))
    assert abs(z) < 4
    assert (ax.get_yscale() == "function") == (top > 1)


def test_of_many_rows_some_are_compared(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = drawn(frame, bp.Population())
    whole = replicates(posterior, 7, 3, np.arange(40))
    monkeypatch.setattr(plots, "MOST_ROWS", 14)
    _, distribution = plot_predictive(posterior, draws=7, seed=3).axes
    assert distribution.get_xlabel() == "y (14 of 40 rows shown)"
    chosen = np.arange(0, 40, 3)
    np.testing.assert_allclose(line(distribution, "observed")[1:, 0], np.sort(frame["y"].to_numpy()[chosen]))
    np.testing.assert_allclose(distribution.lines[0].get_xdata()[1:], np.sort(whole[0, chosen]))


def comparison() -> pd.DataFrame:
    index = ["PartialPooling('site')", "GaussianProcess('$\\frac{$')", "Population()"]
    return pd.DataFrame({"elpd": [-100.0, -103.0, -140.0], "se": 5.0, "difference": [0.0, -3.0, -40.0],
                         "difference_se": [0.0, 2.5, 9.0], "p_loo": 3.0, "weight": [0.7, 0.25, 0.05], "high_k": 0,
                         "conditioning": "unit",
                         "verdict": ["best", "no evidence of a difference", "worse; 2 Pareto k too high"]}, index=index)


def test_a_comparison_is_sorted_and_says_where_there_is_no_difference() -> None:
    figure = plot_comparison(comparison().iloc[::-1])
    figure.canvas.draw()
    (ax,) = figure.axes
    points = line(ax, "difference")
    np.testing.assert_allclose(points[:, 0], [0, -3, -40])
    assert (np.diff(points[:, 1]) < 0).all() and labels(ax)[0] == "PartialPooling('site')"
    np.testing.assert_allclose(segments(ax, "2 standard errors")[:, :, 0], [[0, 0], [-8, 2], [-58, -22]])
    np.testing.assert_allclose(segments(ax, "1 standard error")[:, :, 0], [[0, 0], [-5.5, -0.5], [-49, -31]])
    said = {each.get_text().replace("\n", " "): each for each in ax.texts}
    assert {"0.70", "0.25", "0.05", "best", "worse; 2 Pareto k too high"} <= set(said)
    assert said["no evidence of a difference"].get_fontweight() == "bold"
    with pytest.raises(InputTypeError, match="got a frame with a"):
        plot_comparison(pd.DataFrame({"a": [1]}))
    with pytest.raises(InputTypeError, match="bp.compare returns"):
        plot_comparison([1, 2])


def test_pareto_k_names_the_rows_above_the_threshold() -> None:
    elpd = SimpleNamespace(pareto_k=np.array([0.1, 0.9, 0.7, np.inf, -0.2]), good_k=0.7)
    (ax,) = plot_pareto_k(elpd).axes
    np.testing.assert_array_equal(line(ax, "good"), [[0, 0.1], [2, 0.7], [4, -0.2]])
    np.testing.assert_array_equal(line(ax, "too high"), [[1, 0.9], [3, 1.0]])
    assert [each.get_text() for each in ax.texts] == ["1", "3"]
    assert ax.get_title("left") == "2 of 5 rows above 0.70"
    with pytest.raises(InputTypeError, match="pointwise result of bp.loo; got float"):
        plot_pareto_k(1.0)


def test_notebooks_draw_figures(frame: pd.DataFrame) -> None:
    figure = plot_theta(drawn(frame, bp.Population()))
    assert isinstance(figure, Figure) and figure._repr_png_().startswith(b"\x89PNG")
