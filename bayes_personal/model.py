"""Model: a formula, a prior and a family make one generative PyMC model."""

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from bayes_personal.data import Design, outcome, table
from bayes_personal.errors import InputTypeError
from bayes_personal.families import Family, Normal
from bayes_personal.hyperprior import Hyperprior
from bayes_personal.priors.base import Coefficients, Prior, Term, population_mean
from bayes_personal.priors.population import Population


@final
@dataclass(frozen=True, repr=False)
class Model:
    """A generative model in which every row i has its own parameters theta_i.

    Parameters
    ----------
    formula
        ``"outcome ~ predictors"``: the outcome y_i and the predictors x_i. Formulas are evaluated: never take
        one from a source you do not trust.
    prior
        The sharing assumption, p(theta | c, phi).
    family
        The likelihood, p(y_i | x_i' theta_i).
    mean
        Hyperprior of the population mean mu of every coefficient, in units of outcome / predictor; that of the
        intercept holds at the predictors' means.
    """

    formula: str
    prior: Prior = field(default_factory=Population)
    family: Family = field(default_factory=Normal)
    mean: Hyperprior = field(default_factory=lambda: Hyperprior("Normal", mu=0.0, sigma=2.5, relative=True))

    def __post_init__(self) -> None:
        for value, kind, name in ((self.prior, Prior, "prior"), (self.family, Family, "family")):
            if not isinstance(value, kind):
                raise InputTypeError(f"Model({name}=...): need a {kind.__name__} such as {name}="
                                     f"{'bp.PartialPooling(column)' if kind is Prior else 'bp.Normal()'}; "
                                     f"got {value!r}.")

    def __repr__(self) -> str:
        story = (*self.family.story(), *self.prior.story(),
                 f"mu[k] ~ {self.mean.words('location[k]', 'unit[k]')}, the intercept at the predictors' means")
        return "\n".join((self.formula, *("    " + line for line in story)))

    def bind(self, frame: Any) -> "Bound":
        """Check the data and learn from the rows what the model must remember of them."""
        rows = table(frame)
        design, x = Design.learn(self.formula, rows)
        y = self.family.outcome(outcome(self.formula, rows), rows)
        location, scale = self.family.location_scale(y, rows)
        intercept = np.array([name == "Intercept" for name in design.coefficients])
        coefficients = Coefficients(design.coefficients, np.where(intercept, location, 0.0), scale / design.spread,
                                    design.center)
        return Bound(self, rows, design, x, y, scale, coefficients, self.prior.terms(rows, coefficients))

    def pymc(self, frame: Any) -> pm.Model:
        """The generative `pm.Model` of these data, in their own units."""
        return self.bind(frame).pymc()


@final
@dataclass(frozen=True, eq=False)
class Bound:
    """A model with its data: every shape known, nothing sampled."""

    model: Model
    frame: pd.DataFrame
    design: Design
    x: np.ndarray
    y: np.ndarray
    unit: float
    coefficients: Coefficients
    terms: tuple[Term, ...]

    def pymc(self) -> pm.Model:
        """The generative program: population mean, deviations term by term, likelihood."""
        everywhere = np.arange(len(self.coefficients.names))
        with pm.Model(coords={"unit": np.arange(len(self.y))}) as program:
            mu = population_mean(self.model.mean, self.coefficients, everywhere)
            eta = pt.dot(self.x, mu)
            for term in self.terms:
                deviation = term.spread(term.declare(self.coefficients), self.frame)
                eta = eta + (deviation * self.x[:, term.positions]).sum(axis=1)
            self.model.family.declare(eta, self.y, self.frame, self.unit)
        return program

    def theta(self, draws: Any, frame: pd.DataFrame) -> np.ndarray:
        """theta at the rows of `frame`, in data units, (chain, draw, unit, coefficient)."""
        mu = draws["mu"].transpose("chain", "draw", "shared").to_numpy()
        theta = np.repeat(mu[:, :, None, :], len(frame), axis=2)
        for term in self.terms:
            effect = draws[f"{term.name}_effect"].to_numpy()
            weights = np.moveaxis(effect, 2, 0)
            theta[..., term.positions] += np.moveaxis(term.spread(weights, frame), 0, 2)
        return theta
