"""Warnings of rows to predict at that are far from all training rows, where the prior or the formula decides."""

import numpy as np
import pandas as pd

from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import InputWarning, first, warn


def warn_of_extrapolation(bound: BoundModel, rows: pd.DataFrame, x: np.ndarray) -> None:
    """Count the rows far from those of training, by their contexts and by their predictors `x`.

    A predictor, a column of the design, is far where it lies outside its training range by more than a quarter of that
    range.
    """
    warn_of_far_contexts(bound, rows)
    is_far = bound.design.far(x)
    # A predictor is far once, however many linear predictors it is part of.
    names = list(dict.fromkeys(np.array(bound.coefficients.within)[is_far.any(axis=0)].tolist()))
    _warn(rows, is_far.any(axis=1), f"a {first(names)} far outside the training range", "the formula's shape")


def warn_of_far_contexts(bound: BoundModel, rows: pd.DataFrame) -> None:
    """Count the rows with a context outside the training range, or in the middle of one of its long gaps."""
    for piece in bound.pieces:
        for context in piece.axes:
            if context.levels:
                continue
            narrow = f"; {piece.narrow}, so that intervals do not widen" if piece.narrow else ""
            for is_far, region in ((context.outside(rows), "outside the training range"),
                               (context.between(rows), "in the middle of a long gap between training contexts, "
                                                       f"{context.gaps_in_words}")):
                _warn(rows, is_far, f"a {context.name!r} {region}", f"the prior's shape{narrow}")


def _warn(rows: pd.DataFrame, is_far: np.ndarray, description: str, shape: str) -> None:
    if is_far.any():
        warn(f"{is_far.sum()} of {len(rows)} rows have {description} (rows {first(rows.index[is_far])}): the "
             f"prediction there rests on {shape}.", InputWarning)
