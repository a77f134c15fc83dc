"""Coefficients that the rows of a cell share: the families they integrate out of, and their distribution in words."""

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.conjugate import BetaConjugate, Conjugate, GammaConjugate, NormalConjugate
from bayes_personal.priors.parts.coefficients import Coefficients


def must_integrate_out(owner: str, coefficients: Coefficients) -> Conjugate:
    """Return the distribution under which cells integrate out of the family; raise where there is none."""
    conjugate = coefficients.conjugate
    if conjugate is None:
        raise SpecificationError(f"{owner}: what the rows of a cell share integrates out of Normal, Poisson, Bernoulli "
                                 "and Binomial families, of a Normal one with a sigma for all rows or a sigma a cell, "
                                 "as Varying() has it without a prior of its own. For another family use a prior that "
                                 "fits every one, such as TotalVariation(order), GaussianProcess(*context) or "
                                 "Contextualized(*context).")
    if not conjugate.several_coefficients and coefficients.names != ("Intercept",):
        raise SpecificationError(f"{owner}: with counts, cells share a rate or probability, and the formula must be "
                                 f"'outcome ~ 1'; it has the coefficients {', '.join(coefficients.names)}. Drop the "
                                 "predictors, or use TotalVariation(order) or GaussianProcess(*context).")
    return conjugate


def law_in_words(scale: str, conjugate: Conjugate | None) -> str:
    """Return the distribution of cells under a family, or under each where it is unknown, as a line of a story."""
    if conjugate is not None:
        return conjugate.words(scale)
    return "; ".join(f"{law.words(scale)} ({families})" for law, families in (
        (NormalConjugate(), "Normal"), (GammaConjugate(), "Poisson"), (BetaConjugate(), "Bernoulli, Binomial")))
