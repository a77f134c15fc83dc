"""Networks on paper and at the command line: plots, the report, commands."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_personal as bp
from bayes_personal.cli.commands import app
from bayes_personal.errors import InputError, NotFittedError, SpecificationError
from bayes_personal.questions.network_readings import edges

QUICK = bp.Laplace(draws=200)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    c, a = np.sort(rng.uniform(-1, 1, 150)), rng.normal(size=150)
    b = 2 * c * a + rng.normal(size=150)
    return pd.DataFrame({"a": a, "b": b, "d $x$": 0.8 * b + rng.normal(size=150), "c": c,
                         "g": rng.choice(["east", "west", "$north"], 150)})


@pytest.fixture(scope="module")
def along(rows: pd.DataFrame) -> bp.NetworkPosterior:
    return bp.fit(bp.Network("a + b + `d $x$` ~ 1", bp.LinearVarying("c")), rows, seed=1, method=QUICK, progress=False)


@pytest.fixture(scope="module")
def grouped(rows: pd.DataFrame) -> bp.NetworkPosterior:
    return bp.fit(bp.Network("a + b ~ 1", bp.PartialPooling("g")), rows, seed=1, method=QUICK, progress=False)


def test_circles_draw_the_edges_that_are_there(along: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    figure = bp.plot_network(along)
    at = rows.iloc[[15, 74, 134]]
    assert [ax.get_title(loc="left") for ax in figure.axes] == [f"c = {value:.3g}" for value in at["c"]]
    likely = edges(along, at=at)["p_above"].to_numpy().reshape(3, 3) > 0.5
    assert [len(ax.patches) for ax in figure.axes] == likely.sum(axis=1).tolist() and likely.sum() > 3
    assert {text.get_text() for text in figure.axes[0].texts} == {"a", "b", "d $x$"}
    assert len(bp.plot_network(along, at=at.iloc[:1], kind="directed").axes) == 1
    with pytest.raises(InputError, match="150 rows"):
        bp.plot_network(along, at=rows)


def test_edges_are_drawn_along_the_context(along: bp.NetworkPosterior, grouped: bp.NetworkPosterior,
                                           rows: pd.DataFrame) -> None:
    """The one that changes most first, in the order of the context; groups beside each other."""
    figure = bp.plot_edges(along, limit=2)
    found = edges(along, at=rows).assign(edge=lambda table: table["other"] + " – " + table["node"])
    change = found.groupby("edge")["q50"].agg(np.ptp).sort_values(ascending=False)
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(change.index[:2]) and change.index[0] == "a – b"
    line = figure.axes[0].lines[1]
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    assert len(x) == 60 and (np.diff(x) > 0).all() and y[0] < -0.5 < 0.5 < y[-1]
    table = edges(along, at=rows.iloc[[0]])
    assert y[0] == pytest.approx(table[table["node"] == "b"]["q50"].iloc[0])
    mesh = bp.plot_edges(along, kind="heat", of="directed").axes[0]
    assert [label.get_text() for label in mesh.get_yticklabels()] == ["a → b", "a → d $x$", "b → d $x$"]
    ax = bp.plot_edges(grouped).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(rows["g"].unique())


def test_what_cannot_be_drawn_is_refused(along: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    static = bp.fit(bp.Network("a + b ~ 1"), rows, seed=1, method=QUICK, progress=False)
    assert len(bp.plot_network(static).axes) == 1
    with pytest.raises(SpecificationError, match="reads no context"):
        bp.plot_edges(static)
    with pytest.raises(SpecificationError, match="no column that the prior reads"):
        bp.plot_edges(along, by="d $x$")
    for plot in (bp.plot_edges, bp.plot_network):
        with pytest.raises(NotFittedError, match="bp.Network"):
            plot(static.nodes["a"])


def test_the_report_has_networks_edges_and_nodes(along: bp.NetworkPosterior, tmp_path: Path) -> None:
    table = bp.compare({"linear": along, "static": bp.Population()}, "a + b + `d $x$` ~ 1",
                       along.nodes["b"].bound.frame, seed=1, method=QUICK, progress=False)
    page = bp.report(along, tmp_path / "network.html", comparison=table, seed=1).read_text()
    for words in ("Which assumption predicts best", "b – d $x$", "<summary>d $x$: no complaint</summary>",
                  "How well is a new row predicted", "Posterior means of all edges"):
        assert words in page
    assert page.count("<details>") == 3 and page.count("data:image/png") == 4


def test_a_formula_with_several_outcomes_is_a_network(rows: pd.DataFrame, tmp_path: Path) -> None:
    """At the command line: fit, predict, report and compare."""
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    data, saved, formula = tmp_path / "rows.csv", tmp_path / "network.nc", "a + b ~ 1"
    rows.to_csv(data, index=False)
    said = run("fit", data, formula, "--prior", 'LinearVarying("c")', "--method", "Laplace(draws=200)", "--seed", 1,
               "--out", saved)
    assert "edges (partial) at 3 of 150 contexts" in said and "b: " in said
    assert "mean of a, b" in run("predict", saved, data)
    run("report", saved, "--out", tmp_path / "page.html")
    assert "LinearVarying" in run("compare", data, formula, "--prior", "Population()", "--prior", 'LinearVarying("c")',
                                  "--method", "Laplace(draws=200)", "--seed", 1)
    refused = CliRunner().invoke(app, ["fit", str(data), "a ~ 1", "--parents", "others"])
    assert refused.exit_code == 2 and "has one outcome" in refused.output
