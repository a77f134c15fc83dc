"""Forty inputs that go wrong, and the answer that users expect: an error, a warning, or a posterior that says so.

An error comes before anything compiles or samples, and names column, rows and remedy. A warning is given where the
result stays valid.
"""

import warnings
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import dense

import bayes_personal as bp
from bayes_personal.errors import BayesPersonalError, InputWarning, NotFittedError
from bayes_personal.system.sealing import LENGTH, seal

ROWS = 24
SHORT = bp.NUTS(draws=25, tune=25, chains=2)


def rows(**columns: Any) -> pd.DataFrame:
    """An outcome, a predictor, six groups of four rows, a time, and what is said beside them."""
    rng = np.random.default_rng(3)
    return pd.DataFrame({"y": rng.normal(size=ROWS), "x": rng.normal(size=ROWS), "g": list("abcdef") * 4,
                         "t": np.arange(ROWS, dtype=float), "k": rng.poisson(3, ROWS), "flag": [0, 1] * (ROWS // 2)}
                        | columns, index=np.arange(ROWS) * 10)


def changed(column: str, value: Any, row: int = 2) -> pd.DataFrame:
    """The rows with another value in one of them."""
    frame = rows()
    frame[column] = [value if place == row else each for place, each in enumerate(frame[column])]
    return frame.infer_objects()


def bind(formula: str, prior: bp.Population, frame: pd.DataFrame, family: bp.Normal | None = None) -> Any:
    return bp.Model(formula, prior, family or bp.Normal()).bind(frame)


class Row(NamedTuple):
    """What is done, and the words of the error or the warning that answers it."""

    number: int
    what: str
    go: Callable[[], Any]
    words: tuple[str, ...]


P, PP, N = bp.Population(), bp.PartialPooling("g"), bp.Normal()
DAYS = pd.date_range("2020-01-01", periods=ROWS)
GAP, DISTANCE = bp.TotalVariation("t"), bp.DistanceRegularized("t", neighbors=3)

REFUSED = [
    Row(1, "missing outcome", lambda: bind("y ~ x", P, changed("y", np.nan)), ("'y'", "1 of 24", "(20)", "dropna")),
    Row(2, "missing predictor", lambda: bind("y ~ x", P, changed("x", np.nan)), ("'x'", "1 of 24", "(20)", "dropna")),
    Row(2, "missing context", lambda: bind("y ~ x", GAP, changed("t", np.nan)), ("'t'", "1 of 24", "(20)", "dropna")),
    Row(3, "infinite outcome", lambda: bind("y ~ x", P, changed("y", np.inf)), ("'y'", "infinite", "(20)")),
    Row(3, "infinite predictor", lambda: bind("y ~ x", P, changed("x", -np.inf)), ("'x'", "infinite", "(20)")),
    Row(3, "infinite context", lambda: bind("y ~ x", GAP, changed("t", np.inf)), ("'t'", "infinite", "(20)")),
    Row(4, "missing group", lambda: bind("y ~ x", PP, changed("g", None)), ("'g'", "1 of 24", "20", "Label or drop")),
    Row(5, "no rows", lambda: bind("y ~ x", P, rows().head(0)), ("0 rows",)),
    Row(6, "one row of groups", lambda: bind("y ~ 1", PP, rows().head(1)), ("'g'", "single group", "Population()")),
    Row(8, "constant predictor", lambda: bind("y ~ x", P, rows(x=7.0)), ("'x'", "one value in all 24 rows")),
    Row(10, "constant outcome", lambda: bind("y ~ x", P, rows(y=7.0)), ("'y'", "all 24 rows", "zero variance")),
    Row(11, "single group", lambda: bind("y ~ x", PP, rows(g="a")), ("'g'", "single group", "Population()")),
    Row(12, "slopes of single rows", lambda: bind("y ~ x", bp.PartialPooling("t"), rows()),
        ("24 groups of 't'", "2 coefficients", "on='Intercept'")),
    Row(19, "contexts identical", lambda: bind("y ~ x", GAP, rows(t=5.0)), ("'t'", "5.0", "all 24", "Population()")),
    Row(20, "distances near zero", lambda: bind("y ~ x", DISTANCE, rows(t=[0.0, 1e-300] * 12)), ("'t'", "escale")),
    Row(21, "metric not symmetric", lambda: bp.DistanceRegularized("t", "x", metric=[[1, 0], [1, 1]]), ("symmetric",)),
    Row(21, "metric not positive", lambda: bp.DistanceRegularized("t", "x", metric=[[1, 0], [0, -1]]), ("-1",)),
    Row(21, "metric of another size", lambda: bind("y ~ 1", bp.DistanceRegularized("t", "x", metric=[[1]]), rows()),
        ("metric", "'t'")),
    Row(21, "metric missing", lambda: bp.DistanceRegularized("t", "x", metric=[[1, 0], [0, np.nan]]), ("metric",)),
    Row(23, "yes and no", lambda: bind("flag ~ x", P, rows(flag=["yes", "no"] * 12), bp.Bernoulli()), ("'yes'",)),
    Row(23, "1 and 2", lambda: bind("flag ~ x", P, rows(flag=[1, 2] * 12), bp.Bernoulli()), ("'flag'", "2")),
    Row(23, "halves", lambda: bind("flag ~ x", P, rows(flag=[0.5, 1] * 12), bp.Bernoulli()), ("'flag'", "0.5")),
    Row(24, "negative count", lambda: bind("k ~ x", P, changed("k", -1), bp.Poisson()), ("'k'", "-1", "20")),
    Row(24, "fractional count", lambda: bind("k ~ x", P, changed("k", 1.5), bp.Poisson()), ("'k'", "1.5", "20")),
    Row(25, "more successes than trials", lambda: bind("k ~ x", P, rows(n=1), bp.Binomial(trials="n")), ("'n'",)),
    Row(25, "no trials", lambda: bind("k ~ x", P, rows(n=0), bp.Binomial(trials="n")), ("'n'",)),
    Row(25, "trials missing", lambda: bind("k ~ x", P, rows(n=np.nan), bp.Binomial(trials="n")), ("'n'", "missing")),
    Row(27, "beyond 2**53", lambda: bind("y ~ x", P, rows(x=2**53 + np.arange(ROWS))), ("'x'", "2**53")),
    Row(28, "numbers as text", lambda: bind("y ~ x", P, rows(x=[f"{k},5" for k in range(ROWS)])),
        ("'x'", "'0,5'", "to_numeric")),
    Row(29, "decimals", lambda: bind("y ~ x", P, rows(x=[Decimal(k) for k in range(ROWS)])), ("'x'", "Decimal")),
    Row(29, "complex", lambda: bind("y ~ x", P, rows(x=1j * np.arange(ROWS))), ("'x'", "complex")),
    Row(29, "missing of Int64", lambda: bind("y ~ x", P, rows(x=pd.array([1, None] * 12, "Int64"))), ("12 of 24",)),
    Row(30, "mixed zones", lambda: bind("y ~ x", GAP, rows(t=[day.tz_localize(("UTC", "Asia/Tokyo")[day.day % 2])
                                                              for day in DAYS])), ("'t'", "time zones", "utc=True")),
    Row(30, "other zone later", lambda: bind("y ~ x", GAP, rows(t=DAYS)).features_at(rows(t=DAYS.tz_localize("UTC"))),
        ("'t'", "with a time zone", "tz_localize")),
    Row(34, "unseen category", lambda: bind("y ~ g", P, rows()).design.at(changed("g", "z")),
        ("'g'", "'z'", "1 rows (20)", "Allowed: 'a', 'b', 'c', 'd', 'e', 'f'")),
    Row(36, "missing column", lambda: bind("y ~ x", P, rows().rename(columns={"x": "xx"})),
        ("'x'", "Did you mean 'xx'")),
    Row(36, "repeated column", lambda: bind("y ~ x", P, pd.concat([rows(), rows()[["x"]]], axis=1)),
        ("'x'", "more than one")),
    Row(36, "levels of columns", lambda: bind("y ~ x", P, pd.concat({"a": rows()}, axis=1)), ("2 levels", "flatten")),
    Row(37, "negative error", lambda: bind("y ~ x", P, rows(s=-1.0), bp.Normal(sd="s")), ("'s'", "24 rows")),
    Row(37, "error of 0", lambda: bind("y ~ x", P, rows(s=0.0), bp.Normal(sd="s")), ("'s'", "positive")),
    Row(37, "error missing", lambda: bind("y ~ x", P, rows(s=np.nan), bp.Normal(sd="s")), ("'s'", "missing in 24")),
    Row(37, "error near 0", lambda: bind("y ~ x", P, rows(s=[1e-300] + [1.0] * 23), bp.Normal(sd="s")),
        ("'s'", "rows 0", "1.0e-300")),
    Row(37, "small error", lambda: bind("y ~ x", P, rows(s=[1e-60] + [1.0] * 23), bp.Normal(sd="s")),
        ("'s'", "rows 0", "1.0e-60")),
    Row(37, "errors as an array", lambda: bp.Normal(sd=np.ones(3)), ("sd=", "column")),
    Row(38, "more types than rows", lambda: bind("y ~ 1", bp.Mixture(100), rows()), ("100 types", "24 rows")),
    Row(38, "more archetypes than rows", lambda: bind("y ~ 1", bp.Repulsive("t", archetypes=5), rows().head(4)),
        ("5 archetypes", "4 rows")),
    Row(38, "no types", lambda: bp.Mixture(0), ("components=0", "2 or more")),
    Row(38, "no archetypes", lambda: bp.Repulsive("x", archetypes=0), ("archetypes=0",)),
    Row(38, "scale of 0", lambda: bp.PartialPooling("g", scale=bp.Hyperprior("HalfNormal", sigma=0)), ("sigma=0",)),
    Row(38, "chance of 1", lambda: bp.Invariant("g", inclusion=1.0), ("inclusion=1.0", "between 0 and 1")),
    Row(38, "no draws", lambda: bp.NUTS(draws=0), ("draws=0", "4 or more")),
    Row(38, "no chains", lambda: bp.NUTS(chains=0), ("chains=0", "1 or more")),
    Row(38, "no column", lambda: bp.PartialPooling(None), ("must be text", "by=None")),
    Row(38, "empty columns", lambda: bp.PartialPooling([]), ("must be text", "by=[]")),
    Row(38, "no target", lambda: bp.Transfer("g", None), ("target=None",)),
    Row(38, "segments of no context", lambda: bp.Partition("t", shortest=0), ("shortest=0", "1 or more")),
    Row(40, "density of 0 at the start", lambda: bp.fit(bp.Model("y ~ x", family=bp.Normal(
        sigma=bp.Hyperprior("HalfNormal", sigma=1e-200))), rows(), progress=False), ("sigma", "density 0")),
]
WARNED = [
    Row(6, "one row", lambda: bind("y ~ 1", P, rows().head(1)), ("1 coefficients for 1 rows", "prior")),
    Row(7, "fewer rows than coefficients", lambda: bind("y ~ x + k + t", P, rows().head(3)), ("4 coefficients for 3",)),
    Row(9, "collinear", lambda: bind("y ~ x + z", P, rows(z=2 * rows()["x"] + 1)), ("'z'", "'x'", "Remove one")),
    Row(12, "one row a group", lambda: bind("y ~ 1", bp.PartialPooling("t"), rows()), ("24 of 24 groups", "'t'")),
    Row(12, "one row a group apart", lambda: bind("y ~ 1", bp.Conditional("t"), rows()), ("24 of 24 groups", "prior")),
    Row(13, "mostly single rows", lambda: bind("y ~ 1", PP, rows(g=["big"] * 4 + list(map(str, range(20))))),
        ("20 of 21 groups", "'g'", "single row")),
    Row(14, "two groups", lambda: bind("y ~ 1", PP, rows(g=["a", "b"] * 12)), ("'g' has two groups", "prior")),
    Row(16, "repeated times", lambda: bind("y ~ 1", bp.Partition("t"), rows(t=[*range(12)] * 2)),
        ("24 rows have 12 distinct values of 't'", "one segment")),
    Row(17, "gaps", lambda: bind("y ~ 1", GAP, rows(t=[*range(12), *range(1000, 1012)])), ("'t'", "long gaps")),
    Row(22, "separated", lambda: bind("flag ~ x", P, rows(flag=(rows()["x"] > 0).astype(int)), bp.Bernoulli()),
        ("'x'",)),
    Row(31, "1 and '1'", lambda: bind("y ~ 1", PP, rows(g=pd.Series([1, "1", 2] * 8, dtype=object).to_numpy())),
        ("'g'", "read the same", "stay apart")),
    Row(32, "unused categories", lambda: bind("y ~ 1", PP, rows(g=pd.Categorical(list("abc") * 8, list("abcz")))),
        ("'g'", "no rows", "'z'")),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row.number} {row.what}")
def test_refused_before_anything_samples(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    def began(*_: object) -> None:
        raise AssertionError("sampling began")
    for name in ("nutpie.sample", "pymc.sample"):
        monkeypatch.setattr(name, began)
    with warnings.catch_warnings(), pytest.raises(BayesPersonalError) as caught:
        warnings.simplefilter("ignore", InputWarning)
        row.go()
    for word in row.words:
        assert word in str(caught.value), f"no {word!r} in: {caught.value}"


@pytest.mark.parametrize("row", WARNED, ids=lambda row: f"{row.number} {row.what}")
def test_warned_of_once(row: Row) -> None:
    with pytest.warns(InputWarning) as caught:
        bound = row.go()
    assert len(caught) == 1 and np.isfinite(bound.x).all()
    for word in row.words:
        assert word in str(caught[0].message), f"no {word!r} in: {caught[0].message}"


@pytest.fixture(scope="module")
def posterior() -> bp.Posterior:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bp.fit(bp.Model("y ~ x", PP), rows(), seed=1, progress=False, method=SHORT)


def test_4_and_33_a_missing_label_is_unknown_and_another_new(posterior: bp.Posterior) -> None:
    frame = rows().head(4).assign(g=["a", None, "new", "new"])
    assert bp.predict(posterior, frame).frame()["g_status"].tolist() == ["known", "unknown", "new", "new"]


def test_15_the_order_of_rows_is_the_users() -> None:
    frame = rows()
    shuffled = frame.sample(frac=1, random_state=1)
    for prior in (GAP, bp.Partition("t"), bp.GaussianProcess("t")):
        plain, moved = bind("y ~ x", prior, frame), bind("y ~ x", prior, shuffled)
        assert (moved.units == shuffled.index).all()
        back = dense(moved.features_at(frame)[0].matrix) - dense(plain.features[0].matrix)
        np.testing.assert_allclose(np.asarray(back), 0, atol=1e-12)


def test_18_equal_contexts_share_their_parameters() -> None:
    frame = rows(t=[*range(12)] * 2)
    for prior in (DISTANCE, GAP):
        matrix = np.asarray(bind("y ~ x", prior, frame).features[0].matrix)
        np.testing.assert_array_equal(matrix[:12], matrix[12:])


@pytest.mark.parametrize("scale", [1e12, 1e-12])
def test_26_scales_go_into_natural_units(scale: float) -> None:
    plain = bind("y ~ x", PP, rows())
    scaled = bind("y ~ x", PP, rows(y=rows()["y"].to_numpy() * scale, x=rows()["x"].to_numpy() / scale))
    np.testing.assert_allclose(scaled.coefficients.unit, plain.coefficients.unit * [scale, scale**2], rtol=1e-12)


def test_27_products_of_narrow_integers_do_not_overflow() -> None:
    narrow = rows(x=(np.arange(ROWS) * 5).astype("int8"))
    np.testing.assert_array_equal(bind("y ~ I(x * x)", P, narrow).x[:, 1], (np.arange(ROWS) * 5.0) ** 2)


@pytest.mark.parametrize("kind", [bool, "boolean", "Int64", "Float32", "object"])
def test_23_and_29_numbers_and_booleans_of_every_dtype_are_taken(kind: Any) -> None:
    flag = rows()["flag"].astype(kind)
    np.testing.assert_array_equal(bind("y ~ flag", P, rows(flag=flag)).x[:, 1], [0.0, 1.0] * 12)
    if kind in (bool, "boolean"):
        np.testing.assert_array_equal(bind("flag ~ x", P, rows(flag=flag), bp.Bernoulli()).y, [0.0, 1.0] * 12)


def test_30_dates_with_a_zone_count_as_utc() -> None:
    utc = bind("y ~ x", GAP, rows(t=DAYS.tz_localize("UTC")))
    same = utc.features_at(rows(t=DAYS.tz_localize("UTC").tz_convert("Asia/Tokyo")))[0].matrix
    np.testing.assert_array_equal(np.asarray(same), np.asarray(utc.features[0].matrix))


def test_31_labels_of_any_text_stay_what_they_are() -> None:
    labels = ["", " a b", "Ä/ö:[x]", "0", "名前", "x" * 200]
    bound = bind("y ~ x", PP, rows(g=labels * 4))
    assert sorted(bound.dims["g_effect"]["g"]) == sorted(labels)


def test_32_a_declared_category_without_rows_is_empty_and_not_new() -> None:
    with pytest.warns(InputWarning, match="no rows"):
        bound = bind("y ~ 1", PP, rows(g=pd.Categorical(list("abc") * 8, list("abcz"))))
    (features,) = bound.features_at(rows(g="z").head(1))
    assert features.status["g"].tolist() == ["empty"]


def test_35_contexts_outside_the_training_range_are_counted() -> None:
    bound = bind("y ~ x", bp.GaussianProcess("t"), rows())
    assert bound.pieces[0].axes[0].outside(rows(t=[99.0] + [1.0] * 23)).sum() == 1


def test_36_columns_are_taken_by_name_and_the_index_is_kept(posterior: bp.Posterior) -> None:
    frame = rows(extra="ignored")[["extra", "x", "t", "g", "y"]].set_axis([7] * ROWS)
    found = bp.predict(posterior, frame, kind="theta", seed=1).frame()
    assert (found.index == 7).all()
    np.testing.assert_array_equal(found["mean"], bp.predict(posterior, rows(), kind="theta", seed=1).frame()["mean"])


def test_39_what_is_not_fitted_damaged_or_newer_is_said(posterior: bp.Posterior, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="posterior that bp.fit returns; got Model"):
        bp.predict(bp.Model("y ~ x"))
    path = tmp_path / "saved.nc"
    posterior.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(bp.errors.FileError, match="truncated|damaged"):
        bp.load(path)


@pytest.mark.parametrize(("old", "new"), [('"PartialPooling"', '"NewerPooling"'), ('"concentration"', '"shape"')])
def test_39_a_newer_version_is_named(old: str, new: str, posterior: bp.Posterior, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "saved.nc"
    with monkeypatch.context() as patched:
        patched.setattr("bayes_personal.posterior.storage.version", lambda name: "99.0")
        posterior.save(path)
    path.write_bytes(path.read_bytes()[:-LENGTH])
    with h5py.File(path, "r+") as file:
        file.attrs["bayes_personal_model"] = file.attrs["bayes_personal_model"].replace(old, new)
    content = path.read_bytes()
    path.write_bytes(content + seal(content))
    with pytest.raises(bp.errors.FileError) as caught:
        bp.load(path)
    assert "99.0" in str(caught.value) and new.strip('"') in str(caught.value)


def test_40_a_posterior_that_must_not_be_trusted_says_so(posterior: bp.Posterior) -> None:
    assert posterior.complaints and "DO NOT TRUST" in repr(posterior)
