"""Outcomes up to the ends of what families accept, and what is said beyond them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import InputError
from bayes_personal.families import Family
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS


def test_the_largest_count_that_float64_can_tell_from_the_next_one() -> None:
    frame = pd.DataFrame({"y": [0.0, 3.0, 2.0**53]})
    assert bp.Model("y ~ 1", family=bp.Poisson()).bind(frame).y[2] == 2.0**53
    frame.loc[2, "y"] = 2.0**53 + 2
    with pytest.raises(InputError, match="beyond 2.*53.* in 1 of 3 rows .*2"):
        bp.Model("y ~ 1", family=bp.Poisson()).bind(frame)


@pytest.mark.parametrize("family", [bp.Normal(), bp.StudentT()], ids=str)
def test_an_outcome_whose_spread_its_size_hides(family: Family) -> None:
    y = 1e17 + np.array([0.0, 16.0, 32.0, 16.0, 0.0, 48.0])
    with pytest.raises(InputError, match="Subtract|subtract|digits|resol"):
        bp.Model("y ~ 1", family=family).bind(pd.DataFrame({"y": y}))


def test_errors_that_are_not_positive_are_named() -> None:
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "se": [1.0, 0.0, 2.0, -0.5]}, index=list("abcd"))
    with pytest.raises(InputError, match="2 rows are not \\('b', 'd'\\)"):
        bp.Model("y ~ 1", family=bp.Normal(sd="se")).bind(frame)


def test_a_family_must_say_what_it_is() -> None:
    class Silent(Family):
        """A family that states no likelihood."""

    with pytest.raises(TypeError, match="abstract.*outcome"):
        Silent()  # pyright: ignore[reportAbstractUsage]


def test_derivatives_of_a_law_that_states_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the same law that states them."""
    silent = replace(DISTRIBUTIONS["Poisson"], derivatives=None)
    monkeypatch.setattr(bp.Poisson, "likelihood", lambda family, eta, values, constants, xp:
                        Likelihood(silent, {"mu": xp.exp(eta[..., 0])}))
    y, eta = np.array([0.0, 3.0, 7.0]), np.array([[-1.0], [0.5], [2.0]])
    found = bp.Poisson().derivatives(y, eta, {}, np.ones(3), 1.0)
    np.testing.assert_allclose(found[0], y - np.exp(eta[:, 0]), rtol=1e-5)
    np.testing.assert_allclose(found[1], -np.exp(eta[:, 0]), rtol=1e-4)
