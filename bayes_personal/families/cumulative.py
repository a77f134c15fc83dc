"""Cumulative: ordered levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from scipy import special

from bayes_personal.data.columns import spelled
from bayes_personal.families.parts.levelled import Levelled
from bayes_personal.families.parts.levels import stated_levels
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.separation import warn_of_separation
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_positive
from bayes_personal.hyperpriors.ordered import ORDERED
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes
from bayes_personal.system.arguments import one_of

QUANTILE: Mapping[str, Any] = {"logit": special.logit, "probit": special.ndtri}
# A standard logistic variable is as wide as this many standard normal ones.
WIDER = float(np.pi / np.sqrt(3))


@final
@dataclass(frozen=True, repr=False)
class Cumulative(Levelled):
    """Levels in an order, such as answers from "never" to "always" or grades of severity.

    Generative story: a latent variable ``x_i' theta_i + error`` falls between two cuts, and the level is how many cuts
    lie below it: ``P(y_i > level k) = F(x_i' theta_i - cut_k)``, F the logistic or the normal distribution function.
    The first cut is 0, so that the intercept, which may vary from row to row, says where a row stands, and the others
    follow at gaps, ``cut_(k+1) = cut_k + gap_k``. With the logit a coefficient is the log odds ratio of a higher level
    for one unit of its predictor, the same at every cut: the proportional odds model. With two levels this is the
    Bernoulli family.

    The thresholds of `polr` in R's MASS, `clm` of ordinal and brms are ``threshold_k = cut_k - intercept``: they are in
    the posterior, as ``posterior.tree["posterior"]["threshold"]``, wherever the intercept has a population mean.

    Right where predictors shift a row up or down the whole scale. Fails where an effect is another at every cut, where
    predictors change how extreme answers are, and where rows use the scale in different ways: the gaps are the same for
    all rows. Where predictors separate high levels from low ones the likelihood has no maximum, and how large the
    coefficients come out rests on the prior.

    Parameters
    ----------
    link
        ``"logit"`` or ``"probit"``.
    levels
        The levels, lowest first; by default those of the outcome: the categories of an ordered categorical column, or
        whole numbers. Stated levels order text, name levels that no row has, and are needed to simulate data.
    gap
        Hyperprior of each gap, positive; by default ``LogNormal(0, 1)`` in units of the gap that makes all levels
        equally likely, ``F^-1((k + 1) / K) - F^-1(k / K)`` with K levels. Its median states equal probabilities of
        all levels, however many there are, together with the mean of the intercept, which is expected at
        ``F^-1(1 - 1 / K)``. A hyperprior of equal scale for every gap would make levels in the middle likelier, and the
        more so the more levels there are. No gap is expected to vanish, for that level would be impossible.

    Raises
    ------
    SpecificationError
        An unknown link, levels that are fewer than two or repeat, or a gap that can be negative.
    InputError
        An outcome of one level only, or of a level that training did not have; a category without rows.
    InputTypeError
        Text, or categories without an order, where levels are not stated.

    Warns
    -----
    InputWarning
        A stated level that no row has, or, of two levels, predictors that separate them.

    References
    ----------
    McCullagh (1980), doi:10.1111/j.2517-6161.1980.tb01109.x. As a Bayesian: Bürkner and Vuorre (2019),
    doi:10.1177/2515245918823199.
    """

    link: Literal["logit", "probit"] = "logit"
    levels: Any = None
    gap: Hyperprior = Hyperprior("LogNormal", mu=0.0, sigma=1.0, relative=True)

    def __post_init__(self) -> None:
        one_of("Cumulative", tuple(ORDERED), link=self.link)
        object.__setattr__(self, "levels", stated_levels(self.levels, "Cumulative"))
        must_be_positive("Cumulative", gap=self.gap)

    @property
    def compiled(self) -> codes.Code:
        return codes.CumulativeLogit() if self.link == "logit" else codes.CumulativeProbit()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(self._cuts(values)[1:])

    def _cuts(self, values: Mapping[str, Any]) -> list[Any]:
        cuts: list[Any] = [0.0]
        for k in range(1, len(self._known) - 1):
            cuts.append(values[f"gap_{k}"] + cuts[-1] if k > 1 else values["gap_1"])
        return cuts

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Warn where the predictors separate two levels."""
        if len(self._known) == 2:
            warn_of_separation(outcome, x, names)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return float(QUANTILE[self.link](1 - 1 / len(self._known))), 1.0 if self.link == "logit" else 1 / WIDER

    @property
    def natural(self) -> tuple[str, str]:
        return f"{self.link}(1 - 1 / levels)", "1" if self.link == "logit" else "sqrt(3) / pi"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        even = np.diff(QUANTILE[self.link](np.arange(1, len(self._known)) / max(len(self._known), 1)))
        return tuple(self.gap.bind(f"gap_{k}", 0.0, size) for k, size in enumerate(even, 1))

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        cuts = self._cuts(values)
        filled = [cut + xp.zeros_like(cuts[-1]) for cut in cuts]
        return Likelihood(ORDERED[self.link], {"eta": eta[..., 0], "cuts": xp.stack(filled, axis=-1)})

    def reported(self, values: Mapping[str, Any], intercept: Any, xp: Any) -> dict[str, Any]:
        return {"threshold": xp.stack([cut - intercept for cut in self._cuts(values)], axis=-1)}

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        labels = spelled(self._known)
        return {"threshold": {"cut": tuple(f"{low}|{high}" for low, high in zip(labels, labels[1:], strict=False))}}

    def story(self) -> tuple[str, ...]:
        function = "logistic" if self.link == "logit" else "normal"
        first = f"P(y_i > level k) = F(x_i' theta_i - cut_k), F the {function} distribution function"
        if self.levels is None:
            gaps = (f"gap_k ~ {self.gap.words(unit='gap of equally likely levels')}",)
        else:
            first = f"y_i in {' < '.join(map(repr, self.levels))}: {first}"
            gaps = tuple(f"{gap.name} ~ {self.gap.words(unit=f'{float(gap.unit):.3g}')}"
                         for gap in self.parameters(1.0))
        several = "cut_1 = 0, cut_(k+1) = cut_k + gap_k" if self.levels is None or gaps else "cut_1 = 0"
        return (first, several, *gaps)
