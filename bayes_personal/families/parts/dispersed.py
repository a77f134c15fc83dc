"""Dispersed: the shared part of families whose outcomes vary more, the larger their dispersion is."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.varying import LogScale, Varying, columns_of, log_scales_of, shared_scale
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.codes import Code

# The logarithm of a dispersion that varies is expected here.
EXPECTED = float(np.log(0.5))


class Dispersed(Family):
    """Outcomes with a dispersion, of which ``alpha = 1 / dispersion^2`` is a shape or a precision.

    Attributes
    ----------
    dispersion : its hyperprior, or how it differs between rows
    shared_code, varying_code : the compiled log p(y | eta) where rows share the dispersion, and where it varies
    """

    dispersion: Hyperprior | Varying | None
    shared_code: ClassVar[type[Code]]
    varying_code: ClassVar[type[Code]]

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_positive(type(self).__name__, dispersion=self._dispersion)

    @property
    def varies(self) -> bool:
        """Whether the dispersion differs between rows."""
        return isinstance(self.dispersion, Varying)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *columns_of(self.dispersion))

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        return log_scales_of(self.dispersion, "log_dispersion", EXPECTED)

    @property
    def _dispersion(self) -> Hyperprior:
        return shared_scale(self.dispersion, Hyperprior("HalfNormal", sigma=1.0))

    @property
    def compiled(self) -> Code:
        return (self.varying_code if self.varies else self.shared_code)()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return () if self.varies else (values["dispersion"] ** -2.0,)

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return () if self.varies else (self._dispersion.bind("dispersion"),)

    def alpha(self, eta: Any, values: Mapping[str, Any], xp: Any) -> Any:
        """Return 1 / dispersion^2 at linear predictors eta (..., predictor)."""
        return xp.exp(-2.0 * eta[..., 1]) if self.varies else values["dispersion"] ** -2.0

    @property
    def in_words(self) -> str:
        """The dispersion of a row."""
        return "exp(log_dispersion_i)" if self.varies else "dispersion"

    @property
    def hyperprior(self) -> tuple[str, ...]:
        """The dispersion's hyperprior, as lines of the story."""
        return () if self.varies else (f"dispersion ~ {self._dispersion.words()}",)
