"""How much of a target's coefficients came from its sources."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import pandas as pd

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.sufficient import Arrangement, Loadings, Statistics
from bayes_personal.errors import NotFittedError, SpecificationError
from bayes_personal.families import Normal
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.posterior.summary import QUANTILES, statistics
from bayes_personal.posterior.theta import RowSlice
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.samplers.draws import flat
from bayes_personal.system.running import verb

# Draws that are enough for a summary, fewer where each has sums over the rows of its own.
DRAWS, CURVED = 1000, 250
# Different rows of the target whose coefficients are looked at.
MOST = 512


@verb
def borrowed(posterior: Posterior) -> pd.DataFrame:
    """How much of each coefficient of the target the sources gave, under a `Transfer` prior.

    The share is how far the target's coefficient moves when the same coefficient moves by one in the rows of all
    sources: the derivative of the target's posterior mean, given the hyperparameters, on average over the target's
    rows. It is 1 where the target's rows say nothing or the sources agree with them, 0 where only these rows count.

    Where nothing else varies with the domain, the target's coefficients are on average
    ``(S + P)^-1 (S own + P sources)``, S the precision of what the target's own rows say and P that of what the sources
    say of them: the scales of the prior, and how well the sources know the mean. The share is then the diagonal of
    ``(S + P)^-1 P``. Beside `PartialPooling` of the domains P is that of a domain like the others, which is far less.

    Other terms answer the sources too. Networks, types and other functions that are not linear in their weights stay
    where a draw has them, and for families other than the Normal the log likelihood's curvature at the draw stands for
    a Normal error.

    Returns
    -------
    DataFrame
        Mean, sd and 5, 50, 95 % quantiles of the share, a row a coefficient that may differ.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    SpecificationError
        A model without a `Transfer` prior.
    """
    if not isinstance(posterior, Posterior):
        raise NotFittedError(f"borrowed needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
    bound = posterior.bound
    term = next((each for each in bound.terms if each.of_target), None)
    if term is None:
        raise SpecificationError("borrowed says what a target takes from sources under a Transfer prior; the model "
                                 f"has {posterior.model.prior!r}.")
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
    """What the target's coefficients answer to the sources.

    Attributes
    ----------
    bound : the model
    term : what the target has beside the sources
    """

    bound: BoundModel
    term: Term

    @cached_property
    def linear(self) -> BoundModel:
        """The model of what is linear in Gaussian weights."""
        bound = self.bound
        mean = bound.mean_prior if bound.mean_prior.gaussian else NATURAL_MEAN
        return replace(bound, family=bound.family if bound.family.gaussian else Normal(sd="error"), mean_prior=mean,
                       nonlinear=())

    @cached_property
    def arrangement(self) -> Arrangement:
        """Its weights."""
        return Arrangement(self.linear)

    @cached_property
    def target(self) -> tuple[Loadings, np.ndarray]:
        """Rows that say what the target's coefficients are, and how: each coefficient from some rows, (k, row)."""
        bound, linear, k = self.bound, self.linear, len(self.term.positions)
        frame = pd.concat([batch.frame[self._of(batch)] for batch in bound.rows.batches()])
        features = linear.features_at(frame)
        one, which = RowSlice(features, np.zeros((len(frame), 0)), np.ones(len(frame))).alike
        weights = np.bincount(which) / len(frame)
        if len(one) > MOST:
            some = np.linspace(0, len(one) - 1, MOST).astype(int)
            one, weights = one[some], weights[some] / weights[some].sum()
        # At the predictors' means, and one further along each predictor.
        middle = bound.coefficients.center + np.array([name == "Intercept" for name in bound.coefficients.names])
        names = [bound.coefficients.names[place] for place in self.term.positions]
        along = [0 * middle if name == "Intercept" else np.eye(len(middle))[place]
                 for name, place in zip(names, self.term.positions, strict=True)]
        x = np.concatenate([np.repeat((middle + step)[None], len(one), axis=0) for step in (0 * middle, *along)])
        reads = np.zeros((k, k + 1))
        for row, name in enumerate(names):
            reads[row, 0] = 1.0 if name == "Intercept" else -1.0
            reads[row, row + 1] = 0.0 if name == "Intercept" else 1.0
        repeated = linear.features_at(pd.concat([frame.iloc[one]] * (k + 1)))
        error = 1.0 if linear.family.error_parameter else linear.unit
        return (self.arrangement.loadings(x, np.full(len(x), error), repeated), np.kron(reads, weights))

    def shares(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of each coefficient that may differ, (draw, varying)."""
        count = len(next(iter(values.values())))
        if self.bound.family.gaussian:
            return np.stack([self.answer(k, values, count, self.bound.rows.batches())
                             for k in range(len(self.term.positions))], axis=1)
        result = np.empty((count, len(self.term.positions)))
        for draw in range(count):
            here = {name: value[draw : draw + 1] for name, value in values.items()}
            curved = list(self.curved(here))
            result[draw] = [self.answer(k, here, 1, iter(curved))[0] for k in range(len(self.term.positions))]
        return result

    def curved(self, values: Mapping[str, np.ndarray]) -> Iterator[Batch]:
        """The rows, each with the error that is as informative as its outcome is at one draw."""
        bound = self.bound
        own = bound.family_values(values)
        for batch in bound.rows.batches():
            theta = bound.theta(values, bound.features_at(batch.frame), len(batch))
            eta = bound.eta_of(np.broadcast_to(theta, (1, *theta.shape[1:])), batch.x)
            _, second = bound.family.derivatives(batch.y, eta, own, batch.constants, bound.unit)
            yield replace(batch, constants=np.maximum(-second[0], 1e-200) ** -0.5)

    def answer(self, k: int, values: Mapping[str, np.ndarray], count: int, batches: Iterator[Batch]) -> np.ndarray:
        """How far the k-th coefficient of the target moves where that of all sources moves by one, (draw,)."""
        loadings, reads = self.target
        sums = Statistics.of(self.arrangement, (self.moved(batch, k) for batch in batches))
        moved = GaussianDensity(self.linear, sums)
        fits = np.array([fit for fit, _ in moved.projection(values, count).of(loadings)])
        return fits @ reads[k] * self.linear.unit

    def moved(self, batch: Batch, k: int) -> Batch:
        """Rows whose outcomes are as expected before data are seen, but for the sources' coefficient k, which is one
        more."""
        bound, coefficients = self.linear, self.linear.coefficients
        expected = coefficients.predictors(batch.x, bound.everywhere) @ self.arrangement.centre
        by = coefficients.predictors(batch.x, self.term.positions)[:, k]
        return replace(batch, y=expected + np.where(self._of(batch), 0.0, by))

    def _of(self, batch: Batch) -> np.ndarray:
        """Which rows are the target's."""
        return self.term.at(batch.frame).matrix[:, 0] > 0
