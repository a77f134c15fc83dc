"""The share of a target's coefficients that came from its sources."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import pandas as pd

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.densities.gaussian.arrangement import Arrangement, Loadings
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.sufficient import Statistics
from bayes_personal.errors import SpecificationError
from bayes_personal.families import Normal
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.posterior.summary import QUANTILES, statistics
from bayes_personal.posterior.theta import RowSlice
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.samplers.draws import flat
from bayes_personal.system.running import verb

# Draws that are enough for a summary; fewer where every draw needs its own sums over the rows.
DRAWS, CURVED = 1000, 250
# At most this many distinct rows of the target are used.
MOST = 512


@verb
def borrowed(posterior: Posterior) -> pd.DataFrame:
    """Tell how much of each coefficient of the target the sources gave, under a `Transfer` prior.

    The share is how far the target's coefficient moves when the same coefficient moves by one in the rows of all
    sources: the derivative of the target's posterior mean, given the hyperparameters, on average over the target's
    rows. It is 1 where the target's rows say nothing or the sources agree with them, 0 where only the target's rows
    count.

    Where nothing else varies with the domain, the target's coefficients are on average
    ``(S + P)^-1 (S own + P sources)``, S the precision of the estimate from the target's own rows and P that of the
    estimate from the sources: the scales of the prior, and how well the sources know the mean. The share is then the
    diagonal of ``(S + P)^-1 P``. Beside `PartialPooling` of the domains P is the precision for a domain like the
    others, which is far smaller.

    Other terms move with the sources too. Networks, types and other functions that are not linear in their weights are
    fixed at each draw, and for families other than the Normal the log likelihood's curvature at the draw replaces the
    Normal error.

    Returns
    -------
    DataFrame
        Mean, sd and 5, 50, 95 % quantiles of the share, a row a coefficient that may differ.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        A model without a `Transfer` prior, or with several linear predictors a row.
    """
    must_be_fitted("borrowed", posterior)
    bound = posterior.bound
    term = next((piece for piece in bound.terms if piece.of_target), None)
    if term is None:
        raise SpecificationError("borrowed says what a target takes from sources under a Transfer prior; the model "
                                 f"has {posterior.model.prior!r}.")
    if bound.coefficients.linear_predictors > 1:
        raise SpecificationError(f"borrowed takes one linear predictor a row, and {posterior.model.family!r} has "
                                 f"{bound.coefficients.linear_predictors}. Compare theta of the target with that of "
                                 "the sources, as in posterior.theta_frame().")
    draws = flat(posterior.tree)
    count = len(next(iter(draws.values())))
    values = {name: value[:: -(-count // (DRAWS if bound.family.gaussian else CURVED))]
              for name, value in draws.items()}
    shares = Answer(bound, term).shares(values)
    names = [bound.coefficients.names[k] for k in term.positions]
    return pd.DataFrame(statistics(shares), index=pd.Index(names, name="coefficient"),
                        columns=["mean", "sd", *QUANTILES])


@final
@dataclass(frozen=True, eq=False)
class Answer:
    """How the target's coefficients answer to the sources.

    Attributes
    ----------
    bound : the model
    term : the term of the target's deviation from the sources
    """

    bound: BoundModel
    term: Term

    @cached_property
    def linear(self) -> BoundModel:
        """The model of the terms that are linear in Gaussian weights."""
        bound = self.bound
        mean = bound.mean_prior if bound.mean_prior.gaussian else NATURAL_MEAN
        return replace(bound, family=bound.family if bound.family.gaussian else Normal(sd="error"), mean_prior=mean,
                       nonlinear=())

    @cached_property
    def arrangement(self) -> Arrangement:
        """The arrangement of the weights of the linear model."""
        return Arrangement(self.linear)

    @cached_property
    def target(self) -> tuple[Loadings, np.ndarray]:
        """Rows whose predictions give the target's coefficients, and the weights of the rows in each, (k, row)."""
        bound, linear, k = self.bound, self.linear, len(self.term.positions)
        frame = pd.concat([batch.frame[self._is_target(batch)] for batch in bound.rows.batches()])
        features = linear.features_at(frame)
        distinct, inverse = RowSlice(features, np.zeros((len(frame), 0)), np.ones(len(frame))).distinct
        weights = np.bincount(inverse) / len(frame)
        if len(distinct) > MOST:
            chosen = np.linspace(0, len(distinct) - 1, MOST).astype(int)
            distinct, weights = distinct[chosen], weights[chosen] / weights[chosen].sum()
        # Rows at the predictors' means, and one unit further along each predictor.
        middle = bound.coefficients.center + bound.coefficients.intercept
        intercept = bound.coefficients.intercept[self.term.positions]
        steps = [0 * middle if first else np.eye(len(middle))[place]
                 for first, place in zip(intercept, self.term.positions, strict=True)]
        x = np.concatenate([np.repeat((middle + step)[None], len(distinct), axis=0) for step in (0 * middle, *steps)])
        reads = np.zeros((k, k + 1))
        for row, first in enumerate(intercept):
            reads[row, 0] = 1.0 if first else -1.0
            reads[row, row + 1] = 0.0 if first else 1.0
        repeated = linear.features_at(pd.concat([frame.iloc[distinct]] * (k + 1)))
        error = 1.0 if linear.family.error_parameter else linear.unit
        return (self.arrangement.loadings(x, np.full(len(x), error), repeated), np.kron(reads, weights))

    def shares(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the share of each coefficient that may differ, (draw, varying)."""
        count = len(next(iter(values.values())))
        if self.bound.family.gaussian:
            return np.stack([self.answer(k, values, count, self.bound.rows.batches())
                             for k in range(len(self.term.positions))], axis=1)
        result = np.empty((count, len(self.term.positions)))
        for draw in range(count):
            draw_values = {name: value[draw : draw + 1] for name, value in values.items()}
            curved = list(self.curved(draw_values))
            result[draw] = [self.answer(k, draw_values, 1, iter(curved))[0] for k in range(len(self.term.positions))]
        return result

    def curved(self, values: Mapping[str, np.ndarray]) -> Iterator[Batch]:
        """Yield the rows, each with the error that makes it as informative as its outcome is at one draw."""
        bound = self.bound
        family_values = bound.family_values(values)
        for batch in bound.rows.batches():
            theta = bound.theta(values, bound.features_at(batch.frame), len(batch))
            eta = bound.eta_of(np.broadcast_to(theta, (1, *theta.shape[1:])), batch.x)
            _, second = bound.family.derivatives(batch.y, eta, family_values, batch.constants, bound.unit)
            yield replace(batch, constants=np.maximum(-second[0], 1e-200) ** -0.5)

    def answer(self, k: int, values: Mapping[str, np.ndarray], count: int, batches: Iterator[Batch]) -> np.ndarray:
        """Return how far the target's k-th coefficient moves when that of all sources moves by one, (draw,)."""
        loadings, reads = self.target
        sums = Statistics.of(self.arrangement, (self.shifted(batch, k) for batch in batches))
        shifted_density = GaussianDensity(self.linear, sums)
        fits, _ = shifted_density.projection(values, count).moments(loadings)
        return fits @ reads[k] * self.linear.unit

    def shifted(self, batch: Batch, k: int) -> Batch:
        """Return rows with prior expected outcomes, except that the sources' coefficient k is larger by one."""
        bound, coefficients = self.linear, self.linear.coefficients
        expected = coefficients.predictors(batch.x, bound.everywhere) @ self.arrangement.centre
        source_effect = coefficients.predictors(batch.x, self.term.positions)[:, k]
        return replace(batch, y=expected + np.where(self._is_target(batch), 0.0, source_effect))

    def _is_target(self, batch: Batch) -> np.ndarray:
        """Return which rows are the target's."""
        return self.term.at(batch.frame).matrix[:, 0] > 0
