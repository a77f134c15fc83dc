"""Whether a sampler can start: hyperpriors and outcome must have a density there."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.parameter import Parameter


def hyperpriors_must_reach(bound: BoundModel) -> None:
    """Refuse hyperpriors whose density is 0 at the expected value, where every search for a mode begins.

    Raises
    ------
    SpecificationError
        Names the hyperparameter, its distribution and the value.
    """
    for parameter in bound.parameters:
        expected = parameter.value(np.zeros(parameter.size))
        with np.errstate(all="ignore"):
            log_density = DISTRIBUTIONS[parameter.distribution].log_density(expected, **parameter.arguments)
        impossible = ~np.isfinite(np.broadcast_to(log_density, parameter.shape))
        if impossible.any():
            value = np.broadcast_to(expected, parameter.shape)[impossible][0]
            raise SpecificationError(
                f"{parameter.name}: its hyperprior {words(parameter, impossible)} has density 0 at {value:.4g}, about "
                "what these data lead to expect, so that no sampler can start. Mind the units, or take one with "
                "relative=True.")


def outcome_must_have_density(bound: BoundModel) -> None:
    """Refuse a mean at whose expected value, where a sampler of all variables starts, the outcome has no density.

    Raises
    ------
    SpecificationError
        Names the mean, its distribution and the expected value.
    """
    mean = bound.mean
    if mean is None or bound.choice is not None:
        return
    centre = np.broadcast_to(mean.arguments.get("mu", mean.arguments.get("alpha", mean.location)), mean.shape)
    family_values = {parameter.name: parameter.value(np.zeros(parameter.size)) for parameter in bound.family_parameters}
    with np.errstate(all="ignore"):
        common = bound.centred_mean({mean.name: centre}, np)
        products = common * bound.coefficients.predictors(bound.x, bound.everywhere)
        eta = bound.coefficients.total(products, bound.everywhere, np)
        likelihood = bound.family.likelihood(eta, family_values, bound.constants, np)
        impossible = ~np.isfinite(likelihood.log_density(bound.y))
    if impossible.any():
        farthest = np.abs((centre - mean.location) / mean.unit) == np.abs((centre - mean.location) / mean.unit).max()
        raise SpecificationError(
            f"{mean.name}: with its hyperprior {words(mean, farthest)} {impossible.sum()} of {len(eta)} outcomes have "
            f"density 0 at the mean's expected value (eta is {eta[impossible][0, 0]:.4g} in the first of these rows), "
            "so that no sampler can start. Mind the units: of counts and of yes or no, eta is a logarithm or log-odds.")


@contextmanager
def started(method: str) -> Iterator[None]:
    """Raise an error of this package, without the sampler's stack, when a sampler finds no point to start from.

    Raises
    ------
    SpecificationError
        Nutpie or PyMC found the density zero or undefined wherever they tried.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()
        if not reason or not reason[0].startswith(("All initialization points failed", "Initial evaluation of model")):
            raise
        raise SpecificationError(
            f"{method} cannot start: the posterior density is 0 or undefined at every point that was tried, although "
            "each hyperprior has one there. The outcome, or a column of known constants, is out of all proportion to "
            "the predictors or the hyperpriors: mind their units, and look for values that stand for missing ones, "
            "such as 1e30.") from None


def words(parameter: Parameter, chosen: np.ndarray) -> str:
    """State the distribution of the first of some entries of a hyperparameter."""
    first = {name: np.broadcast_to(value, parameter.shape)[chosen][0] for name, value in parameter.arguments.items()}
    return f"{parameter.distribution}({', '.join(f'{name}={value:.4g}' for name, value in first.items())})"
