"""The Hilbert-space basis: cosines by a recurrence, and what is learned of the rows a batch at a time."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_personal as bp
from bayes_personal.data.context import Context
from bayes_personal.data.rows import BATCH
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.model.specification import decode, encode
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


def term_of(frame: pd.DataFrame, prior: GaussianProcess):
    (term,) = bp.Model("y ~ dose", prior).bind(frame).terms
    return term


@pytest.mark.parametrize(("prior", "cosines"), [
    (GaussianProcess("age", kernel="squared_exponential", shortest=0.3), 12),
    (GaussianProcess("age", shortest=0.3), 22), (GaussianProcess("age", shortest=0.12), 55),
    (GaussianProcess("age", shortest=2.0), 4), (GaussianProcess("age", "height", shortest=0.4), 10)], ids=repr)
def test_the_basis_and_the_length_scales_are_those_from_the_shortest_on(frame: pd.DataFrame, prior: GaussianProcess,
                                                                        cosines: int) -> None:
    term = term_of(frame, prior)
    assert [box.size for box in term.boxes] == [cosines] * len(prior.contexts)
    law = term.parameters()[1].arguments
    half = [(one.high - one.low) / 2 for one in term.contexts]
    below, above = (stats.invgamma.cdf(np.multiply(end, half), law["alpha"][0], scale=law["beta"][0])
                    for end in (prior.shortest, 4.0))
    np.testing.assert_allclose(above, 0.99, rtol=1e-6)
    # A whole number of cosines represents slightly shorter ones too.
    assert (below >= 0.01).all() and (cosines < 10 or (below < 0.03).all())
    assert f"for length-scales from {prior.shortest:g} half-ranges of c without the constant" in repr(
        bp.Model("y ~ dose", prior))
    assert decode(encode(prior)) == prior and repr(prior).endswith(f"shortest={prior.shortest})")


def test_the_default_shortest_length_scale_is_that_of_the_basis_for_one_context(frame: pd.DataFrame) -> None:
    assert repr(GaussianProcess("age")) == "GaussianProcess('age')"
    default, stated = (GaussianDensity(bp.Model("y ~ dose", GaussianProcess("age", shortest=shortest)).bind(frame))
                       for shortest in (None, SHORTEST))
    for point in np.random.default_rng(1).normal(0, 0.7, (3, default.size)):
        assert stated.log_density(point)[0] == default.log_density(point)[0]


def test_gaps_longer_than_the_shortest_length_scale_count(frame: pd.DataFrame) -> None:
    few = frame.assign(age=np.arange(len(frame)) % 4)
    priors = [GaussianProcess("age", shortest=shortest) for shortest in (None, 0.5, 2 / 3, 1)]
    assert [term_of(few, prior).boxes[0].size for prior in priors] == [10, 10, 10, 7]


@pytest.mark.parametrize(("contexts", "shortest", "words"), [
    (("a",), 0.0, "shortest=0.0 must be positive"), (("a",), "fine", "shortest='fine' must be positive"),
    (("a",), 0.1, "between 0.109, for which matern52 takes the 60 cosines a context that are affordable with 1, and 2"),
    (("a", "b"), 0.3, "between 0.332, .* the 12 cosines"), (("a", "b", "c"), 0.5, "between 0.568, .* the 7 cosines"),
    (("a",), 2.5, "and 2, its whole range")])
def test_a_shortest_length_scale_that_no_basis_has_is_refused(contexts: tuple[str, ...], shortest: float,
                                                              words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        GaussianProcess(*contexts, shortest=shortest)
