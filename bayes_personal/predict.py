"""Prediction: parameters, mean and outcome of known rows, new rows of known groups, new groups and new contexts."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.bound import Bound
from bayes_personal.data import table
from bayes_personal.errors import InputWarning, NotFittedError, SpecificationError, first
from bayes_personal.families.base import draw, mean
from bayes_personal.inference.draws import flat
from bayes_personal.posterior import Posterior
from bayes_personal.priors.base import Features, weights
from bayes_personal.summary import summarise

Kind = Literal["theta", "mean", "outcome"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Draws of what is predicted at every row of a frame.

    Attributes
    ----------
    kind : "theta", "mean" or "outcome"
    draws : (chain, draw, unit) or, for theta, (chain, draw, unit, coefficient); in data units
    index : of the frame
    status : column by column of group labels, "known", "new", "empty" or "unknown" of each row
    """

    kind: Kind
    draws: xr.DataArray
    index: pd.Index
    status: Mapping[str, np.ndarray]

    def frame(self) -> pd.DataFrame:
        """Mean, sd and 5, 50, 95 % quantiles, the frame's index kept; the group status of each row where it has one."""
        return summarise(self.draws, self.index, **{f"{name}_status": each for name, each in self.status.items()})

    def __repr__(self) -> str:
        sizes = " x ".join(f"{size} {dim}" for dim, size in self.draws.sizes.items())
        return f"Prediction of {self.kind}: {sizes}\n{self.frame().head(10)}"


def predict(posterior: Posterior, frame: Any = None, *, kind: Kind = "mean", seed: int | None = None) -> Prediction:
    """What the posterior says of every row's parameters, expected outcome or outcome.

    A row of a known group takes that group's posterior. All rows of one new group share one draw of the population;
    two new groups do not, and neither do two rows whose label is missing. A context keeps the training scaling.

    Parameters
    ----------
    posterior
        A fitted model.
    frame
        Rows to predict at, with the model's predictors and contexts by name; the training rows by default.
    kind
        "theta" (parameters), "mean" (expected outcome) or "outcome" (a new outcome, noise included); data units.
    seed
        Of what is drawn anew: new groups, and outcomes.

    Returns
    -------
    Prediction
        With `draws` as an `xarray.DataArray` and `frame()` as a summary.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    InputError, InputTypeError
        A column that is missing or holds what training could not take; an unseen level of a predictor.

    Warns
    -----
    InputWarning
        Rows with a context outside the training range, counted.
    """
    if not isinstance(posterior, Posterior):
        raise NotFittedError(f"predict needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
    if kind not in ("theta", "mean", "outcome"):
        raise SpecificationError(f"predict(kind={kind!r}): must be 'theta', 'mean' or 'outcome'.")
    bound, rng = posterior.bound, np.random.default_rng(seed)
    rows = bound.frame if frame is None else table(frame)
    x = bound.x if frame is None else bound.design.at(rows)
    features = bound.features if frame is None else tuple(term.at(rows) for term in bound.terms)
    if frame is not None:
        warn_outside(bound, rows)
    values = flat(posterior.tree)
    theta = bound.theta(with_new_features(bound, values, features, rng), features, len(rows))
    sizes = posterior.tree["posterior"].sizes
    status = {name: each for one in features for name, each in one.status.items()}
    coords: dict[str, Any] = {"chain": np.arange(sizes["chain"]), "draw": np.arange(sizes["draw"]),
                              "unit": np.arange(len(rows))}
    coords |= {f"{name}_status": ("unit", each) for name, each in status.items()}
    if kind == "theta":
        result, dims = theta, ("chain", "draw", "unit", "coefficient")
        coords["coefficient"] = list(bound.coefficients.names)
    else:
        eta, dims = np.einsum("snk,nk->sn", theta, x), ("chain", "draw", "unit")
        own = {each.name: values[each.name][:, None] for each in bound.family.parameters(bound.unit)}
        # The error of a Gaussian outcome does not move its mean: rows without a standard error have one.
        known = np.ones(len(rows)) if kind == "mean" and bound.family.gaussian else bound.family.known(rows)
        result = mean(bound.family, eta, own, known) if kind == "mean" else draw(bound.family, eta, own, known, rng)
    array = xr.DataArray(result.reshape(sizes["chain"], sizes["draw"], *result.shape[1:]), dims=dims, coords=coords,
                         name=kind)
    return Prediction(kind, array, rows.index, status)


def warn_outside(bound: Bound, rows: pd.DataFrame) -> None:
    """Count the rows whose context lies outside the training range."""
    for term in bound.terms:
        for name, outside in term.outside(rows).items():
            if outside.any():
                warnings.warn(f"{outside.sum()} of {len(rows)} rows have a {name!r} outside the training range (rows "
                              f"{first(rows.index[outside])}): the prediction there rests on the prior's shape.",
                              InputWarning, stacklevel=3)


def with_new_features(bound: Bound, values: Mapping[str, np.ndarray], features: tuple[Features, ...],
                      rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The values with every effect extended by draws from the prior for features that training never saw."""
    result = dict(values)
    for term, one in zip(bound.terms, features, strict=True):
        name = f"{term.name}_effect"
        effect = values[name]
        fresh = one.matrix.shape[1] - effect.shape[1]
        if fresh:
            z = rng.standard_normal((len(effect), fresh, effect.shape[2]))
            drawn = weights(term, values, z, np) @ bound.coefficients.to_data_units(term.positions)
            result[name] = np.concatenate([effect, drawn], axis=1)
    return result
