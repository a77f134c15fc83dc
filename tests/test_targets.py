"""Targets of Transfer and FineTuned: labels of every kind, alone and in whatever holds several."""

import datetime
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import BayesPersonalError
from bayes_personal.model.specification import decode, encode

ROWS = 12
DAYS = list(pd.date_range("2020", periods=3))
LABELS: dict[str, list] = {
    "numbers": [1, 2, 3], "fractions": [0.5, 1.5, 2.5], "text": ["a", "b", "c"], "booleans": [False, True, None],
    "timestamps": DAYS, "zoned": [day.tz_localize("Europe/Paris") for day in DAYS],
    "days": [day.date() for day in DAYS], "tuples": [("a", 1), ("a", 2), ("b", 1)],
}


def rows(labels: list) -> pd.DataFrame:
    """Four rows of each label, in turn."""
    labels = [label for label in labels if label is not None]
    rng = np.random.default_rng(4)
    column = pd.Series([labels[place % len(labels)] for place in range(ROWS)])
    return pd.DataFrame({"y": rng.normal(size=ROWS), "x": rng.normal(size=ROWS), "g": column})


def marked(prior: bp.Transfer | bp.FineTuned, frame: pd.DataFrame) -> np.ndarray:
    """Which rows are of a target."""
    (features,) = bp.Model("y ~ x", prior).bind(frame).features
    return np.asarray(features.matrix, bool).any(axis=1)


@pytest.mark.parametrize("kind", LABELS)
def test_a_label_of_any_kind_is_a_target(kind: str) -> None:
    frame, label = rows(LABELS[kind]), LABELS[kind][1]
    wanted = np.array([value == label for value in frame["g"]])
    assert wanted.sum() in (ROWS // 3, ROWS // 2)
    np.testing.assert_array_equal(marked(bp.Transfer("g", label), frame), wanted)
    np.testing.assert_array_equal(marked(bp.FineTuned("g", target=[label], freeze=None), frame), wanted)
    for prior in (bp.Transfer("g", label), bp.FineTuned("g", target=[label])):
        assert decode(encode(prior)) == prior and type(decode(encode(prior)).target) is type(prior.target)


FRAME = rows([1, 2, 3])
SEVERAL = {
    "list": [1, 3], "tuple": (1, 3), "array": np.array([1, 3]), "set": {3, 1}, "index": pd.Index([1, 3]),
    "column": pd.Series([1, 3], index=[7, 7]), "unique": FRAME.loc[FRAME["g"] != 2, "g"].unique(),
    "nullable": pd.array([1, 3], dtype="Int64"), "categories": pd.Categorical([1, 3]),
    "NumPy in a list": [np.int8(1), 3],
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_targets_come_in_whatever_holds_them(kind: str) -> None:
    prior = bp.FineTuned("g", target=SEVERAL[kind], freeze=None)
    np.testing.assert_array_equal(marked(prior, FRAME), FRAME["g"].isin([1, 3]))
    assert prior == bp.FineTuned("g", target=(1, 3), freeze=None) and hash(prior)


ONE = {"scalar": FRAME["g"].max(), "first": FRAME["g"].iloc[0] + np.int64(2), "float": np.float64(3.0),
       "array of one": np.array([3]), "array of none": np.array(3), "column of one": pd.Series([3])}


@pytest.mark.parametrize("kind", ONE)
def test_one_target_may_be_of_numpy(kind: str) -> None:
    for prior in (bp.FineTuned("g", target=ONE[kind], freeze=None), bp.Transfer("g", ONE[kind])):
        np.testing.assert_array_equal(marked(prior, FRAME), FRAME["g"] == 3)


def test_a_date_of_numpy_is_a_target() -> None:
    frame = rows(DAYS)
    for unit in ("D", "ns"):
        target = np.datetime64("2020-01-02", unit)
        np.testing.assert_array_equal(marked(bp.Transfer("g", target), frame), frame["g"] == DAYS[1])


WRONG: dict[str, tuple[Any, list[str]]] = {
    "none": (lambda: bp.Transfer("g", None), ["target=None"]),
    "two": (lambda: bp.Transfer("g", np.array([1, 2])), ["names 2 labels", "FineTuned takes several"]),
    "empty": (lambda: bp.FineTuned("g", target=[]), ["names no group"]),
    "empty array": (lambda: bp.FineTuned("g", target=np.array([])), ["names no group"]),
    "dictionary": (lambda: bp.FineTuned("g", target={"a": 1}), ["cannot be a label", "in a list"]),
    "list in a list": (lambda: bp.FineTuned("g", target=[[1]]), ["cannot be a label"]),
    "unknown": (lambda: marked(bp.Transfer("g", 4), FRAME), ["label 4 in column 'g'"]),
    "text for a date": (lambda: marked(bp.Transfer("g", "2020-01-02"), rows(DAYS)), ["label '2020-01-02'", "Did you"]),
    "bare tuple": (lambda: marked(bp.FineTuned("g", target=("a", 1), freeze=None), rows(LABELS["tuples"])),
                   ["one label of 'g'", "target=[('a', 1)]"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_target_is_answered_with_what_to_write(case: str) -> None:
    go, words = WRONG[case]
    with pytest.raises(BayesPersonalError) as caught:
        go()
    for word in words:
        assert word in str(caught.value), f"no {word!r} in: {caught.value}"


def test_a_date_as_target_goes_through_a_file(tmp_path: Path) -> None:
    frame = rows(DAYS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bp.errors.ConvergenceWarning)
        posterior = bp.fit(bp.Model("y ~ x", bp.Transfer("g", frame["g"].max())), frame, seed=1, progress=False,
                           method=bp.NUTS(draws=25, tune=25, chains=1))
    posterior.save(tmp_path / "saved.nc")
    again = bp.load(tmp_path / "saved.nc")
    assert again.model == posterior.model and again.model.prior.target == DAYS[2]
    pd.testing.assert_frame_equal(again.theta_frame(), posterior.theta_frame())
    assert datetime.date(2020, 1, 3) == decode(encode(bp.Transfer("g", datetime.date(2020, 1, 3)))).target
