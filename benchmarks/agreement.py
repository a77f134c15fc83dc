"""How many draws a set of draws is worth, and whether two of them are draws of the same posterior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import arviz as az
import numpy as np


@final
@dataclass(frozen=True, eq=False)
class Sampled:
    """Draws of what is compared.

    Attributes
    ----------
    hyper : hyperparameters, (chain, draw, number)
    theta : parameters of the fixed units in data units, (chain, draw, number)
    kish : effective sample size of the importance weights that the draws were resampled by
    """

    hyper: np.ndarray
    theta: np.ndarray
    kish: float | None = None


def statistic(function: Any, draws: np.ndarray, **options: Any) -> np.ndarray:
    """A statistic of ArviZ of every number, (number,)."""
    return function(az.convert_to_dataset({"v": draws}), **options)["v"].to_numpy()


def least_ess(draws: np.ndarray) -> float:
    """The least bulk effective sample size."""
    return float(statistic(az.ess, draws, method="bulk").min())


def pooled(repetitions: Sequence[Sampled]) -> Sampled:
    """The chains of all repetitions."""
    kish = [one.kish for one in repetitions if one.kish]
    return Sampled(*(np.concatenate([getattr(one, name) for one in repetitions]) for name in ("hyper", "theta")),
                   sum(kish) if kish else None)


def error(draws: np.ndarray, kish: float | None) -> np.ndarray:
    """Monte Carlo error of the means.

    That of resampled draws has two parts: of the draws, and of the weights that they were resampled by.
    """
    return np.hypot(statistic(az.mcse, draws), draws.std(axis=(0, 1)) / np.sqrt(kish) if kish else 0.0)


def compared(one: Sampled, other: Sampled) -> dict[str, float]:
    """Differences of the means in Monte Carlo errors, and ratios of standard deviations."""
    result = {}
    for name in ("hyper", "theta"):
        mine, theirs = getattr(one, name), getattr(other, name)
        z = ((mine.mean(axis=(0, 1)) - theirs.mean(axis=(0, 1)))
             / np.hypot(error(mine, one.kish), error(theirs, other.kish)))
        ratio = mine.std(axis=(0, 1)) / theirs.std(axis=(0, 1))
        result |= {f"{name}: largest abs z": float(np.abs(z).max()), f"{name}: rms z": float(np.sqrt(np.mean(z**2))),
                   f"{name}: least sd ratio": float(ratio.min()), f"{name}: largest sd ratio": float(ratio.max())}
    return result


def rmse(found: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square error over all of theta."""
    return float(np.sqrt(np.mean((found - truth) ** 2)))


@final
@dataclass(frozen=True, eq=False)
class Estimates:
    """Means and logarithms of standard deviations of several numbers, with their Monte Carlo errors.

    Attributes
    ----------
    mean, log_sd : (number,)
    covariance : covariance of the errors of the means, (number, number)
    log_sd_error : Monte Carlo standard errors of `log_sd`, (number,)
    """

    mean: np.ndarray
    log_sd: np.ndarray
    covariance: np.ndarray
    log_sd_error: np.ndarray

    @property
    def ess(self) -> np.ndarray:
        """How many independent draws would estimate the means as well, (number,)."""
        return np.exp(2 * self.log_sd) / np.diag(self.covariance)

    @classmethod
    def pooled(cls, parts: Sequence["Estimates"]) -> "Estimates":
        """Return the average of independent estimates."""
        count = len(parts)
        mean, log_sd = (np.mean([getattr(part, name) for part in parts], axis=0) for name in ("mean", "log_sd"))
        error = np.sqrt(np.sum([part.log_sd_error**2 for part in parts], axis=0)) / count
        return cls(mean, log_sd, np.sum([part.covariance for part in parts], axis=0) / count**2, error)


def of_chains(draws: np.ndarray) -> Estimates:
    """Return estimates from draws of chains, (chain, draw, number)."""
    flat = draws.reshape(-1, draws.shape[2])
    sd, error = flat.std(axis=0), statistic(az.mcse, draws, method="mean")
    covariance = np.corrcoef(flat.T) * np.outer(error, error)
    return Estimates(flat.mean(axis=0), np.log(sd), covariance, statistic(az.mcse, draws, method="sd") / sd)


def of_clusters(draws: np.ndarray) -> Estimates:
    """Return estimates from draws (draw, number) that importance weights were resampled by.

    Draws with the same first number, that of a continuous hyperparameter, are copies of one proposal, and proposals are
    independent: the error of a mean is that of the sum of their deviations.
    """
    _, cluster = np.unique(draws[:, 0], return_inverse=True)
    deviation = draws - draws.mean(axis=0)
    variance = (deviation**2).mean(axis=0)
    in_means, in_log_sds = (summed_by(cluster, part) / len(draws)
                            for part in (deviation, (deviation**2 / variance - 1) / 2))
    return Estimates(draws.mean(axis=0), np.log(variance) / 2, in_means.T @ in_means,
                     np.sqrt((in_log_sds**2).sum(axis=0)))


def summed_by(cluster: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sums of values (draw, number) over each cluster, (cluster, number)."""
    result = np.zeros((cluster.max() + 1, values.shape[1]))
    np.add.at(result, cluster, values)
    return result


class Scores(NamedTuple):
    """Differences of estimates in their errors.

    Attributes
    ----------
    mean, sd : of means and of logarithms of standard deviations, (number,)
    range_of_mean_square : where the mean square of `mean` lies with probability 0.99 if nothing but error differs
    """

    mean: np.ndarray
    sd: np.ndarray
    range_of_mean_square: tuple[float, float]


def z_scores(one: Estimates, other: Estimates) -> Scores:
    """Compare two independent estimates."""
    covariance = one.covariance + other.covariance
    error = np.sqrt(np.diag(covariance))
    values = np.maximum(np.linalg.eigvalsh(covariance / np.outer(error, error)), 0) / len(error)
    squares = np.random.default_rng(0).chisquare(1, (20_000, len(values))) @ values
    low, high = np.quantile(squares, [0.005, 0.995])
    return Scores((one.mean - other.mean) / error,
                  (one.log_sd - other.log_sd) / np.hypot(one.log_sd_error, other.log_sd_error),
                  (float(low), float(high)))
