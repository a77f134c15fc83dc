"""A hyperprior: one named distribution, in the data's own units or relative to them.

``Hyperprior("HalfCauchy", beta=5)`` is in the units of the parameter it describes. Defaults of this package are
*relative*: their location and scale count in natural units of the parameter (for a coefficient of a Normal outcome:
sd(y) / sd(x)), so that the model is the same whatever units the data come in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, final

import numpy as np

from bayes_personal.errors import SpecificationError, did_you_mean, shown
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.system.arguments import flag

# How each parameter of a continuous distribution changes with the unit of measurement.
ROLES = {name: dict(kind.roles) for name, kind in DISTRIBUTIONS.items() if kind.support != "count"}


@final
@dataclass(frozen=True, init=False, repr=False)
class Hyperprior:
    """One hyperprior.

    Parameters
    ----------
    distribution
        Name of a PyMC distribution, one of `ROLES`.
    relative
        Whether location and scale count in natural units of the parameter (the defaults of this package do) or in the
        data's own units (the default for what a user writes).
    **parameters
        Parameters under PyMC's names; all of them, except for ``mu=0`` / ``alpha=0`` of a located distribution. Where
        PyMC knows several sets of parameters, this one is used: Normal(mu, sigma), StudentT(nu, mu, sigma),
        Cauchy(alpha, beta), Laplace(mu, b), HalfNormal(sigma), HalfStudentT(nu, sigma), HalfCauchy(beta),
        Exponential(scale), whose lam is 1 / scale, Gamma(alpha, beta), InverseGamma(alpha, beta), LogNormal(mu, sigma);
        of a share between 0 and 1, Beta(alpha, beta).

    Raises
    ------
    SpecificationError
        An unknown distribution or parameter, one that is missing, or one that is not positive where it must be.
    """

    distribution: str
    parameters: tuple[tuple[str, float], ...]
    relative: bool

    def __init__(self, distribution: str, *, relative: bool = False, **parameters: float) -> None:
        flag(f"Hyperprior({shown(distribution)})", relative=relative)
        if not isinstance(distribution, str) or distribution not in ROLES:
            raise SpecificationError(f"Hyperprior({shown(distribution)}): no such distribution. "
                                     f"{did_you_mean(str(distribution), ROLES)}")
        roles = ROLES[distribution]
        if relative and DISTRIBUTIONS[distribution].support == "unit interval":
            raise SpecificationError(f"Hyperprior({distribution!r}, relative=True): a share between 0 and 1 has no "
                                     "unit to be relative to. Leave relative out.")
        for name, role in roles.items():
            if role == "location":
                parameters.setdefault(name, 0.0)
        if set(parameters) != set(roles):
            raise SpecificationError(f"Hyperprior({distribution!r}) takes {', '.join(roles)}; "
                                     f"got {', '.join(parameters) or 'none'}. Convert other parameters of PyMC's to "
                                     "these: lam of an Exponential is 1 / scale, tau of a Normal 1 / sigma**2.")
        for name, value in parameters.items():
            signed = "location" in roles[name]
            if not isinstance(value, Real) or not np.isfinite(value) or (value <= 0 and not signed):
                raise SpecificationError(f"Hyperprior({distribution!r}): {name}={shown(value)} must be a number, finite"
                                         f"{'' if signed else ' and positive'}.")
        object.__setattr__(self, "distribution", distribution)
        object.__setattr__(self, "parameters", tuple((name, float(parameters[name])) for name in roles))
        object.__setattr__(self, "relative", relative)

    def __repr__(self) -> str:
        inner = "".join(f", {name}={value:g}" for name, value in self.parameters)
        return f"Hyperprior({self.distribution!r}{inner}{', relative=True' if self.relative else ''})"

    @property
    def positive(self) -> bool:
        """Whether all mass lies above zero, as it must for the hyperprior of a scale."""
        return DISTRIBUTIONS[self.distribution].support == "positive"

    @property
    def gaussian(self) -> bool:
        """Whether the parameter that it describes integrates out of a Normal likelihood."""
        return self.distribution == "Normal"

    def arguments(self, location: Any, unit: Any) -> dict[str, Any]:
        """Return PyMC's arguments in the data's own units, where 1 natural unit around `location` is `unit`."""
        # Arrays instead of Python floats, which PyTensor would keep in float32 where they happen to fit.
        location, unit = np.asarray(location, float), np.asarray(unit, float)
        if not self.relative:
            return {name: np.float64(value) for name, value in self.parameters}
        change = {
            "location": lambda value: location + value * unit,
            "scale": lambda value: value * unit,
            "rate": lambda value: value / unit,
            "shape": lambda value: value,
            "log-location": lambda value: value + np.log(unit),
        }
        roles = ROLES[self.distribution]
        return {name: change[roles[name]](np.float64(value)) for name, value in self.parameters}

    def bind(self, name: str, location: Any = 0.0, unit: Any = 1.0,
             coords: Mapping[str, tuple[str, ...]] | None = None) -> Parameter:
        """Return the hyperparameter `name` bound to data, with one entry for each entry of `unit`."""
        unit = np.asarray(unit, float)
        location = np.broadcast_to(np.asarray(location, float), unit.shape)
        return Parameter(name, self.distribution, self.arguments(location, unit), location, unit, coords or {})

    def words(self, location: str = "0", unit: str = "1") -> str:
        """Spell the hyperprior as a line of the story."""
        def say(name: str, value: float) -> str:
            role = ROLES[self.distribution][name]
            if not self.relative or role == "shape" or unit == "1" and location == "0":
                return f"{value:g}"
            scaled = f"{value:g} {unit}" if unit != "1" else f"{value:g}"
            if role == "log-location":
                return f"log({unit}) + {value:g}" if unit != "1" else f"{value:g}"
            if role == "location":
                return location if value == 0 else f"{location} + {scaled}"
            return f"{value:g} / ({unit})" if role == "rate" else scaled
        return f"{self.distribution}({', '.join(say(name, value) for name, value in self.parameters)})"


# The defaults of this package: a scale of about one natural unit, a mean within a few natural units of its location.
NATURAL_SCALE = Hyperprior("HalfNormal", sigma=1.0, relative=True)
NATURAL_MEAN = Hyperprior("Normal", mu=0.0, sigma=2.5, relative=True)


def must_be_positive(owner: str, **hyperpriors: Any) -> None:
    """Refuse values that are not hyperpriors, and hyperpriors of scales with mass below zero."""
    for name, prior in hyperpriors.items():
        if not isinstance(prior, Hyperprior):
            raise SpecificationError(f"{owner}: {name}={shown(prior)} must be a hyperprior, such as "
                                     f"Hyperprior('HalfNormal', sigma=1).")
        if DISTRIBUTIONS[prior.distribution].support == "unit interval":
            raise SpecificationError(f"{owner}: {name}={prior!r} cannot exceed 1; use a distribution on the positive "
                                     "numbers, such as HalfNormal.")
        if not prior.positive:
            raise SpecificationError(f"{owner}: {name}={prior!r} can be negative; use a distribution on the positive "
                                     "numbers, such as HalfNormal.")


def must_be_a_share(owner: str, **hyperpriors: Any) -> None:
    """Refuse values that are not hyperpriors of a number between 0 and 1."""
    for name, prior in hyperpriors.items():
        if not isinstance(prior, Hyperprior) or DISTRIBUTIONS[prior.distribution].support != "unit interval":
            raise SpecificationError(f"{owner}: {name}={shown(prior)} must be a hyperprior of a share between 0 and 1, "
                                     "such as Hyperprior('Beta', alpha=1, beta=3).")


def must_be_normal(owner: str, **hyperpriors: Any) -> None:
    """Refuse values that are not Normal hyperpriors, where coefficients are integrated out."""
    for name, prior in hyperpriors.items():
        if not isinstance(prior, Hyperprior) or not prior.gaussian:
            raise SpecificationError(f"{owner}: {name}={prior!r} must be a Normal hyperprior, such as "
                                     "Hyperprior('Normal', mu=0, sigma=5).")
