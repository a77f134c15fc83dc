"""Columns are called what their owner likes: names of variables, dimensions, results and markup never collide."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.console import Console
from typer.testing import CliRunner

import bayes_personal as bp
from bayes_personal.cli.commands import app
from bayes_personal.errors import SpecificationError
from bayes_personal.pages.plots import profiles
from bayes_personal.priors.parts.names import distinct_names

ROWS = 24
QUICK = bp.NUTS(draws=25, tune=25, chains=2)
MARKUP = ["conc [/l]", "[red]x", ":smile:"]


def rows(*names: str) -> pd.DataFrame:
    """An outcome, and columns of labels of these names."""
    rng = np.random.default_rng(1)
    return pd.DataFrame({"out": rng.poisson(3, ROWS)} | {name: rng.permutation(list("abcd" * 6)) for name in names})


@pytest.mark.parametrize("name", ["mu", "sigma", "nu", "dispersion", "y", "theta", "unit", "chain", "draw", "shared",
                                  "coefficient", "sample", "group", "mu_centered", "lambda", "", "a/b", "名"])
@pytest.mark.parametrize("family", [bp.Normal(), bp.StudentT(), bp.NegativeBinomial()], ids=repr)
def test_a_group_may_be_called_like_a_variable(name: str, family: bp.Normal) -> None:
    """PyMC refuses a variable that is called like a dimension, and xarray a dimension like a variable."""
    bound = bp.Model("out ~ 1", bp.PartialPooling(name), family).bind(rows(name))
    program = bp.Model("out ~ 1", bp.PartialPooling(name), family).pymc(rows(name))
    assert not set(program.named_vars) & set(program.coords)
    (level, _) = bound.dims[f"{name.replace('/', '|')}_effect"]
    assert level.startswith(name.replace("/", "|")) and list(program.coords[level]) == list("abcd")


@pytest.mark.parametrize(("one", "other"), [("site", "site_scale"), ("site", "site_coefficient"), ("site", "site_pair"),
                                            ("mu", "mu_level"), ("site", "site_coefficient_other")])
def test_two_groups_may_be_called_like_each_others_variables(one: str, other: str) -> None:
    frame, prior = rows(one, other), bp.PartialPooling(one) + bp.PartialPooling(other)
    model = bp.Model("out ~ x", prior)
    bound = model.bind(frame.assign(x=np.arange(ROWS)))
    labels: dict[str, tuple] = {}
    for dims in bound.dims.values():
        for name, each in dims.items():
            assert labels.setdefault(name, each) == each and name not in bound.dims
    assert set(model.pymc(frame.assign(x=np.arange(ROWS))).named_vars)


def test_a_dimension_keeps_its_name_where_nothing_else_has_it() -> None:
    dims = {"g_scale": {"g_coefficient": ("x",)}, "g_effect": {"g": ("a",), "g_coefficient": ("x",)}}
    assert distinct_names(dims, {}) == dims
    moved = distinct_names({"g": {"g": ("a",)}, "h": {"k": ("b",), "g": ("a",)}, "i": {"k": ("c",)},
                            "mu": {"unit": ("x",)}}, {})
    assert moved == {"g": {"g_level": ("a",)}, "h": {"k": ("b",), "g_level": ("a",)}, "i": {"k_level": ("c",)},
                     "mu": {"unit_level": ("x",)}}
    assert distinct_names({"mu": {"coefficient": ("x",)}}, {"coefficient": ("x",)}) == {"mu": {"coefficient": ("x",)}}


def test_summands_whose_variables_would_have_one_name_are_told_to_rename() -> None:
    frame = rows("a_b").assign(a=np.arange(ROWS), b=np.arange(ROWS) % 5)
    with pytest.raises(SpecificationError, match=r"'linear_a_b'\. Rename a column"):
        bp.Model("out ~ 1", bp.LinearVarying("a", "b") + bp.PartialPooling("linear_a_b")).bind(
            frame.rename(columns={"a_b": "linear_a_b"}))


@pytest.mark.parametrize("names", [("site", "site_scale"), ("sigma", "coefficient")])
def test_such_names_go_through_every_verb(names: tuple[str, ...], tmp_path: Path) -> None:
    frame = rows(*names)
    prior = bp.Population() + bp.PartialPooling(names[0])
    for name in names[1:]:
        prior = prior + bp.PartialPooling(name)
    posterior = bp.fit(bp.Model("out ~ 1", prior), frame, seed=1, progress=False, method=QUICK)
    posterior.save(tmp_path / "saved.nc")
    again = bp.load(tmp_path / "saved.nc")
    xr.testing.assert_identical(again.tree["posterior"].to_dataset(), posterior.tree["posterior"].to_dataset())
    assert np.isfinite(bp.predict(again, frame.head(2)).frame()["mean"]).all()
    assert len(profiles(again, None, None)) == len(names)


def test_an_index_may_be_called_like_a_column() -> None:
    sleep = bp.load_dataset("sleepstudy")
    model = bp.Model("reaction ~ days", bp.PartialPooling("subject"))
    named, plain = (bp.fit(model, frame, seed=1, progress=False, method=bp.Laplace(draws=100))
                    for frame in (sleep.set_index("subject", drop=False), sleep))
    for one, other in zip(profiles(named, None, None), profiles(plain, None, None), strict=True):
        pd.testing.assert_frame_equal(one.summary, other.summary)
    assert (named.theta_frame().index == np.repeat(sleep["subject"], 2)).all()


@pytest.mark.parametrize("name", ["mean", "coefficient", "row", "conc [/l]"])
def test_the_command_line_shows_and_writes_any_name(name: str, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.normal(size=ROWS), "x": rng.normal(size=ROWS), "y": rng.normal(size=ROWS)})
    frame.to_csv("rows.csv", index=False)
    fitted = CliRunner().invoke(app, ["fit", "rows.csv", "y ~ x", "--prior", f"LinearVarying({name!r})", "--method",
                                      "Laplace(draws=100)", "--seed", "1", "--out", "saved.nc"])
    assert fitted.exit_code == 0, fitted.output
    assert f"theta of every {name}" in fitted.stdout
    predicted = CliRunner().invoke(app, ["predict", "saved.nc", "rows.csv", "--out", "predicted.csv"])
    assert predicted.exit_code == 0, predicted.output
    assert pd.read_csv("predicted.csv")["row"].tolist() == list(range(ROWS))


def test_what_a_bar_says_of_a_column_is_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("rich.progress.get_console", lambda: Console(force_terminal=True, width=200))
    rows(*MARKUP).to_parquet(tmp_path / "rows.parquet")
    for name in MARKUP:
        bp.Model("out ~ 1", bp.PartialPooling(name)).bind(tmp_path / "rows.parquet", progress=True)
        assert f"reading {name}" in capsys.readouterr().out
    named = {"all": bp.Population(), "conc [/l]": bp.PartialPooling("conc [/l]")}
    bp.compare(named, "out ~ 1", rows("conc [/l]"), seed=1, method=bp.Laplace(draws=100))
    assert "comparing: conc [/l]" in capsys.readouterr().out
