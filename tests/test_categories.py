"""Categories of every kind are read at new rows as in training, whatever the column's type is there."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import InputError, SpecificationError

ROWS = 24
CODES = np.tile([0, 1, 2], ROWS // 3)
NUMBERS = pd.Series(CODES)
FLAGS = NUMBERS > 0
DATES = pd.Series(pd.date_range("2020", periods=3)[CODES])
BINS = pd.cut(NUMBERS, [-1, 0, 1, 2])
GRADES = pd.Series(pd.Categorical.from_codes(CODES, ["low", "middle", "high"], ordered=True))
MONTHS = pd.Series(pd.period_range("2020", periods=3, freq="M")[CODES])

# Of every kind of training column, the same values as other columns hold them.
CATEGORIES: dict[str, tuple[pd.Series, list[pd.Series]]] = {
    "numbers": (NUMBERS.astype("category"), [NUMBERS.astype(kind) for kind in
                                             ("int64", "int8", "float64", "Int64", "object", "category")]),
    "fractions": ((NUMBERS / 2).astype("category"), [NUMBERS / 2, (NUMBERS / 2).astype("float32")]),
    "ordered numbers": (NUMBERS.astype(pd.CategoricalDtype([2, 1, 0], ordered=True)), [NUMBERS, NUMBERS.astype(float)]),
    "ordered text": (GRADES, [GRADES.astype(str), GRADES.astype(object), GRADES.cat.as_unordered()]),
    "booleans": (FLAGS.astype("category"), [FLAGS.astype(kind) for kind in ("bool", "int64", "boolean", "object")]),
    "dates": (DATES.astype("category"), [DATES, DATES.dt.as_unit("ns"), DATES.astype(object)]),
    "intervals": (BINS, [pd.Series(pd.arrays.IntervalArray(BINS.astype(object))), BINS.astype(object)]),
    "months": (MONTHS.astype("category"), [MONTHS, MONTHS.astype(object)]),
}
MODELS = {
    "predictor": bp.Model("y ~ s"),
    "C()": bp.Model("y ~ C(s)"),
    "contrasts": bp.Model("y ~ C(s, contr.sum)"),
    "interaction": bp.Model("y ~ z + s:z"),
    "context": bp.Model("y ~ z", bp.LinearVarying("s", on="Intercept")),
    "groups": bp.Model("y ~ z", bp.PartialPooling("s")),
}


def rows(levels: pd.Series) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame({"y": rng.normal(size=ROWS), "z": rng.normal(size=ROWS), "s": levels})


@pytest.mark.parametrize("kind", CATEGORIES)
@pytest.mark.parametrize("use", MODELS)
def test_a_category_is_the_same_in_every_type_of_column(kind: str, use: str) -> None:
    trained, others = CATEGORIES[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bp.errors.InputWarning)
        bound = MODELS[use].bind(rows(trained))
    for other in others:
        np.testing.assert_array_equal(bound.design.at(rows(other)), bound.x, err_msg=str(other.dtype))
        for one, again in zip(bound.features, bound.features_at(rows(other)), strict=True):
            assert one.matrix.shape == again.matrix.shape and abs(one.matrix - again.matrix).max() == 0


@pytest.mark.parametrize("formula", ["y ~ C(s)", "y ~ C(s, contr.sum)"])
@pytest.mark.parametrize(("trained", "other"), [("bool", "int64"), ("bool", "float64"), ("int64", "bool")])
def test_booleans_and_zero_and_one_are_the_same_levels(formula: str, trained: str, other: str) -> None:
    bound = bp.Model(formula).bind(rows(FLAGS.astype(trained)))
    np.testing.assert_array_equal(bound.design.at(rows(FLAGS.astype(other))), bound.x)


def test_the_mean_of_a_category_of_numbers_is_predicted_from_plain_numbers() -> None:
    """Read as a number, level 3 would have three times the effect of level 1."""
    rng, stage = np.random.default_rng(0), np.repeat([0, 1, 2, 3], 15)
    frame = pd.DataFrame({"stage": stage, "y": stage**2 + 0.3 * rng.normal(size=60)})
    posterior = bp.fit(bp.Model("y ~ stage"), frame.assign(stage=frame["stage"].astype("category")), seed=1,
                       progress=False, method=bp.Laplace())
    new = bp.predict(posterior, pd.DataFrame({"stage": [0, 1, 2, 3]})).frame()
    assert not posterior.complaints
    np.testing.assert_allclose(new["mean"], frame.groupby("stage")["y"].mean(), atol=4 * 0.3 / np.sqrt(15))


@pytest.mark.parametrize("use", [use for use in MODELS if use != "groups"])
def test_text_that_reads_like_a_level_is_not_that_level(use: str) -> None:
    bound = MODELS[use].bind(rows(NUMBERS.astype("category")))
    with pytest.raises(InputError) as caught:
        bound.design.at(rows(NUMBERS.astype(str))), bound.features_at(rows(NUMBERS.astype(str)))
    for words in ("'s'", "24 rows", "Allowed: 0, 1, 2", "'0' is of type str", "is of type int: convert the column"):
        assert words in str(caught.value)


def test_a_level_that_training_had_not_is_named() -> None:
    bound = bp.Model("y ~ s").bind(rows(NUMBERS.astype("category")))
    new = rows(NUMBERS.replace(2, 7)).set_axis(range(100, 100 + ROWS))
    with pytest.raises(InputError, match=r"has the level 7 in 8 rows \(102, 105, 108, \.\.\.\), not seen in training"):
        bound.design.at(new)


def test_a_predictor_within_the_levels_of_another() -> None:
    x = np.random.default_rng(0).normal(size=12)
    rows = pd.DataFrame({"y": np.arange(12.0) ** 1.3, "x": x, "g": list("abc") * 4})
    nested, crossed = (bp.Model(f"y ~ {terms}").bind(rows) for terms in ("x %in% g", "g + x:g"))
    columns = sorted(map(tuple, nested.x.T)), sorted(map(tuple, crossed.x.T))
    np.testing.assert_array_equal(*columns)


@pytest.mark.parametrize("terms", ["1:x", "1*x", "0:x", "x:1", "x*0", "z + 1:x"])
def test_numbers_do_not_interact(terms: str) -> None:
    with pytest.raises(SpecificationError, match="the number [01] would rescale a predictor, or interact"):
        bp.Model(f"y ~ {terms}")


@pytest.mark.parametrize("text", ["y ~", "y ~ ", "y ~ \n"])
def test_an_outcome_alone(text: str) -> None:
    with pytest.raises(SpecificationError, match="it names no predictors, not even an intercept"):
        bp.Model(text)
