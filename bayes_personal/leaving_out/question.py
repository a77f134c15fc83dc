"""The plan of `loo`: what is left out one by one, from which draws, and by which integrals."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import arviz_stats
import numpy as np
import pandas as pd

from bayes_personal.binding.own_weights import FEWEST, Advance, stride
from bayes_personal.data.columns import spelled
from bayes_personal.data.rows import InMemory, rows_at
from bayes_personal.densities.divided_left_out import DividedLeftOut
from bayes_personal.densities.expanded_divisions import expands
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.linearised.left_out import LeftOutRows, leaves_out
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.errors import (
    InputError,
    InputTypeError,
    SpecificationError,
    did_you_mean,
    shown,
)
from bayes_personal.leaving_out import left_out
from bayes_personal.leaving_out.group_integral import GroupIntegral
from bayes_personal.leaving_out.left_out import LeftOut
from bayes_personal.leaving_out.line_integral import LineIntegral
from bayes_personal.leaving_out.refit import SHORT_WALK, ApproximatedRefits, ExplicitRefits, MarginalRefits
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.samplers.corrected_walk import walks_under_pseudo_data
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.samplers.redrawn import all_draws
from bayes_personal.system.arguments import one_of

Kind = Literal["unit", "group", "conditional"]
QUESTIONS = {"unit": "How well is a new row predicted, its own theta_i integrated out?",
             "group": "How well is a new group predicted, all of its rows at once?",
             "conditional": "CONDITIONAL on each row's own theta_i, which has seen the row: optimistic where theta_i "
                            "leans on it."}
# Of networks whose nodes depend on all others.
PSEUDO = "PSEUDO-LIKELIHOOD of nodes given all others, no density of rows:"

FEWEST_DRAWS = 25
# Numbers that all draws may take to leave out all rows, above which draws are thinned.
BUDGET = 2e8
# Draws at which divisions are summed out of rows whose Pareto k is too high with drawn ones.
SUMMED = 125
# Draws to which rows are left out anew whose Pareto k is too high with fewer.
MORE = 2000


@final
@dataclass(frozen=True, eq=False)
class LeaveOutPlan:
    """The rows or groups to leave out one by one, and the draws and densities to do it with.

    Attributes
    ----------
    kind, by : arguments of `loo`
    density : the model with all but its hyperparameters integrated out; None where they do not integrate out
    values : draws of all variables, flat over chains; thinned evenly where quadrature is dear
    draws : positions of these draws in each chain
    chains : number of chains
    removed, rows : for each group, if groups are left out, what `density` must know to do without it; without a
        density, the positions of its rows
    integral : integral over the groups' own weights, where the weights do not integrate out
    approximated : rows left out under pseudo-data, where these stand for the rows' likelihoods; None elsewhere
    divided : rows left out given divisions, where cells do not integrate out; None elsewhere
    refit_all : whether densities given the draws are too poor, so that each group must be refitted
    more : positions, flat over chains, of draws to which rows are left out anew whose Pareto k is too high
    """

    posterior: Posterior
    kind: Kind
    by: str | None
    density: MarginalDensity | None
    values: Mapping[str, np.ndarray]
    draws: np.ndarray
    chains: int
    removed: Mapping[Hashable, Any]
    rows: Mapping[Hashable, np.ndarray]
    integral: GroupIntegral
    approximated: LeftOutRows | None
    divided: DividedLeftOut | None
    refit_all: bool
    more: np.ndarray

    @classmethod
    def of(cls, posterior: Posterior, kind: Kind, by: str | None, refit: bool | NUTS,
           fewest: float = FEWEST) -> "LeaveOutPlan":
        """Check the arguments of `loo`, and plan; draws are thinned to the fewest or more of them."""
        must_be_fitted("loo", posterior)
        one_of("loo", QUESTIONS, kind=kind)
        if not isinstance(by, str | None):
            raise InputTypeError(f"loo: by={shown(by)} must be the name of a column of the training rows.")
        if (by is not None) != (kind == "group"):
            raise SpecificationError(f"loo(kind={kind!r}, by={by!r}): name the column of the groups to leave out with "
                                     "kind='group', and only then.")
        sizes, bound = posterior.tree["posterior"].sizes, posterior.bound
        if bound.second_stage is not None:
            raise SpecificationError(f"loo reweights draws of a joint posterior; under {posterior.model.prior!r} there "
                                     "is none, and without a row both stages would differ. Fit with freeze=None, or "
                                     "fit without the rows and compare with what predict says of them.")
        chains, draws = sizes["chain"], np.arange(sizes["draw"])
        if chains * len(draws) < FEWEST_DRAWS:
            raise SpecificationError(f"loo: the posterior has {chains * len(draws)} draws in all; smoothing the tail "
                                     f"of their weights needs {FEWEST_DRAWS}, and thousands to be precise. Fit with "
                                     "more draws.")
        density, values = marginal_density(bound), all_draws(bound, posterior.tree)
        check(refit, kind, density is not None)
        if expands(bound):
            must_not_refit(posterior, kind, refit)
        removed: Mapping[Hashable, Any] = {}
        rows: Mapping[Hashable, np.ndarray] = {}
        integral, refit_all = GroupIntegral(bound, ()), False
        if by is not None:
            if by not in bound.rows.available:
                raise InputError(f"loo(by={by!r}): the training rows have no such column. "
                                 f"{did_you_mean(by, bound.rows.available)}")
            if density is not None:
                removed = left_out.removals_by(density, by)
            else:
                rows = left_out.rows_by(bound, by)
                integral, refit_all = over_groups(posterior, by, rows, refit)
        approximated = None
        if density is None and kind == "unit" and not left_out.shared(bound) and leaves_out(bound):
            approximated = LeftOutRows.of(bound, values, chains * len(draws))
        divided = DividedLeftOut(bound, values, chains * len(draws)) if expands(bound) and kind == "unit" else None
        more, work = np.arange(0, chains * len(draws), max(1, chains * len(draws) // MORE)), 0.0
        if density is not None and kind == "unit":
            work = density.leave_one_out_work
        elif rows:
            work = integral.work(list(rows.values()))
        elif approximated is not None:
            work = approximated.work
        elif divided is not None:
            work = divided.work
        elif kind == "unit" and not left_out.shared(bound):
            work = LineIntegral(bound).work
        if work:
            draws = draws[:: stride(work, chains, len(draws), BUDGET, fewest)]
            chosen = (np.arange(chains)[:, None] * sizes["draw"] + draws).ravel()
            values = {name: value[chosen] for name, value in values.items()}
            if approximated is not None:
                approximated = approximated.of_draws(chosen)
            if divided is not None:
                divided = replace(divided, values=values, count=len(chosen))
        if approximated is not None and not approximated.within_reach:
            approximated = None
        return cls(posterior, kind, by, density, values, draws, chains, removed, rows, integral, approximated,
                   divided, refit_all, more)

    @property
    def count(self) -> int:
        """Number of draws."""
        return self.chains * len(self.draws)

    @property
    def thinned(self) -> bool:
        """Whether the posterior has more draws."""
        return len(self.draws) < self.posterior.tree["posterior"].sizes["draw"]

    @property
    def groups(self) -> list[Hashable]:
        """Labels of the groups that are left out; empty where rows are left out."""
        return [*self.removed, *self.rows]

    @property
    def dimension(self) -> str:
        """Name of the dimension of the rows or groups."""
        return "left_out" if self.groups else "unit"

    @property
    def as_new_environment(self) -> bool:
        """Whether groups are environments, each predicted as an unseen environment."""
        term = self.posterior.bound.elsewhere
        return term is not None and self.by == term.label

    @property
    def noun(self) -> str:
        """The word for what is left out."""
        return "groups" if self.groups else "rows"

    @property
    def labels(self) -> pd.Index:
        """Labels of the rows or groups that are left out one by one."""
        return pd.Index(self.groups, tupleize_cols=False) if self.groups else self.posterior.bound.rows.index

    @property
    def coordinate(self) -> list[Any] | np.ndarray:
        """The labels as a coordinate of xarray."""
        return list(spelled(self.groups)) if self.groups else self.posterior.bound.units

    @property
    def efficiency(self) -> float:
        """Effective draws of the hyperparameters over draws, as ArviZ defines it."""
        return efficiency(self.posterior, self.draws)

    @property
    def evidence(self) -> tuple[float, float] | None:
        """The log of the evidence of all rows, and its standard error, where importance sampling made the posterior."""
        if "importance" not in self.posterior.tree:
            return None
        told = self.posterior.tree["importance"].attrs
        return (told["log_evidence"], told["log_evidence_se"]) if "log_evidence" in told else None

    @property
    def approximated_rows(self) -> LeftOutRows | None:
        """Pseudo-data of rows in memory, where these may stand for their likelihoods; None elsewhere."""
        bound = self.posterior.bound
        if not (leaves_out(bound) and isinstance(bound.rows, InMemory)):
            return None
        rows = self.approximated or LeftOutRows.of(bound, self.values, self.count)
        return rows if rows.within_reach else None

    @property
    def at_more_draws(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Function from positions of rows, in ascending order, to their densities at more draws, (draw, position); None
        where there are no more draws, or where few rows cost as much as all."""
        density, approximated, count = self.density, self.approximated, len(self.more)
        if self.divided is not None:
            return self._summed
        cheap = approximated is not None or (density is not None and density.few_rows_are_cheap)
        if self.kind != "unit" or not cheap or self.count >= count:
            return None

        def densities(places: np.ndarray) -> np.ndarray:
            bound = self.posterior.bound
            values = {name: value[self.more] for name, value in all_draws(bound, self.posterior.tree).items()}
            if approximated is not None:
                return replace(approximated, values=values, count=count).few(places)
            assert density is not None
            return density.left_out_and_in(values, count)(rows_at(bound.rows, places)).left_out

        return densities

    def _summed(self, places: np.ndarray) -> np.ndarray:
        """Return densities of rows with divisions summed out too, at fewer draws, (draw, position)."""
        assert self.divided is not None
        chosen = np.unique(np.linspace(0, self.count - 1, min(SUMMED, self.count)).astype(int))
        values = {name: value[chosen] for name, value in self.values.items()}
        return replace(self.divided, values=values, count=len(chosen)).few(places)

    def parts(self, advance: Advance) -> Iterator[LeftOut]:
        """Yield the log densities, a part at a time."""
        bound = self.posterior.bound
        if self.kind == "conditional":
            return left_out.conditional(bound, self.values, self.count, advance)
        if self.density is not None:
            if self.as_new_environment:
                return left_out.environments(bound, self.values, self.count, advance)
            if self.removed:
                return left_out.groups(self.density, self.values, self.removed, advance)
            return left_out.units(self.density, self.values, self.count, advance)
        if self.divided is not None:
            return left_out.divided(self.divided, advance)
        if self.rows:
            return left_out.integrals(self.integral, self.values, list(self.rows.values()), advance)
        if left_out.shared(bound):
            return left_out.conditional(bound, self.values, self.count, advance)
        if self.approximated is not None:
            return left_out.approximated(self.approximated, advance)
        return left_out.lines(bound, self.values, advance)

    def refits(self, refit: bool | NUTS,
               rng: np.random.Generator) -> MarginalRefits | ApproximatedRefits | ExplicitRefits | None:
        """Return how to refit; None where no refits are wanted or possible."""
        method = refit if isinstance(refit, NUTS) else None
        if refit is False or self.kind == "conditional" or self.as_new_environment or expands(self.posterior.bound):
            return None
        # A variational fit is not the posterior.
        values = {} if "variational" in self.posterior.tree else self.values
        if self.density is not None:
            return MarginalRefits(self.density, rng, method, values, self.chains, self.evidence)
        if method is None and walks_under_pseudo_data(self.posterior.bound):
            integral = self.integral if self.rows else GroupIntegral.of_rows(self.posterior.bound)
            return ExplicitRefits(integral, rng, SHORT_WALK, values, self.chains)
        if method is None:
            rows = self.approximated_rows
            return None if rows is None else ApproximatedRefits(rows, rng, self.evidence)
        integral = self.integral if self.rows else GroupIntegral.of_rows(self.posterior.bound)
        return ExplicitRefits(integral, rng, method, values, self.chains)


