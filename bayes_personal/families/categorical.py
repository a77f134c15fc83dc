"""Categorical: categories without an order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.data.columns import spelled
from bayes_personal.families.parts.levelled import Levelled
from bayes_personal.families.parts.levels import stated_levels
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.separation import warn_of_separation
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.hyperpriors.unordered import SOFTMAX
from bayes_personal.kernels import codes


@final
@dataclass(frozen=True, repr=False)
class Categorical(Levelled):
    """One of several categories without an order, such as a vote, a species or a way to work.

    Generative story: every category k but the first, the reference, has a linear predictor of its own,
    ``eta_ik = x_i' theta_i[k]``, that of the reference is 0, and ``y_i ~ Categorical(p_i)``,
    ``p_ik = exp(eta_ik) / sum_j exp(eta_ij)``: the multinomial logit model. A coefficient is the log of the factor by
    which the odds of its category against the reference change for one unit of its predictor.

    Every predictor of the formula has one coefficient for each category but the reference, called after both:
    ``"red: Intercept"``, ``"red: x"``, ``"blue: Intercept"``, ``"blue: x"``. All of them are coefficients of theta_i,
    and the prior governs them together, as correlated effects of a group under `PartialPooling` for example; in ``on=``
    the name of one, ``"red: x"``, is that one alone, and ``"x"`` is that of all categories. With two categories this is
    the Bernoulli family.

    Where up to four coefficients vary between groups, and under priors that are smooth in contexts, a fit takes seconds
    to half a minute; with more of them, as of an intercept and slope of four categories, NUTS moves over all unknowns.
    Where groups differ in few coefficients, ``on="Intercept"`` says so.

    Right where categories exclude each other and none lies between others. Fails where they have an order, which
    `Cumulative` knows; and where leaving one of them out would not leave the odds of the others as they are, as of two
    buses of different colours. The prior says the same of every category against the reference, but less of two others
    against each other, whose difference varies twice as much where their coefficients are independent: the reference is
    an assumption, which `levels` states. Where predictors separate a category from all others the likelihood has no
    maximum, and how large the coefficients come out rests on the prior.

    Parameters
    ----------
    levels
        The categories, the reference first; by default those of the outcome: the categories of a categorical column in
        their order, or the sorted values of text and whole numbers. Stated levels choose the reference, name categories
        that no row has, and are needed to simulate data.

    Raises
    ------
    SpecificationError
        Levels that are fewer than two or repeat. Priors that take one linear predictor a row: `Partition`,
        `TreePartition`, `Invariant` and the cut of `FineTuned`.
    InputError
        An outcome of one category only, a missing one, or one that training did not have; a category without rows.
    InputTypeError
        An outcome of other objects than text, whole numbers or categories.

    Warns
    -----
    InputWarning
        A stated category that no row has, or predictors that separate one from all others.

    References
    ----------
    McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Frontiers in Econometrics. Agresti
    (2013), Categorical Data Analysis, section 8.1. As a Bayesian: Bürkner (2021), doi:10.18637/jss.v100.i05.
    """

    levels: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", stated_levels(self.levels, "Categorical"))

    @property
    def ordered(self) -> bool:
        return False

    @property
    def each_with_coefficients(self) -> tuple[str, ...]:
        return spelled(self._known)[1:]

    @property
    def compiled(self) -> codes.Code:
        return codes.Categorical()

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Warn where the predictors separate a category from all others."""
        for k, level in enumerate(self._known):
            if warn_of_separation((outcome == k).astype(float), x, names, f"rows of {level!r} and all others"):
                return

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "0", "1"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return ()

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        return Likelihood(SOFTMAX, {"eta": eta})

    def story(self) -> tuple[str, ...]:
        levels = "" if self.levels is None else f"y_i in {', '.join(map(repr, self.levels))}: "
        reference = "the first" if self.levels is None else repr(self.levels[0])
        return (f"{levels}y_i ~ Categorical(p_i), p_ik = exp(eta_ik) / sum_j exp(eta_ij)",
                f"eta_ik = x_i' theta_i[k] of every category k but {reference}, whose eta is 0")
