"""Varying: a scale, dispersion or shape that differs between rows, as a linear predictor of its own on a log scale."""

from dataclasses import dataclass
from typing import Any, NamedTuple, final

from bayes_personal.errors import InputTypeError, shown
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_normal
from bayes_personal.system.arguments import call_of


@final
@dataclass(frozen=True, repr=False)
class Varying:
    """A scale that differs between rows: ``Normal(sigma=Varying())``, ``NegativeBinomial(dispersion=Varying(prior))``.

    Generative story: the logarithm of the scale is one more coefficient of theta_i, called ``log_sigma``,
    ``log_dispersion`` or, of ``Weibull(shape=Varying())``, ``log_shape``, which no predictor multiplies:
    ``sigma_i = exp(log_sigma_i)``. Without `prior` it varies under the prior of the model, like all other coefficients:
    every group of `PartialPooling` and `Conditional` has a sigma of its own, and so has every segment of `Partition`
    and every box of `TreePartition` of a Normal family whose outcomes were all seen; where that prior lists its
    coefficients in ``on=``, ``"log_sigma"`` must be one of them. With `prior` it varies under that prior alone:
    ``log_sigma_i = mu[log_sigma] + its deviation``, as in ``sigma ~ age`` of brms, and the model's prior governs all
    other coefficients.

    Right where some groups, times or ages are noisier than others; intervals are then as wide as each of them deserves.
    Fails with few rows a group and no pooling, where a group's sigma is hardly known, and where outliers look like
    noise: take `StudentT` then. Of a group or segment that nobody has seen the scale is any that the others make
    plausible, so that means of its outcomes may not exist: read quantiles of predictions there. Under `Partition` and
    `TreePartition`, whose segments are summed out exactly, effects spread in proportion to the segment's own sigma.

    Parameters
    ----------
    prior
        The sharing assumption of the scale alone, one made of terms such as `LinearVarying`, `GaussianProcess` or
        `PartialPooling`, without ``on=``. By default the prior of the model.
    mean
        Hyperprior of the mean of the log scale, a Normal one; by default around the logarithm of the scale's natural
        unit, with a standard deviation of 2.5. One natural unit of the log scale itself, which hyperpriors of how much
        it varies count in, is 0.5.

    Raises
    ------
    InputTypeError
        A prior that is none.
    SpecificationError
        A hyperprior that is not Normal.

    References
    ----------
    Rigby and Stasinopoulos (2005), doi:10.1111/j.1467-9876.2005.00510.x. Of groups: Hedeker, Mermelstein and Demirtas
    (2008), doi:10.1111/j.1541-0420.2007.00924.x.
    """

    prior: Any = None
    mean: Hyperprior = Hyperprior("Normal", mu=0.0, sigma=5.0, relative=True)

    def __post_init__(self) -> None:
        if self.prior is not None and not hasattr(self.prior, "terms"):
            raise InputTypeError("Varying(prior=...): need a prior such as bp.LinearVarying('age'), or none for that "
                                 f"of the model; got {shown(self.prior)}.")
        must_be_normal("Varying", mean=self.mean)

    def __repr__(self) -> str:
        return call_of(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that its own prior reads."""
        return () if self.prior is None else self.prior.columns


class LogScale(NamedTuple):
    """A linear predictor beside the first one: the logarithm of a scale.

    Attributes
    ----------
    name : name of its one coefficient
    varying : how it varies
    location : where it is expected
    """

    name: str
    varying: Varying
    location: float


def log_scales_of(stated: Any, name: str, location: float) -> tuple[LogScale, ...]:
    """Return the linear predictor of a scale that varies, called `name`; none of a scale that all rows share."""
    return (LogScale(name, stated, location),) if isinstance(stated, Varying) else ()


def shared_scale(stated: Any, default: Hyperprior) -> Hyperprior:
    """Return the hyperprior of a scale as it was stated, and the default where it was not or where the scale varies."""
    return default if stated is None or isinstance(stated, Varying) else stated


def columns_of(stated: Any) -> tuple[str, ...]:
    """Return the columns that a scale varies by under a prior of its own."""
    return stated.columns if isinstance(stated, Varying) else ()


# Natural unit of the logarithm of a scale: what groups typically differ by.
LOG_UNIT = 0.5
