"""New groups from a few rows of each: exact given each draw, without another fit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, final

import numpy as np
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.columns import table
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError, first, warn
from bayes_personal.families.parts.measurements import measured
from bayes_personal.formulas.terms import outcome
from bayes_personal.priors.parts.levels import Grouped
from bayes_personal.priors.parts.pieces import weights
from bayes_personal.samplers.importance import Weighted
from bayes_personal.samplers.redrawn import extended

# Above this k, or with fewer effective draws, weighted draws misrepresent a posterior that also knows the new rows.
LARGEST_K, LEAST_ESS = 0.7, 100.0
# With fewer draws their weights have no tail to smooth.
FEWEST = 25
# Hypotheses of the branches that a group's rows have chosen, at most, that are followed at each draw.
MOST = 256


class GroupWeights(NamedTuple):
    """The conditional of a group's whitened weights given its rows, at every draw: z ~ Normal(mean, (L L')^-1). Where
    rows choose among alternatives it is a mixture of such normals, one for each hypothesis of the rows' choices.

    Attributes
    ----------
    means : (draw, hypothesis, varying)
    log_weights : log weights of the hypotheses, (draw, hypothesis)
    lower : L, which all hypotheses share, (draw, varying, varying)
    log_evidence : log p(rows | the parameters that groups share), (draw,)
    """

    means: np.ndarray
    log_weights: np.ndarray
    lower: np.ndarray
    log_evidence: np.ndarray

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw one z a draw, (draw, varying)."""
        (chosen,) = systematic(self.log_weights, 1, rng).T
        mean = self.means[np.arange(len(chosen)), chosen]
        normal = rng.standard_normal((*mean.shape, 1))
        return mean + np.linalg.solve(self.lower.mT, normal)[..., 0]


