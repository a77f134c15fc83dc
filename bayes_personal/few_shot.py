"""New groups from a few rows of their own: exact given each draw, and nothing is fitted again."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, final

import numpy as np

from bayes_personal.bound import Bound
from bayes_personal.data import table
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError, first
from bayes_personal.inference.importance import Weighted
from bayes_personal.priors.base import weights
from bayes_personal.priors.levels import Grouped
from bayes_personal.terms import outcome

# Above that k, and with fewer effective draws, they say too little of a posterior that also knows the new rows.
LARGEST_K, LEAST_ESS = 0.7, 100.0


class Own(NamedTuple):
    """What a group's rows say of its whitened weights at every draw: z ~ Normal(mean, (L L')^-1).

    Attributes
    ----------
    mean : (draw, varying)
    lower : L, (draw, varying, varying)
    log_evidence : log p(rows | all that the draw says of what groups share), (draw,)
    """

    mean: np.ndarray
    lower: np.ndarray
    log_evidence: np.ndarray

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One z a draw, (draw, varying)."""
        normal = rng.standard_normal((*self.mean.shape, 1))
        return self.mean + np.linalg.solve(self.lower.mT, normal)[..., 0]


@final
@dataclass(frozen=True, eq=False)
class FewShot:
    """Rows of groups that training never saw.

    Attributes
    ----------
    bound : the model, in which `term` has these groups behind those of training
    term : the one whose groups they are
    new : how many of its groups are new
    x, y, known : the rows' predictors, outcomes and known constants
    codes : which of the term's groups each row is of
    """

    bound: Bound
    term: Grouped
    new: int
    rows: Any
    x: np.ndarray
    y: np.ndarray
    known: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, bound: Bound, given: Any) -> Self:
        """Check that rows are such rows."""
        if bound.tuned is not None:
            raise SpecificationError("predict(given=...) counts draws by how well they predicted the rows, which would "
                                     f"inform the population that {bound.tuned.prior!r} freezes. Fit a frame that has "
                                     "these rows too, or take freeze=None.")
        if not bound.family.gaussian:
            raise SpecificationError(f"predict(given=...) needs a Normal family; got {bound.family!r}. Fit a frame "
                                     "that has these rows too.")
        rows = table(given)
        read = list(zip(bound.pieces, bound.features_at(rows), strict=True))
        unseen = [term for term, one in read if any((each != "known").any() for each in one.status.values())]
        if len(unseen) != 1 or not isinstance(unseen[0], Grouped):
            raise SpecificationError("predict(given=...) takes rows of groups that training never saw, by one context "
                                     f"column; in these the columns with such groups are "
                                     f"{', '.join(term.name for term in unseen) or 'none'}. Fit a frame that has these "
                                     "rows too.")
        (term,) = unseen
        ((name, status),) = term.at(rows).status.items()
        wrong = ~np.isin(status, ["new", "empty"])
        if wrong.any():
            raise InputError(f"predict(given=...): {wrong.sum()} of {len(rows)} rows have a {name!r} that is missing "
                             f"or was trained on (rows {first(rows.index[wrong])}). Give rows of new groups only; to "
                             "learn more of the others, fit a frame that has these rows too.")
        of_term: Any = term
        extended = replace(of_term, levels=term.levels.extended(rows))
        widened = replace(bound, terms=tuple(extended if one is term else one for one in bound.terms))
        y = bound.family.outcome(outcome(bound.design.formula, rows, bound.design.outcome_state), rows)
        known = bound.family.known(rows)
        bound.family.must_add_up(known, rows.index, bound.unit)
        return cls(widened, extended, extended.size - term.size, rows, bound.design.at(rows), y, known,
                   extended.at(rows).matrix.indices)

    def own(self, values: Mapping[str, Any], code: int) -> Own:
        """What the rows of one new group say of its weights at draws of all that was trained on."""
        of = self.codes == code
        effect = f"{self.term.name}_effect"
        trained = np.asarray(values[effect])
        nothing = np.zeros((len(trained), self.new, trained.shape[2]))
        shared = self.bound.theta({**values, effect: np.concatenate([trained, nothing], axis=1)},
                                  self.bound.features_at(self.rows[of]), int(of.sum()))
        eta = np.einsum("snk,nk->sn", shared, self.x[of])
        own = {each.name: values[each.name][:, None] for each in self.bound.family.parameters(self.bound.unit)}
        _, likelihood = self.bound.family.likelihood(eta, own, self.known[of], np)
        error = np.broadcast_to(likelihood["sigma"], eta.shape)
        residual = (self.y[of] - eta) / error
        scale, root = self.term.scales(values, np)
        loadings = self.bound.coefficients.predictors(self.x[of], self.term.positions) * scale
        if root is not None:
            loadings = loadings @ root
        loadings = loadings / error[..., None]
        lower = np.linalg.cholesky(np.eye(loadings.shape[-1]) + loadings.mT @ loadings)
        half = np.linalg.solve(lower, loadings.mT @ residual[..., None])
        evidence = (0.5 * (half[..., 0] ** 2).sum(axis=1) - 0.5 * (residual**2).sum(axis=1) - np.log(error).sum(axis=1)
                    - np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1) - 0.5 * of.sum() * np.log(2 * np.pi))
        return Own(np.linalg.solve(lower.mT, half)[..., 0], lower, evidence)

    def learned(self, values: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws that know the new rows: of the new groups' effects, and of all else in proportion to how well it
        predicted these rows."""
        found = [self.own(values, code) for code in range(self.term.size - self.new, self.term.size)]
        z = np.stack([one.draw(rng) for one in found], axis=1)
        name, count = f"{self.term.name}_effect", len(z)
        fresh = weights(self.term, values, z, np) @ self.bound.coefficients.to_data_units(self.term.positions)
        complete = {**values, name: np.concatenate([values[name], fresh], axis=1)}
        evidence = np.sum([one.log_evidence for one in found], axis=0)
        weighted = Weighted.of(np.arange(count)[:, None], evidence, np.zeros(count))
        # ArviZ says NaN where a single draw has all the weight.
        if not (weighted.pareto_k <= LARGEST_K and weighted.ess >= LEAST_ESS):
            warnings.warn("predict(given=...): the given rows change what is known of all groups so much that "
                          f"weighting draws does not reach it (Pareto k {weighted.pareto_k:.2f}, at most {LARGEST_K}; "
                          f"effective draws {weighted.ess:.0f}, at least {LEAST_ESS:.0f}). Fit a frame that has these "
                          "rows too.", ConvergenceWarning, stacklevel=4)
        chosen = weighted.resample(count, rng)[:, 0]
        return {each: value[chosen] for each, value in complete.items()}