def check(refit: bool | NUTS, kind: Kind, exact: bool) -> None:
    """Refuse a `refit` that is no way to refit, or none for this kind."""
    if isinstance(refit, bool):
        return
    if not isinstance(refit, NUTS):
        raise SpecificationError(f"loo(refit={shown(refit)}): must be True, False or a sampler that takes any model, "
                                 "such as bp.NUTS(draws=500).")
    if kind == "conditional":
        raise SpecificationError(f"loo(kind='conditional', refit={refit!r}): a fit without a row does not know the "
                                 "row's own theta_i. Ask for kind='unit'.")
    if exact and not (refit.collapse and refit.sampler == "nutpie"):
        raise SpecificationError(f"loo(refit={refit!r}): the weights of this model integrate out, and its refits "
                                 "sample the hyperparameters alone. Drop collapse=False and sampler='pymc'.")


def must_not_refit(posterior: Posterior, kind: Kind, refit: bool | NUTS) -> None:
    """Refuse what takes refits, where cells do not integrate out of the family."""
    reason = (f"under {posterior.model.prior!r} and {posterior.model.family!r} rows are left out one by one, without "
              "refits")
    if kind == "group":
        raise SpecificationError(f"loo(kind='group'): {reason}. Take kind='unit', or fit without a group and compare "
                                 "its rows with what predict says of them.")
    if isinstance(refit, NUTS):
        raise SpecificationError(f"loo(refit={refit!r}): {reason}. Drop refit=, or fit without a row and compare it "
                                 "with what predict says of it.")


