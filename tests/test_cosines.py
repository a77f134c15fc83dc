"""The Hilbert-space basis: cosines by a recurrence, and what is learned of the rows a batch at a time."""

import numpy as np
import pandas as pd
import pytest

from bayes_personal.data.context import Context
from bayes_personal.data.rows import BATCH
from bayes_personal.priors.gaussian_process import RULES, SHORTEST, UNFELT, Box, GaussianProcess, orders
from bayes_personal.priors.parts.coefficients import Coefficients

BOX = Box(center=0.3, length=4.2, size=60, shortest=0.1, longest=4.0)
PLACES = {
    "inside": np.linspace(0.3 - 1.7, 0.3 + 1.7, 20_001),
    "the whole box": np.linspace(0.3 - 4.2, 0.3 + 4.2, 20_001),
    "at its edge": 0.3 - 4.2 + np.logspace(-12, 0, 10_001),
    "beyond it": np.linspace(-60, 60, 20_001),
}


@pytest.mark.parametrize("where", PLACES)
def test_cosines_are_cosines(where: str) -> None:
    values = PLACES[where].astype(np.longdouble)
    order = np.arange(61)
    angle = order * (np.longdouble("3.14159265358979323846264338327950288") / (2 * np.longdouble(BOX.length)))
    height = np.where(order == 0, np.sqrt(np.longdouble(0.5)), 1) / np.sqrt(np.longdouble(BOX.length))
    expected = height * np.cos(angle * (values - (np.longdouble(BOX.center) - np.longdouble(BOX.length)))[:, None])
    np.testing.assert_allclose(BOX.at(PLACES[where]), expected.astype(float), rtol=0, atol=1e-12)


@pytest.mark.parametrize("distinct", [2, 3, 5, 9, 27, 28, 29, 400])
@pytest.mark.parametrize("even", [True, False])
def test_the_gaps_of_few_values_count_and_those_of_many_do_not(distinct: int, even: bool) -> None:
    """The box stops reading where more values cannot change it; the rule is that of all of them."""
    places = np.arange(distinct) if even else 2.0 ** -np.arange(distinct)
    frame = pd.DataFrame({"c": np.tile(places, 3 * BATCH // distinct)})
    one = Context.learn(frame, "c", "Owner('c')")
    half = np.ptp(places) / 2
    gap = np.median(np.diff(np.sort(places))) / half
    wide, fine = RULES["matern52"]
    assert Box.learn(one, frame, "matern52", 1).size == min(int(np.ceil(fine * wide * UNFELT / max(SHORTEST, gap))), 60)


@pytest.mark.parametrize("contexts", [("a",), ("a", "b"), ("a", "b", "c")])
def test_power_is_the_mean_square_of_the_features(contexts: tuple[str, ...]) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.uniform(size=(2 * BATCH + 100, 3)), columns=list("abc"))
    coefficients = Coefficients(("Intercept",), np.zeros(1), np.ones(1), np.zeros(1))
    (term,) = GaussianProcess(*contexts).terms(frame, coefficients)
    matrix = term.at(frame).matrix
    np.testing.assert_allclose(term.power, (matrix**2).mean(axis=0), rtol=1e-13)
    each = [box.at(one.at(frame)[:, 0]) for box, one in zip(term.boxes, term.contexts, strict=True)]
    for feature, order in zip(matrix.T, orders(term.boxes), strict=True):
        np.testing.assert_allclose(feature, np.prod([one[:, k] for one, k in zip(each, order, strict=True)], axis=0),
                                   rtol=1e-14)
