"""New groups from a few rows of each, given each draw, without another fit: exact where outcomes are Normal with one
error, and by importance sampling from the group's own weights elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, final

import numpy as np
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import STEP, apart, whitened
from bayes_personal.data.columns import table
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError, first, warn
from bayes_personal.formulas.terms import outcome
from bayes_personal.priors.parts.levels import Grouped
from bayes_personal.priors.parts.pieces import weights
from bayes_personal.samplers.importance import Weighted
from bayes_personal.samplers.integrand import Integrand
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
    bound : the model in which `terms` have the new groups after those of training, and functions know the new contexts
    terms : the terms that the groups belong to, which all have the same groups
    new : number of new groups
    x, y, constants : predictors, outcomes and known constants of the rows
    codes : group of each row, among those of the terms
    """

    trained: BoundModel
    bound: BoundModel
    terms: tuple[Grouped, ...]
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
        if bound.choice is not None and not bound.family.gaussian:
            raise SpecificationError(f"predict(given=...) follows rows that choose among alternatives, as under "
                                     f"{bound.choice.prior!r}, where the family is Normal with one sigma; got "
                                     f"{bound.family!r}. Fit a frame that has these rows too.")
        rows = table(given)
        read = list(zip(bound.pieces, bound.features_at(rows), strict=True))
        # The sources of a target have no parameters of their own: a new source is no new group.
        unseen = [term for term, features in read
                  if any((~np.isin(labels, ["known"] if isinstance(term, Grouped) else ["known", "new"])).any()
                         for labels in features.status.values())]
        terms = tuple(term for term in unseen if isinstance(term, Grouped))
        if len(terms) < len(unseen) or len({term.levels.name for term in terms}) != 1:
            raise SpecificationError("predict(given=...) takes rows of groups that training never saw, by one context "
                                     f"column; in these the columns with such groups are "
                                     f"{', '.join(term.name for term in unseen) or 'none'}. Fit a frame that has these "
                                     "rows too.")
        ((name, status),) = terms[0].at(rows).status.items()
        wrong = ~np.isin(status, ["new", "empty"])
        if wrong.any():
            raise InputError(f"predict(given=...): {wrong.sum()} of {len(rows)} rows have a {name!r} that is missing "
                             f"or was trained on (rows {first(rows.index[wrong])}). Give rows of new groups only; to "
                             "learn more of the others, fit a frame that has these rows too.")
        extended = {id(term): with_groups(term, rows) for term in terms}
        widened = replace(bound, terms=tuple(extended.get(id(piece), piece) for piece in bound.terms),
                          nonlinear=tuple(field.with_places(rows) for field in bound.nonlinear))
        y = bound.family.outcome(outcome(bound.design.formula, rows, bound.design.outcome_state), rows)
        constants = bound.family.constants(rows)
        bound.family.must_add_up(constants, rows.index, bound.unit)
        after = tuple(extended.values())
        return cls(bound, widened, after, after[0].size - terms[0].size, rows, bound.design.at(rows), y, constants,
                   after[0].at(rows).matrix.indices)

    @property
    def size(self) -> int:
        """Number of groups, those of training included."""
        return self.terms[0].size

    def shared(self, values: Mapping[str, Any], in_group: np.ndarray) -> np.ndarray:
        """Return the linear predictors of some rows without their group's own weights, (draw, row, predictor)."""
        features, complete = self.bound.features_at(self.rows[in_group]), dict(values)
        for term in self.terms:
            draws, _, varying = values[f"{term.name}_effect"].shape
            complete[f"{term.name}_effect"] = extended(values[f"{term.name}_effect"],
                                                       np.zeros((draws, self.new, varying)))
        theta = self.bound.theta(complete, features, int(in_group.sum()))
        return self.bound.eta_of(theta, self.x[in_group])

    def loadings(self, values: Mapping[str, Any], in_group: np.ndarray) -> np.ndarray:
        """Return how a new group's whitened weights move its rows, (draw, row, predictor, weight)."""
        x = self.x[in_group]
        return np.concatenate([whitened(term, apart(self.bound, x, term.positions), values, 0)
                               for term in self.terms], axis=-1)

    def group_weights(self, values: Mapping[str, Any], code: int, rng: np.random.Generator) -> GroupWeights:
        """Return the weights of one new group given its rows, at draws of the trained parameters and of functions."""
        in_group = self.codes == code
        features, eta = self.bound.features_at(self.rows[in_group]), self.bound.single(self.shared(values, in_group))
        sigma = self.bound.family.error_parameter
        error = np.broadcast_to(self.constants[in_group] if sigma is None else values[sigma][:, None], eta.shape)
        residual = (self.y[in_group] - eta) / error
        own = self.loadings(values, in_group)[:, :, 0] / error[..., None]
        lower = np.linalg.cholesky(np.eye(own.shape[-1]) + own.mT @ own)
        constant = -np.log(error).sum(axis=1) - 0.5 * in_group.sum() * np.log(2 * np.pi)
        branches = self.bound.branches(values, features, self.x[in_group], np)
        if branches is not None:
            added = self.bound.single(branches[1]) / error[..., None]
            means, logs = branched(residual, own, branches[0], added, rng)
            return GroupWeights(means, logs, lower, logsumexp(logs, axis=1) + constant)
        whitened = np.linalg.solve(lower, own.mT @ residual[..., None])
        evidence = (0.5 * (whitened[..., 0] ** 2).sum(axis=1) - 0.5 * (residual**2).sum(axis=1)
                    - np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1))
        mean = np.linalg.solve(lower.mT, whitened)[..., 0]
        return GroupWeights(mean[:, None], np.zeros((len(mean), 1)), lower, evidence + constant)

    def drawn(self, values: Mapping[str, Any], code: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw the whitened weights of one new group given its rows, (draw, weight), and return the log evidence of
        these rows, (draw,), at draws of the trained parameters and of functions."""
        if self.bound.family.gaussian:
            group = self.group_weights(values, code, rng)
            return group.draw(rng), group.log_evidence
        in_group = self.codes == code
        integrand = Integrand(self.bound.family, self.y[in_group], self.constants[in_group],
                              self.bound.family_values(values, axes=0), self.shared(values, in_group),
                              self.loadings(values, in_group), STEP * self.bound.predictor_units)
        return integrand.drawn(rng)

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
        drawn = [self.drawn(values, code, rng) for code in range(self.size - self.new, self.size)]
        z, complete, end = np.stack([own for own, _ in drawn], axis=1), dict(values), 0
        for term in self.terms:
            start, end = end, end + len(term.positions)
            effects = weights(term, values, z[..., start:end], np)
            name, to_data = f"{term.name}_effect", self.bound.coefficients.to_data_units(term.positions)
            complete[name] = extended(values[name], effects @ to_data)
        evidence = np.sum([each for _, each in drawn], axis=0)
        weighted = Weighted.of(np.arange(count)[:, None], evidence, np.zeros(count))
        # ArviZ returns NaN where a single draw has all the weight.
        if not (weighted.pareto_k <= LARGEST_K and weighted.ess >= LEAST_ESS):
            warn("predict(given=...): the given rows change what is known of all groups so much that "
                 f"weighting draws does not reach it (Pareto k {weighted.pareto_k:.2f}, at most {LARGEST_K}; "
                 f"effective draws {weighted.ess:.0f}, at least {LEAST_ESS:.0f}). Fit a frame that has these "
                 "rows too.", ConvergenceWarning)
        chosen = weighted.resample(count, rng)[:, 0]
        return {variable: value[chosen] for variable, value in complete.items()}


def with_groups(term: Grouped, rows: Any) -> Grouped:
    """Return the term with the groups of the rows after its own."""
    of_term: Any = term
    return replace(of_term, levels=term.levels.extended(rows))
