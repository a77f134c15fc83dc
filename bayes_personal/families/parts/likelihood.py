"""The distribution of the outcome given its linear predictor, as one object."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.distributions import Distribution, Support


class Likelihood(NamedTuple):
    """p(y | eta) of some rows, as a family's `likelihood` returns it.

    Attributes
    ----------
    law : the distribution; one of `DISTRIBUTIONS`, or one of your own
    arguments : parameters of the distribution by name, of the shape of eta
    """

    law: Distribution
    arguments: Mapping[str, Any]

    @property
    def support(self) -> Support:
        """The set of possible outcomes."""
        return self.law.support

    def log_density(self, outcome: Any) -> Any:
        """Return log p(y | eta), without compilation."""
        return self.law.log_density(outcome, **self.arguments)

    def log_survival(self, outcome: Any) -> Any:
        """Return log P(larger | eta).

        Raises
        ------
        SpecificationError
            A distribution that does not define it, such as one of counts.
        """
        if self.law.log_survival is None:
            raise SpecificationError(f"{self.law.name} does not say how likely larger outcomes are: it needs a family "
                                     "of continuous outcomes, such as Weibull, or Distribution(..., log_survival=...).")
        return self.law.log_survival(outcome, **self.arguments)

    def mean(self) -> np.ndarray:
        """Return E[y | eta], in units of the outcome.

        Raises
        ------
        SpecificationError
            A distribution of your own that does not define its mean.
        """
        if self.law.mean is None:
            raise SpecificationError(f"{self.law.name} does not say its mean: make it with Distribution(..., "
                                     "mean=...), a function of its parameters, or ask for kind='outcome'.")
        return self.law.mean(**self.arguments)

    def shares(self) -> np.ndarray:
        """Return the probability of each level, (..., level), of a distribution of levels."""
        assert self.law.shares is not None
        return self.law.shares(**self.arguments)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw outcomes, as numbers."""
        return np.asarray(self.law.draw(rng, shape, **self.arguments), float)

    def score(self, outcome: Any) -> np.ndarray:
        """Return d log p(y | eta) / d eta."""
        return self._derivatives(outcome)[0]

    def curvature(self, outcome: Any) -> np.ndarray:
        """Return -d^2 log p(y | eta) / d eta^2."""
        return -self._derivatives(outcome)[1]

    def _derivatives(self, outcome: Any) -> tuple[Any, Any]:
        if self.law.derivatives is None:
            raise SpecificationError(f"{self.law.name} does not say its derivatives: make it with Distribution(..., "
                                     "derivatives=...), which gives the first two by the linear predictor.")
        return self.law.derivatives(outcome, **self.arguments)
