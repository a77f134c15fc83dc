"""Fields and walks under pseudo-data: Gaussian models whose weights have a sparse precision."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch, InMemory
from bayes_personal.densities.field.field_density import FieldDensity, field_alone
from bayes_personal.densities.linearised.pseudo_data import PseudoData, with_pseudo_outcome
from bayes_personal.densities.walk.walk_density import WalkDensity, walk_alone

Chain = FieldDensity | WalkDensity
# Numbers in arrays of linear predictors that are computed together.
NUMBERS = 2**22
# Least variance of eta, in natural units.
LEAST_VARIANCE = 1e-12


def chained(bound: BoundModel) -> bool:
    """Say whether the model consists of one field or one walk, whose rows are in memory and have compiled
    likelihoods."""
    single = isinstance(bound.rows, InMemory) and bound.coefficients.linear_predictors == 1
    compiled = bound.family.compiled is not None and not bound.family.gaussian
    return single and compiled and (field_alone(bound) or walk_alone(bound))


def chain(bound: BoundModel, pseudo: PseudoData) -> Chain:
    """Return the model of the pseudo-data, each a Normal outcome of known error, with field or walk integrated out."""
    rows = InMemory(bound.frame, bound.x, pseudo.response[0], 1 / np.sqrt(pseudo.precision[0, 0]))
    model = replace(with_pseudo_outcome(bound), rows=rows)
    return FieldDensity(model) if field_alone(bound) else WalkDensity(model)


def linear_predictors(bound: BoundModel, values: Mapping[str, Any], count: int) -> np.ndarray:
    """Return eta of all training rows at draws of all variables, (draw, predictor, unit)."""
    together = max(1, NUMBERS // len(bound.rows))
    parts = [bound.eta({name: value[start : start + together] for name, value in values.items()}, np)
             for start in range(0, count, together)]
    return np.ascontiguousarray(np.concatenate(parts).transpose(0, 2, 1))


def chain_moments(bound: BoundModel, values: Mapping[str, Any], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (predictor, unit) and root of the covariance of every row's eta over draws of all variables."""
    eta = linear_predictors(bound, values, count)
    variance = eta.var(axis=0) + LEAST_VARIANCE * bound.predictor_units[:, None] ** 2
    return eta.mean(axis=0), np.sqrt(variance)[None]


def eta_of_chain(density: Chain, values: Mapping[str, np.ndarray], count: int,
                 places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (draw, predictor, unit) and covariance (draw, predictor, predictor, unit) of some rows' linear
    predictors given all pseudo-data and the hyperparameters."""
    bound = density.bound
    batch = Batch(-1, bound.frame.iloc[places], bound.x[places], bound.y[places], bound.constants[places])
    products = bound.coefficients.predictors(batch.x, bound.everywhere) * density.arrangement.centre
    fits, variances = density.moments(values, count, batch)
    return ((products.sum(axis=1) + batch.constants * fits)[:, None],
            (batch.constants**2 * variances)[:, None, None])
