"""Known standard errors of very different sizes: the posterior is that of exact arithmetic, or the rows are refused."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import InputError

MODEL = bp.Model("y ~ x", family=bp.Normal(sd="s"))


def rows(seed: int, smallest: float, others: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"y": rng.normal(size=40), "x": rng.normal(size=40), "s": np.r_[smallest, np.full(39, others)]})


def exact(frame: pd.DataFrame, centre: float, precision: np.ndarray, location: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean and standard deviations of intercept, at the centre of x, and slope, in exact rational arithmetic."""
    gram = [[Fraction(precision[0]), Fraction(0)], [Fraction(0), Fraction(precision[1])]]
    moment = [gram[k][k] * Fraction(location[k]) for k in (0, 1)]
    for x, y, s in zip(frame["x"] - centre, frame["y"], frame["s"], strict=True):
        row, weight = (Fraction(1), Fraction(x)), 1 / Fraction(s) ** 2
        for i in (0, 1):
            moment[i] += row[i] * weight * Fraction(y)
            for j in (0, 1):
                gram[i][j] += row[i] * weight * row[j]
    determinant = gram[0][0] * gram[1][1] - gram[0][1] ** 2
    mean = [gram[1][1] * moment[0] - gram[0][1] * moment[1], gram[0][0] * moment[1] - gram[0][1] * moment[0]]
    return (np.array([float(each / determinant) for each in mean]),
            np.sqrt([float(gram[1][1] / determinant), float(gram[0][0] / determinant)]))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("smallest", "others"), [(1e-4, 1.0), (2e-7, 1.0), (1e-3, 1e9), (2e-7, 2e-7)])
def test_the_posterior_is_that_of_exact_arithmetic(seed: int, smallest: float, others: float) -> None:
    frame = rows(seed, smallest, others)
    posterior = bp.fit(MODEL, frame, seed=1, progress=False)
    assert not posterior.complaints
    all_of = posterior.bound.coefficients
    mean, sd = exact(frame, all_of.center[1], 1 / (2.5 * all_of.unit) ** 2, all_of.location)
    draws = posterior.tree["posterior"]["mu_centered"].to_numpy().reshape(-1, 2)
    assert (np.abs(draws.mean(axis=0) - mean) < 4 * sd / np.sqrt(len(draws))).all()
    assert (np.abs(draws.std(axis=0) / sd - 1) < 4 / np.sqrt(2 * len(draws))).all()


@pytest.mark.parametrize("smallest", [1e-8, 1e-12, 1e-16, 1e-60, 1e-300])
@pytest.mark.parametrize("prior", [bp.Population(), bp.PartialPooling("g"), bp.Invariant("g"), bp.GaussianProcess("x"),
                                   bp.DistanceRegularized("x"), bp.Partition("x")])
def test_standard_errors_that_cannot_be_added_up_are_refused(smallest: float, prior: bp.priors.Prior) -> None:
    frame = rows(0, 1.0).assign(g=[*"abcd" * 10]).set_index(np.arange(100, 140))
    frame.loc[[107, 120], "s"] = smallest
    with pytest.raises(InputError, match=r"sd='s'\): 2 of 40 standard errors .* \(rows 107, 120\).* remove the rows"):
        bp.Model("y ~ 1", prior, bp.Normal(sd="s")).bind(frame)


def test_errors_of_rows_in_files_and_of_given_rows_are_refused_too(tmp_path) -> None:
    frame = rows(0, 1.0).assign(g=[*"abcd" * 10])
    frame.loc[7, "s"] = 1e-9
    frame.to_parquet(tmp_path / "rows.parquet")
    model = bp.Model("y ~ x", bp.PartialPooling("g"), bp.Normal(sd="s"))
    with pytest.raises(InputError, match=r"rows 7\)"):
        model.bind(tmp_path / "rows.parquet")
    posterior = bp.fit(model, frame.assign(s=1.0), seed=1, progress=False, method=bp.Laplace())
    with pytest.raises(InputError, match=r"rows 7\)"):
        bp.predict(posterior, frame.head(1), given=frame.iloc[5:10].assign(g="new"))
