"""Beta and BetaBinomial beside published maximum likelihood estimates: gasoline from crude oil, and seeds."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import bayes_personal as bp
from bayes_personal.families import Family
from bayes_personal.posterior.posterior import Posterior

# Share of crude oil that became gasoline, and the temperature in F at which all of that had vaporised, of ten batches:
# Prater (1956), Petroleum Refiner 35, 236-238, as data `GasolineYield` of R's package betareg,
# doi:10.18637/jss.v034.i02.
GASOLINE = [".122 205, .223 275, .347 345, .457 407", ".080 218, .131 273, .266 347", ".074 212, .182 272, .304 340",
            ".069 235, .152 300, .260 365, .336 410", ".144 307, .268 367, .349 395", ".100 267, .248 360, .317 402",
            ".028 235, .064 275, .161 358, .278 416", ".050 285, .176 365, .321 444", ".140 351, .232 424",
            ".085 365, .147 379, .180 428"]
# Seeds of two Orobanche varieties that germinated, of those on a plate, in extracts of two roots: Crowder (1978), table
# 3, doi:10.2307/2346223.
SEEDS = {("O73", "bean"): "8/16 10/30 8/28 23/45 0/4", ("O73", "cucumber"): "3/12 22/41 15/30 32/51 3/7",
         ("O75", "bean"): "10/39 23/62 23/81 26/51 17/39",
         ("O75", "cucumber"): "5/6 53/74 55/72 32/51 46/79 10/13"}

# Batch 10 is what the others are compared with. Ferrari and Cribari-Neto (2004), table 1,
# doi:10.1080/0266476042000214501, to the digits of betareg.
OF_GASOLINE = [-6.15957, 1.72773, 1.32260, 1.57231, 1.05971, 1.13375, 1.04016, 0.54369, 0.49590, 0.38579, 0.01097]
PRECISION = 440.27839
# The same without the bias of first order, with standard errors: Kosmidis and Firth (2010), table 1,
# doi:10.1214/10-EJS579. Eleven coefficients of 32 rows make the maximum's precision too large.
UNBIASED = [-6.14171, 1.72325, 1.31860, 1.56734, 1.05677, 1.13024, 1.03714, 0.54242, 0.49446, 0.38459, 0.01093]
ERRORS = [0.2359, 0.1311, 0.1526, 0.1503, 0.1325, 0.1340, 0.1373, 0.1412, 0.1410, 0.1535, 0.0005338]
UNBIASED_PRECISION = 261.03777
# Of aods3's `aodml`, as printed for the data `crowder.seeds` of R's package agridat, to two digits.
OF_SEEDS, ERRORS_OF_SEEDS = [-0.44, -0.10, 0.52, 0.80], [0.22, 0.27, 0.30, 0.38]


def gasoline() -> pd.DataFrame:
    rows = [(batch, *map(float, row.split())) for batch, rows in enumerate(GASOLINE, 1) for row in rows.split(",")]
    frame = pd.DataFrame(rows, columns=["batch", "share", "temperature"])
    return frame.assign(batch=pd.Categorical(frame["batch"], [10, *range(1, 10)]))


def seeds() -> pd.DataFrame:
    rows = [(*treatment, *map(int, plate.split("/")))
            for treatment, plates in SEEDS.items() for plate in plates.split()]
    return pd.DataFrame(rows, columns=["variety", "extract", "germinated", "seeds"])


def model(name: str) -> tuple[bp.Model, pd.DataFrame]:
    family: Family = bp.Beta() if name == "gasoline" else bp.BetaBinomial("seeds")
    formula = "share ~ batch + temperature" if name == "gasoline" else "germinated ~ variety * extract"
    wide = bp.Hyperprior("Normal", mu=0.0, sigma=30.0)
    return bp.Model(formula, bp.Population(), family, mean=wide), gasoline() if name == "gasoline" else seeds()


@cache
def fitted(name: str) -> Posterior:
    stated, frame = model(name)
    posterior = bp.fit(stated, frame, seed=1, progress=False)
    assert not posterior.complaints
    return posterior


def maximum(name: str) -> tuple[np.ndarray, float, float]:
    """Return coefficients, dispersion and log likelihood where the package's own likelihood is highest."""
    stated, frame = model(name)
    bound = stated.bind(frame)
    to_data = bound.coefficients.to_data_units(bound.everywhere)

    def deviance(point: np.ndarray) -> float:
        values = {"mu": point[:-1] @ np.linalg.inv(to_data), "dispersion": np.exp(point[-1])}
        eta = bound.eta({"mu_centered": values["mu"]}, np)
        return -bound.log_likelihood(bound.y, eta, bound.family_values(values, 0), bound.constants, None).sum()

    start = np.append(np.array(OF_GASOLINE if name == "gasoline" else OF_SEEDS) * 0.9, -2.0)
    # Steps in units of the standard errors: temperatures are in the hundreds.
    unit = np.append(ERRORS if name == "gasoline" else ERRORS_OF_SEEDS, 0.2)
    found = optimize.minimize(lambda step: deviance(start + unit * step), np.zeros(len(start)), method="BFGS",
                              jac="3-point", options={"gtol": 1e-7})
    point = start + unit * found.x
    return point[:-1], float(np.exp(point[-1])), -float(found.fun)


def test_gasoline_has_the_published_maximum() -> None:
    coefficients, dispersion, log_likelihood = maximum("gasoline")
    np.testing.assert_allclose(coefficients, OF_GASOLINE, atol=6e-6)
    assert dispersion**-2 == pytest.approx(PRECISION, rel=1e-5)
    assert log_likelihood == pytest.approx(84.8, abs=0.05)


def test_seeds_have_the_published_maximum() -> None:
    """The intraclass correlation and the log likelihood are those of a maximum found with SciPy's distribution."""
    coefficients, dispersion, log_likelihood = maximum("seeds")
    np.testing.assert_allclose(coefficients, OF_SEEDS, atol=6e-3)
    assert dispersion**2 / (1 + dispersion**2) == pytest.approx(0.01236, abs=2e-5)
    assert log_likelihood == pytest.approx(-53.7668, abs=1e-4)


@pytest.mark.parametrize(("name", "estimates", "errors"), [
    ("gasoline", UNBIASED, ERRORS), ("seeds", OF_SEEDS, ERRORS_OF_SEEDS)])
def test_the_posterior_is_near_published_estimates(name: str, estimates: list[float], errors: list[float]) -> None:
    draws = fitted(name).tree["posterior"].to_dataset()["mu"]
    mean, sd = draws.mean(("chain", "draw")).to_numpy(), draws.std(("chain", "draw")).to_numpy()
    assert (np.abs(mean - estimates) < 0.5 * sd).all(), (mean - estimates) / sd
    # Standard errors of a maximum do without the uncertainty of the dispersion.
    assert (sd / errors > 0.9).all() and (sd / errors < 1.35).all(), sd / errors


def test_the_precision_of_gasoline_is_the_one_without_bias() -> None:
    """That of the maximum, 440, is beyond the posterior's reach."""
    dispersion = fitted("gasoline").tree["posterior"].to_dataset()["dispersion"]
    mean, sd = float(dispersion.mean()), float(dispersion.std())
    assert abs(mean - UNBIASED_PRECISION**-0.5) < 0.5 * sd and mean - PRECISION**-0.5 > sd
