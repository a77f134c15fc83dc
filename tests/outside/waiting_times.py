"""A family of one's own: waiting times with a distribution of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.families import Family
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.hyperpriors.distributions import Distribution
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.testing import check_family

# By its mean, whose logarithm is the linear predictor.
EXPONENTIAL = Distribution(
    "Exponential", {"scale": "scale"}, "positive", lambda y, scale: -y / scale - np.log(scale),
    lambda rng, shape, scale: rng.exponential(scale, shape), lambda scale: scale,
    lambda y, scale: (y / scale - 1, -y / scale))


@final
@dataclass(frozen=True, repr=False)
class WaitingTime(Family):
    """y_i ~ Exponential with mean exp(x_i' theta_i)."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return values.to_numpy(float)

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame))

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return float(np.log(outcome.mean())), 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "log of the mean", "1"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return ()

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        return Likelihood(EXPONENTIAL, {"scale": xp.exp(eta[..., 0])})

    def story(self) -> tuple[str, ...]:
        return ("y_i ~ Exponential with mean exp(x_i' theta_i)",)


def check() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=50), "g": np.repeat(list("abcde"), 10)})
    check_family(WaitingTime(), frame)
    check_family(WaitingTime(), frame, prior=bp.PartialPooling("g"))
