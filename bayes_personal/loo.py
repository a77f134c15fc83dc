"""Leave-one-out cross-validation with theta_i integrated out."""

import warnings
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base.array import array_stats
from arviz_stats.utils import ELPDDataLOO
from rich.progress import Progress

from bayes_personal.arguments import flag
from bayes_personal.data import spelled
from bayes_personal.errors import (
    ConvergenceWarning,
    InputError,
    NotFittedError,
    SpecificationError,
    did_you_mean,
    first,
)
from bayes_personal.inference import left_out
from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.draws import flat
from bayes_personal.inference.left_out import Part
from bayes_personal.inference.line import LineIntegral
from bayes_personal.inference.refit import Refit, Refitter
from bayes_personal.inference.statistics import Statistics, collapses
from bayes_personal.posterior import Posterior

Kind = Literal["unit", "group", "conditional"]
QUESTIONS = {"unit": "How well is a new row predicted, its own theta_i integrated out?",
             "group": "How well is a new group predicted, all of its rows at once?",
             "conditional": "CONDITIONAL on each row's own theta_i, which has seen the row: optimistic where theta_i "
                            "leans on it."}

FEWEST = 25
# Log densities that differ by less are the same.
EQUAL = 1e-10
# Of a refit: Monte Carlo error, and effective draws, from which on its result is to be trusted.
LARGEST_ERROR, LEAST_ESS = 0.1, 100.0


@final
@dataclass(kw_only=True)
class ELPD(ELPDDataLOO):
    """ArviZ's result, with the question that it answers.

    Attributes
    ----------
    question : in words
    conditioning : "unit", "group" or "conditional"
    refits : of each row or group that was refitted, its Pareto k and elpd before, elpd after, the Monte Carlo error of
        that and the effective sample size it rests on
    """

    question: str
    conditioning: str
    refits: pd.DataFrame

    def __str__(self) -> str:
        refitted = f"\n{len(self.refits)} refitted exactly." if len(self.refits) else ""
        return f"{self.question}\n{ELPDDataLOO.__str__(self)}{refitted}"

    def __repr__(self) -> str:
        return str(self)


def loo(posterior: Posterior, *, kind: Kind = "unit", by: str | None = None, refit: bool = True,
        seed: int | None = 0, progress: bool = True) -> ELPD:
    """Expected log predictive density of a row left out, by Pareto-smoothed importance sampling.

    ``log p(y_i | theta_i)`` is the wrong thing to reweight where theta_i leans on y_i itself: its importance weights
    have no variance, and the estimate is optimistic. ``kind="unit"`` integrates theta_i out given the other rows
    first, so that only what many rows share is reweighted:

    - where the weights integrate out (a Normal family with Normal hyperprior of the mean): ``p(y_i | y_-i, phi)``
      exactly. Rows whose Pareto k is too high all the same are left out in earnest: their part of the sums over rows is
      taken away, and the hyperparameters are sampled anew;
    - otherwise, by quadrature: along the direction in which the weights of the row's own group move with eta_i (of all
      weights, where no context has groups), given everything else. Its cost grows with the sum of squared group sizes,
      or with the square of the number of rows; draws are thinned evenly to 250 or more to keep it bounded.

    ``kind="group"`` leaves out all rows of a group together, which is how well a new group is predicted.

    Parameters
    ----------
    posterior
        A fitted model.
    kind
        "unit"; "group"; or "conditional" for ``p(y_i | theta_i)``, which the result then says.
    by
        Column of the groups to leave out, with ``kind="group"``: any column of the training rows.
    refit
        Whether to refit without each row, or group, whose Pareto k is too high, where the weights integrate out.
    seed
        Of the refits; by default the same in every call, so that results compare.
    progress
        Whether to show a progress bar.

    Returns
    -------
    arviz ELPDData
        With pointwise values and Pareto k (0 where it was refitted), the `question` that it answers, and `refits`.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    SpecificationError
        An unknown kind, fewer than 25 draws, `by` without ``kind="group"`` or the reverse, groups left out of a model
        whose weights do not integrate out.
    InputError
        No such column, or a missing label in it.

    Warns
    -----
    ConvergenceWarning
        Rows whose Pareto k is too high, and refits that rest on few effective draws.

    References
    ----------
    Vehtari, Gelman and Gabry (2017), doi:10.1007/s11222-016-9696-4. Bürkner, Gabry and Vehtari (2021),
    doi:10.1007/s00180-020-01045-4. Merkle, Furr and Rabe-Hesketh (2019), doi:10.1007/s11336-019-09679-0.
    """
    question = Question.of(posterior, kind, by)
    flag("loo", refit=refit)
    rng, chains = np.random.default_rng(seed), question.chains
    refitter = Refitter(question.density, rng) if refit and question.exact else None
    labels = question.labels
    elpd, k, p = (np.empty(len(labels)) for _ in range(3))
    refits: dict[int, tuple[float, float, Refit]] = {}
    good, efficiency = min(1 - 1 / np.log10(question.count), 0.7), question.efficiency
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("leave one out", total=len(labels))
        for part in question.parts(progress):
            at = part.places
            elpd[at], k[at], p[at] = smoothed(part.densities, chains, efficiency)
            for entry, place in enumerate(at):
                if refitter is not None and not k[place] <= good:
                    found = refitter.without(part.left_out(question.density, entry))
                    refits[int(place)] = float(k[place]), float(elpd[place]), found
                    p[place] += elpd[place] - found.elpd
                    elpd[place], k[place] = found.elpd, 0.0
            bar.advance(task, len(at))
    table = pd.DataFrame([(before, was, each.elpd, each.se, each.ess) for before, was, each in refits.values()],
                         columns=["pareto_k", "elpd_before", "elpd", "se", "ess"],
                         index=labels[list(refits)] if refits else labels[:0])
    warn(k, good, labels, table, question.noun)
    coords = {question.dimension: question.coordinate}
    elpd_i, pareto_k = (xr.DataArray(each, dims=[question.dimension], coords=coords) for each in (elpd, k))
    se = float(np.sqrt(len(elpd) * elpd.var(ddof=1))) if len(elpd) > 1 else np.nan
    return ELPD(elpd=float(elpd.sum()), se=se, p=float(p.sum()),
                n_samples=question.count, n_data_points=len(elpd), scale="log", warning=bool((k > good).any()),
                good_k=float(good), elpd_i=elpd_i, pareto_k=pareto_k, question=QUESTIONS[kind], conditioning=kind,
                refits=table)


