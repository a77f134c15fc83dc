"""Expressions in formulas, and functions of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_formula import every_kind, numbers

import bayes_personal as bp
from bayes_personal.errors import (
    FileError,
    InputTypeError,
    SpecificationError,
)
from bayes_personal.formulas.expression import Expression
from bayes_personal.formulas.terms import outcome
from bayes_personal.model.specification import decode, encode
from bayes_personal.questions.few_shot import FewShot


@pytest.fixture
def rows() -> pd.DataFrame:
    return every_kind()


EXPRESSIONS = {
    "x**2 + 2*x - 1": lambda f: f.x**2 + 2 * f.x - 1,
    "-x": lambda f: -f.x,
    "(x > 0) & ~(pre > 2) | (g == 'a')": lambda f: (f.x > 0) & ~(f.pre > 2) | (f.g == "a"),
    "np.clip(x, -1, 1)": lambda f: f.x.clip(-1, 1),
    "np.maximum(x, pre) % 2": lambda f: np.maximum(f.x, f.pre) % 2,
    "exp10(x)": lambda f: 10**f.x,
    "sin(2 * np.pi * x)": lambda f: np.sin(2 * np.pi * f.x),
    "g.str.len()": lambda f: np.ones(24),
    "day.dt.month": lambda f: f.day.dt.month,
    "2**3**1 * x": lambda f: 8 * f.x,
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_is_what_python_says(rows: pd.DataFrame, text: str) -> None:
    np.testing.assert_allclose(numbers(rows, text).astype(float), EXPRESSIONS[text](rows).astype(float)
                               if isinstance(EXPRESSIONS[text](rows), pd.Series) else EXPRESSIONS[text](rows))
    again = Expression.read(Expression.read(text).text)
    assert again == Expression.read(text)


def test_levels_of_whole_numbers_are_named_as_such(rows: pd.DataFrame) -> None:
    model = bp.Model("pre ~ C(day.dt.month) + C(g.str.len())")
    names = model.bind(rows.assign(g=["a", "bb"] * 12)).coefficients.names
    assert names == ("Intercept", "C(day.dt.month)[T.3]", "C(g.str.len())[T.2]")


def test_no_array_is_written_into(rows: pd.DataFrame) -> None:
    before = rows.copy()
    for text in ("log(post, pre)", "np.log(post, out=pre)", "np.add(post, 1, pre)", "np.clip(post, 1, 2, pre)",
                 "np.round(post, 1, pre)"):
        with pytest.raises(SpecificationError, match="in a formula, none by name"):
            numbers(rows, text)
    pd.testing.assert_frame_equal(rows, before)


def cube(values: Any) -> Any:
    return values**3


def test_functions_of_ones_own(rows: pd.DataFrame, tmp_path: Path) -> None:
    model = bp.Model("cube(post) ~ cube(`x 1`) + x", functions={"cube": cube, "unused": len})
    assert model.functions == {"cube": cube}
    posterior = bp.fit(model, rows, method=bp.Laplace(), seed=1, progress=False)
    np.testing.assert_allclose(posterior.bound.y, rows["post"] ** 3, rtol=1e-14)
    np.testing.assert_allclose(posterior.bound.x[:, 1], rows["x 1"] ** 3, rtol=1e-14)
    posterior.save(tmp_path / "own.nc")
    with pytest.raises(FileError, match=r"calls 'cube', and files hold no functions.*functions=\{'cube': cube\}"
                       ) as caught:
        bp.load(tmp_path / "own.nc")
    assert "written by" not in str(caught.value)
    again = bp.load(tmp_path / "own.nc", functions={"cube": cube, "unused": len})
    new = rows.iloc[:5]
    pd.testing.assert_frame_equal(bp.predict(again, new).frame(), bp.predict(posterior, new).frame())
    assert decode(encode(model), model.functions) == model


def test_another_function_of_the_same_name_is_noticed(rows: pd.DataFrame, tmp_path: Path) -> None:
    posterior = bp.fit(bp.Model("post ~ cube(x)", functions={"cube": cube}), rows, method=bp.Laplace(), seed=1,
                       progress=False)
    posterior.save(tmp_path / "own.nc")
    with pytest.raises(FileError, match="cube.*other values"):
        bp.load(tmp_path / "own.nc", functions={"cube": np.abs})


@pytest.mark.parametrize(("functions", "kind", "words"), [
    ([cube], InputTypeError, "map names to functions"),
    ({"a b": cube}, InputTypeError, "letters, digits"),
    ({"cube": 3}, InputTypeError, "must be a function; got 3"),
    ({"log": cube}, SpecificationError, "know 'log' already"),
    ({"np": cube}, SpecificationError, "know 'np' already"),
])
def test_functions_that_are_none(functions: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        bp.Model("y ~ x", functions=functions)


@pytest.mark.parametrize(("function", "words"), [
    (lambda values: values.rank(), "which other rows"),
    (lambda values: values[:3], "cannot be evaluated"),
    (lambda values: 1 / 0, "cannot be evaluated"),
    (lambda values: {"a": 1}, "own must return an array or a Series"),
    (lambda values: 3.0, "own must return an array or a Series.*got the float 3.0"),
    (lambda values: values.to_numpy()[:3], r"24 rows; got one of shape \(3,\)"),
])
def test_what_a_function_may_not_return(rows: pd.DataFrame, function: Any, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        bp.Model("post ~ own(x)", functions={"own": function}).bind(rows)


def test_an_outcome_by_a_function_stands_by_its_row_alone(rows: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match=r"'own\(post\)' of a row depends on which other rows"):
        bp.Model("own(post) ~ x", functions={"own": lambda values: values.rank()}).bind(rows)


def test_a_scaled_outcome_keeps_the_training_scale(rows: pd.DataFrame) -> None:
    """Given rows of a new group are read in units of the training rows' outcome."""
    scaled = bp.Model("scale(post) ~ x", bp.PartialPooling("g")).bind(rows)
    new = rows.iloc[:3].assign(g="new")
    values = outcome(scaled.design.formula, new, scaled.design.outcome_state)
    right = (new["post"] - rows["post"].mean()) / rows["post"].std()
    np.testing.assert_allclose(values, right, rtol=1e-12)
    np.testing.assert_allclose(FewShot.of(scaled, new).y, right, rtol=1e-12)
