"""The horseshoe: scales of coefficients most of which are near zero, while some are as large as their data say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.pieces import Term

LOCAL = Hyperprior("HalfCauchy", beta=1.0)


@final
@dataclass(frozen=True, eq=False)
class Horseshoe:
    """Scales of a term: ``scale[k] = unit[k] overall local[k]``, without the unit where `overall` is in data units.

    Reference: Carvalho, Polson & Scott (2010), https://doi.org/10.1093/biomet/asq017.
    """

    term: Term
    overall: Hyperprior

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The overall scale and the local ones."""
        name = self.term.name
        return (self.overall.bind(f"{name}_overall"),
                LOCAL.bind(f"{name}_local", 0.0, np.ones(len(self.term.positions)), self.term.varying))

    def scale(self, values: Mapping[str, Any]) -> Any:
        """Return the scales of the coefficients, (..., varying)."""
        scale = values[f"{self.term.name}_overall"][..., None] * values[f"{self.term.name}_local"]
        return scale * self.term.unit if self.overall.relative else scale


def horseshoe_story(name: str, overall: Hyperprior) -> tuple[str, ...]:
    """Return the horseshoe of a term in words, one line for each statement."""
    return (f"{name}_scale[k] = {'unit[k] ' if overall.relative else ''}{name}_overall {name}_local[k]",
            f"{name}_overall ~ {overall.words()}, {name}_local[k] ~ {LOCAL.words()}")
