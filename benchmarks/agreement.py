"""How many draws a set of draws is worth, and whether two of them are draws of the same posterior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

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
