"""Weibull: times until an end, some of which may not have been seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.families.parts.censored import Censored
from bayes_personal.families.parts.censored_laws import CENSORED
from bayes_personal.families.parts.censoring import mean_of_times
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.varying import LogScale, Varying, columns_of, log_scales_of, shared_scale
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes

DEFAULT = Hyperprior("LogNormal", mu=0.0, sigma=0.5)


@final
@dataclass(frozen=True, repr=False)
class Weibull(Censored):
    """Times until an end, such as a death, a failure or a recovery.

    Generative story: ``y_i ~ Weibull(shape, m_i)``, ``m_i = exp(x_i' theta_i)``, that is
    ``P(y_i > t) = exp(-(t / m_i)^shape)``. A coefficient beta is read in two ways. Times are exp(beta) times as long
    for one unit of its predictor (accelerated failure time). And the hazard, the rate of ends among those still there,
    is exp(-shape beta) times as high (proportional hazards). With a shape of 1 times are exponential; above 1 the
    hazard grows with time, below 1 it falls. The mean is ``m_i Gamma(1 + 1 / shape)``, and the median
    ``m_i log(2)^(1 / shape)``.

    Right where the hazard is a power of time, and censoring says nothing of what would have come. Fails where the
    hazard rises and falls again: `LogNormal` then; where some will never end; and where rows were censored because
    their end was near.

    Parameters
    ----------
    shape
        Hyperprior of the shape, without unit; by default ``LogNormal(0, 0.5)``, whose middle 95 % are 0.4 to 2.7. Or
        `Varying`, where the hazard grows faster in some groups or contexts than in others, so that hazards are not
        proportional: then ``shape_i = exp(log_shape_i)``, expected around 1.
    event
        Column that is 1 where the end was seen, and 0 where it is known to be later than the time that stands there:
        censoring on the right.
    lower, upper
        Columns of bounds, in the place of `event`: the end was seen where they are equal. Where `upper` is
        ``numpy.inf`` it is later than `lower`, where `lower` is 0 it is earlier than `upper`, and elsewhere it is
        between them. The outcome that the formula names must lie within its bounds, and counts for no more than they.

    Raises
    ------
    SpecificationError
        A shape that can be negative; one bound without the other, or bounds beside `event`.
    InputError
        Times that are not positive; an event other than 0 and 1; bounds that are missing or in the wrong order.
    InputTypeError
        Times, events or bounds that are not numbers.

    Warns
    -----
    InputWarning
        No end was seen: the posterior is proper, but rests on the prior.

    References
    ----------
    Kalbfleisch and Prentice (2002), The Statistical Analysis of Failure Time Data, doi:10.1002/9781118032985.
    """

    shape: Hyperprior | Varying | None = None
    event: str | None = None
    lower: str | None = None
    upper: str | None = None
    positive = True

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_positive("Weibull", shape=self._shape)

    @property
    def varies(self) -> bool:
        """Whether the shape differs between rows."""
        return isinstance(self.shape, Varying)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *columns_of(self.shape))

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        return log_scales_of(self.shape, "log_shape", 0.0)

    @property
    def _shape(self) -> Hyperprior:
        return shared_scale(self.shape, DEFAULT)

    @property
    def compiled(self) -> codes.Code:
        return codes.WeibullVarying() if self.varies else codes.Weibull()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return () if self.varies else (values["shape"],)

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        # One law serves all rows, seen or not.
        return self.censoring.constants(frame)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return float(np.log(mean_of_times(outcome, constants))), 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "log(total time / ends seen)" if self.censoring.stated else "log(mean(y))", "1"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return () if self.varies else (self._shape.bind("shape"),)

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        shape = xp.exp(eta[..., 1]) if self.varies else values["shape"]
        return Likelihood(CENSORED["weibull"], {"n": constants, "eta": eta[..., 0], "alpha": shape})

    def story(self) -> tuple[str, ...]:
        if self.varies:
            return "y_i ~ Weibull(exp(log_shape_i), exp(x_i' theta_i))", *self.censoring.story()
        return ("y_i ~ Weibull(shape, exp(x_i' theta_i))", *self.censoring.story(), f"shape ~ {self._shape.words()}")