@final
@dataclass(frozen=True, eq=False)
class Question:
    """What is left out, and of what.

    Attributes
    ----------
    kind, by : what `loo` was asked
    density : the model with its weights integrated out, where they do
    exact : whether they do
    values : draws of all variables, flat over chains; thinned evenly where quadrature is dear
    chains, count : of them
    sums : over the rows of each group
    """

    posterior: Posterior
    kind: Kind
    density: Collapsed
    exact: bool
    values: Mapping[str, np.ndarray]
    draws: np.ndarray
    chains: int
    sums: Mapping[Hashable, Statistics]

    @classmethod
    def of(cls, posterior: Posterior, kind: Kind, by: str | None) -> "Question":
        """Check what was asked."""
        if not isinstance(posterior, Posterior):
            raise NotFittedError(f"loo needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
        if kind not in QUESTIONS:
            raise SpecificationError(f"loo(kind={kind!r}): must be {', '.join(map(repr, QUESTIONS))}.")
        if (by is not None) != (kind == "group"):
            raise SpecificationError(f"loo(kind={kind!r}, by={by!r}): name the column of the groups to leave out with "
                                     "kind='group', and only then.")
        sizes, bound = posterior.tree["posterior"].sizes, posterior.bound
        chains, draws = sizes["chain"], np.arange(sizes["draw"])
        if chains * len(draws) < FEWEST:
            raise SpecificationError(f"loo: the posterior has {chains * len(draws)} draws in all; smoothing the tail "
                                     f"of their weights needs {FEWEST}, and thousands to be precise. Fit with more "
                                     "draws.")
        density, values, exact = Collapsed(bound), flat(posterior.tree), collapses(bound)
        sums: dict[Hashable, Statistics] = {}
        if by is not None:
            if not exact:
                raise SpecificationError(f"loo(kind='group'): the weights of {posterior.model.family!r} do not "
                                         "integrate out, so that whole groups cannot be left out without refitting.")
            if by not in bound.rows.columns:
                raise InputError(f"loo(by={by!r}): the training rows have no such column. "
                                 f"{did_you_mean(by, bound.rows.columns)}")
            sums = left_out.sums_by(density, by)
        if kind == "unit" and not exact:
            draws = draws[:: LineIntegral(bound).stride(chains, len(draws))]
            chosen = (np.arange(chains)[:, None] * sizes["draw"] + draws).ravel()
            values = {name: value[chosen] for name, value in values.items()}
        return cls(posterior, kind, density, exact and kind != "conditional", values, draws, chains, sums)

    @property
    def count(self) -> int:
        """How many draws."""
        return self.chains * len(self.draws)

    @property
    def dimension(self) -> str:
        """What is left out, as a dimension."""
        return "left_out" if self.sums else "unit"

    @property
    def noun(self) -> str:
        """What is left out, in words."""
        return "groups" if self.sums else "rows"

    @property
    def labels(self) -> pd.Index:
        """Of all that is left out one by one."""
        return pd.Index(list(self.sums), tupleize_cols=False) if self.sums else self.posterior.bound.rows.index

    @property
    def coordinate(self) -> list[Any] | np.ndarray:
        """The labels as a coordinate."""
        return list(spelled(self.sums)) if self.sums else np.arange(len(self.posterior.bound.rows))

    @property
    def efficiency(self) -> float:
        """Effective draws of the hyperparameters over draws, as ArviZ has it."""
        names = [each.name for each in self.posterior.bound.parameters]
        if self.chains == 1 or not names:
            return 1.0
        kept = self.posterior.tree["posterior"].to_dataset()[names].isel(draw=self.draws)
        ess: Any = arviz_stats.ess(kept, method="mean")
        return float(np.concatenate([ess[name].to_numpy().ravel() for name in names]).mean()) / self.count

    def parts(self, progress: bool) -> Iterator[Part]:
        """The log densities, a part at a time."""
        bound = self.posterior.bound
        if self.kind == "conditional":
            return left_out.conditional(bound, self.values, self.count)
        if self.sums:
            return left_out.groups(self.density, self.density.points(self.values), self.sums)
        if self.exact:
            return left_out.units(self.density, self.values, self.count)
        return left_out.lines(bound, self.values, progress)


def smoothed(densities: np.ndarray, chains: int, efficiency: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log predictive density, Pareto k and effective number of parameters of each column of log densities."""
    densities = apart(densities)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto", UserWarning)
        elpd, k, p = array_stats.loo(densities.T.reshape(densities.shape[1], chains, -1), r_eff=efficiency)
    # ArviZ fits no tail, and says NaN, where a single draw has all the weight: nothing is worse than that.
    return elpd, np.where(np.isnan(k), np.inf, k), p


def apart(densities: np.ndarray) -> np.ndarray:
    """Log densities that differ a little from draw to draw: where nothing that varies bears on a row, there is no
    tail of weights to smooth, which ArviZ refuses."""
    result = densities.copy()
    same = np.ptp(result, axis=0) <= EQUAL * (1 + np.abs(result).max(axis=0))
    result[:, same] = result[:, same].mean(axis=0) + EQUAL * np.linspace(-1, 1, len(result))[:, None]
    return result


def warn(k: np.ndarray, good: float, labels: pd.Index, refits: pd.DataFrame, noun: str) -> None:
    """Say which results are not to be trusted."""
    high = ~(k <= good)
    if high.any():
        warnings.warn(f"loo: Pareto k is above {good:.2f} in {high.sum()} of {len(k)} {noun} ({first(labels[high])}): "
                      f"these {noun} move the posterior so much that their elpd may be too good. A family with heavier "
                      "tails, such as StudentT, may suit them better.", ConvergenceWarning, stacklevel=3)
    doubtful = ((refits["se"] > LARGEST_ERROR) & (refits["ess"] < LEAST_ESS)).to_numpy()
    if doubtful.any():
        warnings.warn(f"loo: {doubtful.sum()} of {len(refits)} refits ({first(refits.index[doubtful])}) rest on few "
                      f"effective draws; their Monte Carlo error is up to {refits['se'].max():.2f}. See refits.",
                      ConvergenceWarning, stacklevel=3)


def log_likelihood(posterior: Posterior, *, kind: Literal["unit", "conditional"] = "unit",
                   progress: bool = True) -> xr.Dataset:
    """The log densities that `loo` reweights, as ArviZ's group of log likelihoods: draws times rows of them.

    ``posterior.tree["log_likelihood"] = xarray.DataTree(bp.log_likelihood(posterior))`` makes ArviZ's functions find
    them.

    Raises
    ------
    NotFittedError, SpecificationError
        As `loo` does.
    """
    question = Question.of(posterior, kind, None)
    result = np.empty((question.count, len(posterior.bound.rows)))
    for part in question.parts(progress):
        result[:, part.places] = apart(part.densities)
    coords = {"chain": np.arange(question.chains), "draw": question.draws, "unit": question.coordinate}
    array = xr.DataArray(result.reshape(question.chains, len(question.draws), -1), dims=list(coords), coords=coords)
    return xr.Dataset({"y": array}, attrs={"conditioning": kind})
