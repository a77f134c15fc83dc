"""Separation: predictors that tell the 0s of an outcome from its 1s, so that its likelihood has no maximum."""

from collections.abc import Sequence

import numpy as np

from bayes_personal.errors import InputWarning, warn


def warn_of_separation(y: np.ndarray, x: np.ndarray, names: Sequence[str]) -> None:
    """Warn, once, where some combination of the predictors separates the 0s of `y` from its 1s.

    A direction b separates where ``x_i' b >= 0`` in all rows with ``y_i = 1``, ``x_i' b <= 0`` in all with
    ``y_i = 0``, and not all are 0; rows with ``x_i' b = 0`` are ties, and separation with ties is called
    quasi-complete. The likelihood then grows along b without end. An outcome of one value only is none of this
    function's business.

    Parameters
    ----------
    y
        Outcome, 0 or 1, (unit,).
    x
        Predictors, with a column of ones called "Intercept" where the model has an intercept, (unit, coefficient).
    names
        Of the columns of `x`.

    Warns
    -----
    InputWarning
        Names every predictor that separates by itself; if none does, a set of which each is needed.

    References
    ----------
    Albert and Anderson (1984), doi:10.1093/biomet/71.1.1. The linear program: Konis (2007), Linear programming
    algorithms for detecting separated data in binary logistic regression models, DPhil thesis, University of Oxford.
    """
    if np.ptp(y) == 0:
        return
    intercept = [k for k, name in enumerate(names) if name == "Intercept"]
    predictors = [k for k in range(len(names)) if k not in intercept]
    # Standardised, so that the program's tolerances mean the same for every predictor.
    scaled = x - x.mean(axis=0) * (len(intercept) > 0)
    scaled[:, intercept] = 1.0
    scaled /= np.sqrt(np.mean(scaled**2, axis=0)) + np.finfo(float).tiny
    if not _separates(y, scaled):
        return
    found = [k for k in predictors if _separates(y, scaled[:, [*intercept, k]])]
    if found:
        who = " and by ".join(repr(names[k]) for k in found) + (" alone" if len(found) == 1 else ", each alone")
    else:
        found = predictors
        for k in predictors:
            rest = [j for j in found if j != k]
            if _separates(y, scaled[:, [*intercept, *rest]]):
                found = rest
        who = f"{', '.join(repr(names[k]) for k in found)} together"
    warn(f"outcome: its 0s and 1s are separated by {who}: the likelihood has no maximum, and how large the "
         "coefficients come out rests on the prior. State the hyperprior of the mean on purpose, "
         "Model(mean=...), and report it with the result.", InputWarning)


def _separates(y: np.ndarray, x: np.ndarray) -> bool:
    """Whether a direction within the unit cube separates: maximise the sum of the margins, none of them negative."""
    from scipy.optimize import linprog

    signed = np.where(y == 1, 1.0, -1.0)[:, None] * x
    found = linprog(-signed.mean(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1), method="highs")
    # The program lets margins of -1e-7 pass, so that a margin must stand out from those to count.
    return found.status == 0 and (signed @ found.x).max() > 1e-4
