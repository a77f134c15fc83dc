"""What cells of a division share: under which families it integrates out, and in words."""

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.conjugate import BetaConjugate, Conjugate, GammaConjugate, NormalConjugate
from bayes_personal.priors.parts.pieces import Coefficients


def must_integrate_out(owner: str, coefficients: Coefficients) -> Conjugate:
    """How what cells share integrates out of the family, or an error that says which families do."""
    found = coefficients.conjugate
    if found is None:
        raise SpecificationError(f"{owner}: what the rows of a cell share integrates out of Normal, Poisson, Bernoulli "
                                 "and Binomial families. For another family use a prior that fits every one, such as "
                                 "TotalVariation(order), GaussianProcess(*context) or Contextualized(*context).")
    if not found.several_coefficients and coefficients.names != ("Intercept",):
        raise SpecificationError(f"{owner}: with counts, cells share a rate or probability, and the formula must be "
                                 f"'outcome ~ 1'; it has the coefficients {', '.join(coefficients.names)}. Drop the "
                                 "predictors, or use TotalVariation(order) or GaussianProcess(*context).")
    return found


def law_in_words(scale: str, conjugate: Conjugate | None) -> str:
    """What cells have of their own under a family, or under each where none is known, as a line of the story."""
    if conjugate is not None:
        return conjugate.words(scale)
    return "; ".join(f"{each.words(scale)} ({families})" for each, families in (
        (NormalConjugate(), "Normal"), (GammaConjugate(), "Poisson"), (BetaConjugate(), "Bernoulli, Binomial")))