def over_groups(posterior: Posterior, by: str, rows: Mapping[Hashable, np.ndarray],
                refit: bool | NUTS) -> tuple[GroupIntegral, bool]:
    """Return the integral over the groups' own weights, and whether every group must be refitted nevertheless."""
    if len(rows) == 1:
        raise InputError(f"loo(by={by!r}): all rows have the label {next(iter(rows))!r}, so that nothing is left "
                         "without it.")
    bound = posterior.bound
    integral = GroupIntegral.of_sets(bound, list(rows.values()))
    if integral is not None:
        return integral, False
    under_pseudo_data = refit is True and leaves_out(bound) and isinstance(bound.rows, InMemory)
    if not (isinstance(refit, NUTS) or under_pseudo_data):
        prior = posterior.model.prior
        reason = (f"under {prior!r} rows choose among alternatives, and all rows say what these are" if bound.choice
                  else f"the weights of {posterior.model.family!r} do not integrate out, and no part of {prior!r} "
                       f"gives the groups of {by!r} weights of their own, as PartialPooling({by!r}) does")
        raise SpecificationError(f"loo(kind='group', by={by!r}): {reason}. Ask for refits, a fit for each of the "
                                 f"{len(rows)} groups: refit=bp.NUTS().")
    return GroupIntegral.of_rows(bound), True


def efficiency(posterior: Posterior, draws: np.ndarray) -> float:
    """Return effective draws of the hyperparameters over draws, of some draws of each chain."""
    names = [parameter.name for parameter in posterior.bound.parameters]
    chains = posterior.tree["posterior"].sizes["chain"]
    if chains == 1 or not names:
        return 1.0
    chosen = posterior.tree["posterior"].to_dataset()[names].isel(draw=draws)
    # The function is documented, and exported by a star import.
    ess: Any = arviz_stats.ess(chosen, method="mean")  # pyright: ignore[reportPrivateImportUsage]
    return float(np.concatenate([ess[name].to_numpy().ravel() for name in names]).mean()) / (chains * len(draws))
