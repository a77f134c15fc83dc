"""The datasets against their own table and against facts published about them."""

import re
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from bayes_personal.data.examples import datasets, load_dataset
from bayes_personal.errors import BayesPersonalError, InputError

FACTS = datasets().set_index("name")


def least_squares(y: pd.Series, x: pd.Series) -> tuple[float, float, float]:
    """Intercept, slope and residual standard deviation."""
    design = np.column_stack([np.ones(len(x)), x])
    coefficients, squares, *_ = np.linalg.lstsq(design, y.to_numpy(dtype=float))
    return *coefficients, np.sqrt(squares[0] / (len(x) - 2))


def test_every_file_has_its_row_and_every_row_its_file():
    found = [file.name.removesuffix(".gz") for file in files("bayes_personal.data.examples").iterdir()]
    assert sorted(name for name in found if name.endswith(".csv")) == sorted(FACTS.index + ".csv")


def test_every_fact_is_given():
    assert datasets().columns.tolist() == [
        "name", "rows", "columns", "outcome", "units", "purpose", "source", "licence", "reference",
    ]  # fmt: skip
    assert datasets().notna().all(axis=None)
    assert FACTS["reference"].str.contains(r"doi:10\.\d{4,}/\S+$").all()


@pytest.mark.parametrize("name", FACTS.index)
def test_file_agrees_with_its_row(name):
    data, facts = load_dataset(name), FACTS.loc[name]
    units = dict(re.findall(r"(\w+) \[(.+?)\]", facts["columns"]))
    assert data.columns.tolist() == list(units)
    assert len(data) == facts["rows"]
    assert facts["outcome"] in data
    assert data.notna().all(axis=None)
    for column, unit in units.items():
        assert pd.api.types.is_string_dtype(data[column]) == unit.startswith("label")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", column)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("sleepstudy", (180, 3)),
        ("radon", (919, 4)),
        ("eight_schools", (8, 3)),
        ("nile", (100, 2)),
        ("coal", (112, 2)),
        ("georgia", (159, 12)),
        ("galaxies", (82, 1)),
        ("sachs", (7466, 12)),
        ("iris", (150, 5)),
    ],
)
def test_shape(name, shape):
    assert load_dataset(name).shape == shape


def test_sleepstudy():
    data = load_dataset("sleepstudy")
    intercept, slope, _ = least_squares(data["reaction"], data["days"])
    assert (intercept, slope) == pytest.approx((251.405, 10.467), abs=5e-4)
    days = data.groupby("subject")["days"].agg(sorted)
    assert len(days) == 18
    assert all(d == list(range(10)) for d in days)


def test_radon():
    data = load_dataset("radon")
    assert least_squares(data["log_radon"], data["floor"]) == pytest.approx((1.327, -0.613, 0.823), abs=5e-4)
    assert data["floor"].isin([0, 1]).all()
    assert data["county"].nunique() == 85
    assert (data["county"] == data["county"].str.strip()).all()
    assert (data.groupby("county")["uranium"].nunique() == 1).all()


def test_eight_schools():
    data = load_dataset("eight_schools")
    assert "".join(data["school"]) == "ABCDEFGH"
    assert data["effect"].tolist() == [28, 8, -3, 7, -1, 1, 18, 12]
    assert data["se"].tolist() == [15, 10, 16, 11, 9, 11, 10, 18]
    pooled = np.average(data["effect"], weights=data["se"] ** -2.0)
    assert pooled == pytest.approx(7.7, abs=0.05)  # Gelman et al., Bayesian Data Analysis, section 5.5


def test_nile():
    data = load_dataset("nile")
    assert data["year"].tolist() == list(range(1871, 1971))
    # Through 1898 and after
    means = data.groupby(data["year"] > 1898)["volume"].mean()
    assert means.tolist() == pytest.approx([1097.75, 849.97], abs=5e-3)


def test_coal():
    data = load_dataset("coal")
    assert data["year"].tolist() == list(range(1851, 1963))
    assert data["disasters"].sum() == 191
    assert data["disasters"].head(10).tolist() == [4, 5, 4, 1, 0, 4, 3, 4, 0, 6]


def test_georgia():
    data = load_dataset("georgia")
    assert data["area_key"].is_unique
    assert data["area_key"].str.fullmatch(r"13\d{3}").all()
    assert data.filter(like="percent_").stack().between(0, 100).all()
    # 1990 census: 6 478 216 persons in the state, 648 951 in Fulton County
    assert data["total_population"].sum() == 6_478_216
    assert data.set_index("area_key").loc["13121", "total_population"] == 648_951


