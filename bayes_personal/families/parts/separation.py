"""Separation: predictors that separate the 0s of an outcome from its 1s, so that its likelihood has no maximum."""

from collections.abc import Sequence

import numpy as np

from bayes_personal.errors import InputWarning, warn

# Rows that are looked at first, for the linear program takes a kilobyte a row.
SOME = 5000


def warn_of_separation(y: np.ndarray, x: np.ndarray, names: Sequence[str], parts: str = "its 0s and 1s") -> bool:
    """Warn, once, where some combination of the predictors separates the 0s of `y` from its 1s; return whether it does.

    A direction b separates where ``x_i' b >= 0`` in all rows with ``y_i = 1``, ``x_i' b <= 0`` in all with
    ``y_i = 0``, and not all are 0; rows with ``x_i' b = 0`` are ties, and separation with ties is called
    quasi-complete. The likelihood then grows along b without bound. An outcome with only one value is not
    examined.

    Parameters
    ----------
    y
        Outcome, 0 or 1, (unit,).
    x
        Predictors, with a column of ones called "Intercept" where the model has an intercept, (unit, coefficient).
    names
        Names of the columns of `x`.
    parts
        What the 0s and the 1s are, in words.

    Warns
    -----
    InputWarning
        Some predictors separate. The message names every predictor that separates by itself or, where there is none, a
        set of predictors that are all needed.

    References
    ----------
    Albert and Anderson (1984), doi:10.1093/biomet/71.1.1. The linear program: Konis (2007), Linear programming
    algorithms for detecting separated data in binary logistic regression models, DPhil thesis, University of Oxford.
    """
    if np.ptp(y) == 0:
        return False
    intercept = [k for k, name in enumerate(names) if name == "Intercept"]
    predictors = [k for k in range(len(names)) if k not in intercept]
    # Standardised, so that the tolerances of the linear program mean the same for every predictor.
    scaled = x - x.mean(axis=0) * (len(intercept) > 0)
    scaled[:, intercept] = 1.0
    scaled /= np.sqrt(np.mean(scaled**2, axis=0)) + np.finfo(float).tiny
    if not _separates(y, scaled):
        return False
    separators = [k for k in predictors if _separates(y, scaled[:, [*intercept, k]])]
    if separators:
        words = " and by ".join(repr(names[k]) for k in separators)
        words += " alone" if len(separators) == 1 else ", each alone"
    else:
        separators = predictors
        for k in predictors:
            remaining = [j for j in separators if j != k]
            if _separates(y, scaled[:, [*intercept, *remaining]]):
                separators = remaining
        words = f"{', '.join(repr(names[k]) for k in separators)} together"
    warn(f"outcome: {parts} are separated by {words}: the likelihood has no maximum, and how large the "
         "coefficients come out rests on the prior. State the hyperprior of the mean on purpose, "
         "Model(mean=...), and report it with the result.", InputWarning)
    return True


def _separates(y: np.ndarray, x: np.ndarray) -> bool:
    """Return whether a direction in the unit cube separates: maximise the sum of margins, with none negative."""
    from scipy.optimize import linprog

    signed = np.where(y == 1, 1.0, -1.0)[:, None] * x
    some = signed[:: max(1, len(signed) // SOME)]
    # A direction that separates all rows separates some of them, unless it is 0 in each of these.
    if len(some) < len(signed) and np.linalg.matrix_rank(some) == x.shape[1] and not _separates(np.ones(len(some)),
                                                                                                 some):
        return False
    solution = linprog(-signed.mean(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1), method="highs")
    # The linear program tolerates margins of -1e-7, so a margin must be clearly larger to count.
    return solution.status == 0 and (signed @ solution.x).max() > 1e-4
