"""Coefficients that the rows of a cell share: their distribution under each family, and in words."""

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.conjugate import BetaConjugate, Conjugate, GammaConjugate, NormalConjugate
from bayes_personal.priors.parts.coefficients import Coefficients


def law_of_cells(owner: str, coefficients: Coefficients) -> Conjugate:
    """Return the distribution of what cells have of their own: the conjugate one where that integrates out of the
    family, and else a Normal, under a family whose likelihood can be expanded; raise where it cannot."""
    conjugate = coefficients.conjugate
    if conjugate is not None and (conjugate.several_coefficients or coefficients.within == ("Intercept",)):
        return conjugate
    if coefficients.expands:
        return NormalConjugate()
    raise SpecificationError(f"{owner}: what the rows of a cell share is summed out under families of this package "
                             "with one linear predictor, and under a Normal one with a sigma a cell, as Varying() has "
                             "it without a prior of its own. For another family use a prior that fits every one, such "
                             "as TotalVariation(order), GaussianProcess(*context) or Contextualized(*context).")


def law_in_words(scale: str, conjugate: Conjugate | None) -> str:
    """Return the distribution of cells under a family, or under each where it is unknown, as a line of a story."""
    if conjugate is not None:
        return conjugate.words(scale)
    return "; ".join(f"{law.words(scale)} ({families})" for law, families in (
        (NormalConjugate(), "in general"), (GammaConjugate(), "Poisson, y ~ 1"),
        (BetaConjugate(), "Bernoulli and Binomial, y ~ 1")))
