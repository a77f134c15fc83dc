"""Rows to predict at that no training row is near: what the prior or the formula says there, data do not."""

import numpy as np
import pandas as pd

from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import InputWarning, first, warn


def warn_of_extrapolation(bound: BoundModel, rows: pd.DataFrame, x: np.ndarray) -> None:
    """Count the rows far from those of training, by their contexts and by their predictors `x`.

    A context is far outside the training range, or in the middle of one of its long gaps. A predictor, a column of the
    design, is far where it is further outside its training range than a quarter of it.
    """
    for piece in bound.pieces:
        for context in piece.axes:
            if context.levels:
                continue
            narrow = f"; {piece.narrow}, so that intervals do not widen" if piece.narrow else ""
            for far, where in ((context.outside(rows), "outside the training range"),
                               (context.between(rows), "in the middle of a long gap between training contexts, "
                                                       f"{context.gaps_in_words}")):
                _warn(rows, far, f"a {context.name!r} {where}", f"the prior's shape{narrow}")
    far = bound.design.far(x)
    names = np.array(bound.coefficients.names)[far.any(axis=0)]
    _warn(rows, far.any(axis=1), f"a {first(names)} far outside the training range", "the formula's shape")


def _warn(rows: pd.DataFrame, far: np.ndarray, what: str, shape: str) -> None:
    if far.any():
        warn(f"{far.sum()} of {len(rows)} rows have {what} (rows {first(rows.index[far])}): the prediction "
             f"there rests on {shape}.", InputWarning)