def test_galaxies():
    velocity = load_dataset("galaxies")["velocity"]
    # Roeder (1990): six regions of space, whose gaps are the widest between neighbours
    assert velocity.is_monotonic_increasing
    assert velocity.iloc[[0, 77, -1]].tolist() == [9172, 26960, 34279]
    assert sorted(velocity.diff().nlargest(2).index) == [7, 79]


def test_sachs():
    data = load_dataset("sachs")
    # The files of the supplement, in order: how many cells, and the praf of its first cell
    supplement = {
        "cd3cd28": (853, 26.4),
        "cd3cd28icam2": (902, 36.5),
        "cd3cd28+aktinhib": (911, 14.6),
        "cd3cd28+g0076": (723, 176),
        "cd3cd28+psitect": (810, 39.2),
        "cd3cd28+u0126": (799, 2436),
        "cd3cd28+ly": (848, 14.6),
        "pma": (913, 23.5),
        "b2camp": (707, 24.1),
    }
    assert data["condition"].ne(data["condition"].shift()).sum() == 9
    cells = data.groupby("condition", sort=False)
    assert list(zip(cells.size().index, cells.size(), cells["raf"].first(), strict=True)) == [
        (name, size, round(float(np.log(raf)), 3)) for name, (size, raf) in supplement.items()
    ]
    molecules = data.drop(columns="condition")
    # The first cell, in the units of the source
    assert np.exp(molecules.iloc[0]).tolist() == pytest.approx(
        [26.4, 13.2, 8.82, 18.3, 58.8, 6.61, 17.0, 414, 17.0, 44.9, 40.0], rel=5.1e-4)
    assert molecules.min().eq(0).all()
    # Psitectorigenin lowers PIP2, and U0126 raises what is measured of the Mek that it inhibits
    means = cells[["pip2", "mek"]].mean()
    assert means["pip2"].idxmin() == "cd3cd28+psitect"
    assert means.loc["cd3cd28+u0126", "mek"] - means.loc["cd3cd28", "mek"] > 2


def test_iris():
    data = load_dataset("iris")
    assert data["species"].value_counts().to_dict() == {"setosa": 50, "versicolor": 50, "virginica": 50}
    species = data.groupby("species")
    # Fisher (1936), tables II and III: the version of the UCI repository has other means of setosa
    two = data[data["species"] != "virginica"]
    assert species.mean().loc[["versicolor", "setosa"]].to_numpy() == pytest.approx(
        np.array([[5.936, 2.770, 4.260, 1.326], [5.006, 3.428, 1.462, 0.246]]), abs=1e-9)
    within = two.drop(columns="species") - two.groupby("species").transform("mean")
    assert (within.T @ within).to_numpy()[np.triu_indices(4)] == pytest.approx(
        [19.1434, 9.0356, 9.7634, 3.2394, 11.8658, 4.6232, 2.4746, 12.2978, 3.8794, 2.4604], abs=5e-5)
    # Longer sepals are narrower among all flowers, and wider within each species
    assert data["sepal_length"].corr(data["sepal_width"]) == pytest.approx(-0.118, abs=5e-4)
    correlations = [rows["sepal_length"].corr(rows["sepal_width"]) for _, rows in species]
    assert correlations == pytest.approx([0.743, 0.526, 0.457], abs=5e-4)


def test_each_load_is_a_fresh_copy():
    changed = load_dataset("nile")
    changed["volume"] = 0
    assert load_dataset("nile")["volume"].min() > 0


@pytest.mark.parametrize(("wrong", "right"), [
    ("sleep_study", "sleepstudy"), ("Radon", "radon"), ("schools", "eight_schools")])
def test_unknown_name_says_what_there_is(wrong, right):
    with pytest.raises(InputError) as caught:
        load_dataset(wrong)
    message = str(caught.value)
    assert repr(wrong) in message
    assert f"mean {right!r}" in message
    assert all(name in message for name in FACTS.index)
    assert isinstance(caught.value, BayesPersonalError)
    assert isinstance(caught.value, ValueError)


def test_a_name_near_to_none_gets_no_guess():
    with pytest.raises(InputError, match="'zzz'") as caught:
        load_dataset("zzz")
    assert "mean" not in str(caught.value)