def systematic(log_weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Resample `count` positions of each row in proportion to their weights, systematically, (row, count)."""
    rows, size = log_weights.shape
    shares = np.exp(log_weights - log_weights.max(axis=1, keepdims=True)).cumsum(axis=1)
    targets = (rng.random((rows, 1)) + np.arange(count)) / count
    # All rows lie on one line, each between its number and the next.
    line = (shares / shares[:, -1:] + np.arange(rows)[:, None]).ravel()
    positions = np.searchsorted(line, (targets + np.arange(rows)[:, None]).ravel()).reshape(rows, count)
    return np.minimum(positions - size * np.arange(rows)[:, None], size - 1)


def branched(residual: np.ndarray, loadings: np.ndarray, gate: np.ndarray, added: np.ndarray,
           rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Condition the weights of a group on its rows, each of which has chosen one of several alternatives.

    Row by row every hypothesis of the earlier rows' choices branches into as many as there are alternatives. Up to
    `MOST` hypotheses are kept; of more, `MOST` are resampled in proportion to their weights, which leaves the evidence
    unbiased (a particle filter with the weights z integrated out).

    Parameters
    ----------
    residual, loadings : outcomes less the part that groups share, and multipliers of z, in errors, (draw, row, ...)
    gate, added : log probability of each alternative, and its addition to eta, in errors, (draw, row, alternative)

    Returns
    -------
    means : means of z under every hypothesis, (draw, hypothesis, varying)
    logs : log p(rows, hypothesis) up to the errors' constants, (draw, hypothesis)

    References
    ----------
    Chen and Liu (2000), doi:10.1111/1467-9868.00246.
    """
    draws, rows, varying = loadings.shape
    precision = np.tile(np.eye(varying), (draws, 1, 1))
    means, logs = np.zeros((draws, 1, varying)), np.zeros((draws, 1))
    for i in range(rows):
        x = loadings[:, i, :, None]
        gain = np.linalg.solve(precision, x)
        variance = 1 + (x.mT @ gain)
        residuals = residual[:, i, None, None] - means @ x - added[:, i, None, :]
        logs = logs[:, :, None] + gate[:, i, None, :] - 0.5 * (residuals**2 / variance + np.log(variance))
        means = means[:, :, None, :] + (gain / variance).mT[:, None] * residuals[..., None]
        precision = precision + x @ x.mT
        means, logs = means.reshape(draws, -1, varying), logs.reshape(draws, -1)
        if logs.shape[1] > MOST:
            chosen = systematic(logs, MOST, rng)
            means = np.take_along_axis(means, chosen[..., None], axis=1)
            logs = np.broadcast_to(logsumexp(logs, axis=1, keepdims=True) - np.log(MOST), (draws, MOST))
    return means, logs


@final
@dataclass(frozen=True, eq=False)
class FewShot:
    """Rows of groups that training never saw.

    Attributes
    ----------
    trained : the model
    bound : the model in which `term` has the new groups after those of training, and functions know the new contexts
    term : the term that the groups belong to
    new : number of new groups
    x, y, constants : predictors, outcomes and known constants of the rows
    codes : group of each row, among those of the term
    """

    trained: BoundModel
    bound: BoundModel
    term: Grouped
    new: int
    rows: Any
    x: np.ndarray
    y: np.ndarray
    constants: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, bound: BoundModel, given: Any) -> Self:
        """Check that the rows are of new groups of one term, and bind them."""
        if bound.second_stage is not None:
            raise SpecificationError("predict(given=...) counts draws by how well they predicted the rows, which would "
                                     f"inform the population that {bound.second_stage.prior!r} freezes. Fit a frame "
                                     "that has these rows too, or take freeze=None.")
        if not bound.family.gaussian:
            raise SpecificationError(f"predict(given=...) needs a Normal family with one sigma; got {bound.family!r}. "
                                     "Fit a frame that has these rows too.")
        rows = table(given)
        read = list(zip(bound.pieces, bound.features_at(rows), strict=True))
        # The sources of a target have no parameters of their own: a new source is no new group.
        unseen = [term for term, features in read
                  if any((~np.isin(labels, ["known"] if isinstance(term, Grouped) else ["known", "new"])).any()
                         for labels in features.status.values())]
        if len(unseen) != 1 or not isinstance(unseen[0], Grouped):
            raise SpecificationError("predict(given=...) takes rows of groups that training never saw, by one context "
                                     f"column; in these the columns with such groups are "
                                     f"{', '.join(term.name for term in unseen) or 'none'}. Fit a frame that has these "
                                     "rows too.")
        term = unseen[0]
        ((name, status),) = term.at(rows).status.items()
        wrong = ~np.isin(status, ["new", "empty"])
        if wrong.any():
            raise InputError(f"predict(given=...): {wrong.sum()} of {len(rows)} rows have a {name!r} that is missing "
                             f"or was trained on (rows {first(rows.index[wrong])}). Give rows of new groups only; to "
                             "learn more of the others, fit a frame that has these rows too.")
        of_term: Any = term
        extended = replace(of_term, levels=term.levels.extended(rows))
        widened = replace(bound, terms=tuple(extended if piece is term else piece for piece in bound.terms),
                          nonlinear=tuple(field.with_places(rows) for field in bound.nonlinear))
        y = measured(outcome(bound.design.formula, rows, bound.design.outcome_state), "outcome of given rows")
        constants = bound.family.constants(rows)
        bound.family.must_add_up(constants, rows.index, bound.unit)
        return cls(bound, widened, extended, extended.size - term.size, rows, bound.design.at(rows), y, constants,
                   extended.at(rows).matrix.indices)

    def group_weights(self, values: Mapping[str, Any], code: int, rng: np.random.Generator) -> GroupWeights:
        """Return the weights of one new group given its rows, at draws of the trained parameters and of functions."""
        in_group = self.codes == code
        effect = f"{self.term.name}_effect"
        draws, _, varying = values[effect].shape
        features = self.bound.features_at(self.rows[in_group])
        shared = self.bound.theta({**values, effect: extended(values[effect], np.zeros((draws, self.new, varying)))},
                                  features, int(in_group.sum()))
        eta = self.bound.single(self.bound.eta_of(shared, self.x[in_group]))
        sigma = self.bound.family.error_parameter
        error = np.broadcast_to(self.constants[in_group] if sigma is None else values[sigma][:, None], eta.shape)
        residual = (self.y[in_group] - eta) / error
        scale, root = self.term.scales(values, np)
        loadings = self.bound.coefficients.predictors(self.x[in_group], self.term.positions) * scale
        if root is not None:
            loadings = loadings @ root
        loadings = loadings / error[..., None]
        lower = np.linalg.cholesky(np.eye(loadings.shape[-1]) + loadings.mT @ loadings)
        constant = -np.log(error).sum(axis=1) - 0.5 * in_group.sum() * np.log(2 * np.pi)
        branches = self.bound.branches(values, features, self.x[in_group], np)
        if branches is not None:
            added = self.bound.single(branches[1]) / error[..., None]
            means, logs = branched(residual, loadings, branches[0], added, rng)
            return GroupWeights(means, logs, lower, logsumexp(logs, axis=1) + constant)
        whitened = np.linalg.solve(lower, loadings.mT @ residual[..., None])
        evidence = (0.5 * (whitened[..., 0] ** 2).sum(axis=1) - 0.5 * (residual**2).sum(axis=1)
                    - np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1))
        mean = np.linalg.solve(lower.mT, whitened)[..., 0]
        return GroupWeights(mean[:, None], np.zeros((len(mean), 1)), lower, evidence + constant)

    def learned(self, values: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Add draws of the new groups' effects, and resample all draws in proportion to how well they predict the new
        rows."""
        count = len(next(iter(values.values())))
        if count < FEWEST:
            raise SpecificationError(f"predict(given=...): the posterior has {count} draws in all; to weigh them by "
                                     f"the given rows takes {FEWEST}, and thousands to be precise. Fit with more.")
        features = self.trained.features_at(self.rows)[len(self.trained.terms):]
        for field, piece_features in zip(self.trained.nonlinear, features, strict=True):
            values = {**values, **field.extended(values, piece_features.matrix, rng)}
        groups = [self.group_weights(values, code, rng) for code in range(self.term.size - self.new, self.term.size)]
        z = np.stack([group.draw(rng) for group in groups], axis=1)
        name = f"{self.term.name}_effect"
        new_effects = weights(self.term, values, z, np) @ self.bound.coefficients.to_data_units(self.term.positions)
        complete = {**values, name: extended(values[name], new_effects)}
        evidence = np.sum([group.log_evidence for group in groups], axis=0)
        weighted = Weighted.of(np.arange(count)[:, None], evidence, np.zeros(count))
        # ArviZ returns NaN where a single draw has all the weight.
        if not (weighted.pareto_k <= LARGEST_K and weighted.ess >= LEAST_ESS):
            warn("predict(given=...): the given rows change what is known of all groups so much that "
                 f"weighting draws does not reach it (Pareto k {weighted.pareto_k:.2f}, at most {LARGEST_K}; "
                 f"effective draws {weighted.ess:.0f}, at least {LEAST_ESS:.0f}). Fit a frame that has these "
                 "rows too.", ConvergenceWarning)
        chosen = weighted.resample(count, rng)[:, 0]
        return {variable: value[chosen] for variable, value in complete.items()}
