"""A permutation test of whether errors differ in size between groups, or along a context."""

from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.special import ndtri
from scipy.stats import rankdata

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import finest, levels
from bayes_personal.data.stored import OnDisk
from bayes_personal.posterior.theta import Theta

# The chance that errors of one size are said to differ.
LEVEL = 0.05
# Draws of the posterior, permutations of the rows, rows that are checked, and at least how many of each group.
DRAWS, PERMUTATIONS, ROWS, ROWS_A_GROUP = 64, 999, 5000, 20
# Waves along a context of numbers, and the parts of it that the words compare.
WAVES, PARTS = 4, 4


@final
@dataclass(frozen=True, eq=False)
class Axis:
    """A context column along which errors may differ in size.

    Attributes
    ----------
    name : name of the column
    directions : multipliers of centred scores: indicators of groups, or waves, (unit, direction)
    part : group, or quarter of the numbers, of each row, (unit,)
    labels : the parts in words
    """

    name: str
    directions: Any
    part: np.ndarray
    labels: tuple[str, ...]

    @classmethod
    def of(cls, values: pd.Series) -> "Axis | None":
        """Make the axis of a column; None where all rows have the same value, or each row has its own group."""
        measured = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if measured or pd.api.types.is_datetime64_any_dtype(values):
            return cls._of_numbers(values)
        return cls._of_groups(values)

    @classmethod
    def _of_groups(cls, values: pd.Series) -> "Axis | None":
        part, labels = pd.factorize(values.astype(object))
        if not 2 <= len(labels) < len(values):
            return None
        weight = 1 / np.sqrt(np.bincount(part))[part]
        directions = sp.csr_array((weight, part, np.arange(len(part) + 1)), shape=(len(part), len(labels)))
        return cls(str(values.name), directions, part, tuple(f"in {label!r}" for label in labels))

    @classmethod
    def _of_numbers(cls, values: pd.Series) -> "Axis | None":
        rank = values.rank().to_numpy(float) / len(values)
        if rank.min() == rank.max():
            return None
        waves = np.cos(np.pi * np.arange(1, WAVES + 1) * rank[:, None]) / np.arange(1, WAVES + 1)
        _, part = np.unique(np.minimum((rank * PARTS).astype(int), PARTS - 1), return_inverse=True)
        ends = [(values[part == k].min(), values[part == k].max()) for k in range(part.max() + 1)]
        return cls(str(values.name), waves, part, tuple(f"from {low} to {high}" for low, high in ends))

    def statistic(self, scores: np.ndarray) -> np.ndarray:
        """Return how much centred scores (..., unit) differ along the axis, (...,)."""
        return ((self.directions.T @ scores.T) ** 2).sum(axis=0)

    def extremes(self, scores: np.ndarray) -> tuple[int, int]:
        """Return the parts whose errors are most surely the largest and the smallest."""
        summed = np.bincount(self.part, scores) / np.sqrt(np.bincount(self.part))
        return int(summed.argmax()), int(summed.argmin())


@final
@dataclass(frozen=True)
class ResidualCheck:
    """Whether residuals are of one size in all groups and along all contexts, as the model says.

    At a draw of the posterior the errors ``y_i - x_i' theta_i``, divided by known standard errors where there are any,
    are draws from one distribution if the model is right: every order of them is then equally likely. The statistic of
    a column of groups is that of Klotz: squared normal scores of ``|error|`` are summed within each group, and the
    squares of these sums are added over groups; along a column of numbers the scores are multiplied by four slow waves
    in its ranks. The column with the smallest p value among permutations of the rows decides. The p value of a draw is
    exact, however few rows there are and whatever the errors' common distribution is; twice its mean over draws is a
    valid p value too.

    Of more than 5000 rows 5000 are checked: the first of files, and otherwise rows of as many groups as possible.

    Attributes
    ----------
    column : the column along which errors differ most
    p_value : p value of all columns together
    words : the finding and its remedy; empty where errors do not differ beyond chance

    References
    ----------
    Klotz (1962), doi:10.1214/aoms/1177704576. Johnson (2007), doi:10.1214/07-BA208: pivotal quantities at posterior
    draws. Vovk and Wang (2020), doi:10.1093/biomet/asaa027: means of p values.
    """

    column: str
    p_value: float
    words: str

    @classmethod
    def of(cls, theta: Theta) -> Self | None:
        """Check the posterior that theta belongs to; None where the model or its contexts leave nothing to compare."""
        bound, rng = theta.bound, np.random.default_rng(0)
        if not bound.family.additive:
            return None
        wanted = rows_to_check(bound, rng)
        frame = contexts(bound, wanted)
        axes = [axis for axis in map(Axis.of, (frame[name] for name in frame)) if axis]
        if not axes:
            return None
        sizes = np.abs(errors(theta, wanted))
        normal_scores = ndtri((1 + np.arange(1, len(wanted) + 1) / (len(wanted) + 1)) / 2) ** 2
        normal_scores -= normal_scores.mean()
        scores = np.interp(rankdata(sizes, axis=1), np.arange(1, len(wanted) + 1), normal_scores)
        shuffled = rng.permuted(np.broadcast_to(normal_scores, (PERMUTATIONS, len(normal_scores))), axis=1)
        by_chance = np.stack([axis.statistic(shuffled) for axis in axes], axis=1)
        observed = np.stack([axis.statistic(scores) for axis in axes], axis=1)
        # A statistic that no permutation changes is equal up to rounding.
        p_values = p_values_among(by_chance, observed * (1 - 1e-9))
        least_by_chance = np.min(p_values_among(by_chance, by_chance * (1 - 1e-9)), axis=1)
        joint = (1 + (least_by_chance <= p_values.min(axis=1)[:, None]).sum(axis=1)) / (1 + PERMUTATIONS)
        worst = int(p_values.mean(axis=0).argmin())
        p_value = min(1.0, 2 * float(joint.mean()))
        words = description(bound, axes[worst], scores.mean(axis=0), sizes, p_value) if p_value <= LEVEL else ""
        return cls(axes[worst].name, p_value, words)


def p_values_among(by_chance: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the p values of statistics (case, axis) among those by chance (permutation, axis)."""
    ordered = np.sort(by_chance, axis=0)
    below = [np.searchsorted(ordered[:, k], observed[:, k]) for k in range(observed.shape[1])]
    return (1 + len(ordered) - np.stack(below, axis=1)) / (1 + len(ordered))


def rows_to_check(bound: BoundModel, rng: np.random.Generator) -> np.ndarray:
    """Choose the positions of the rows to check, without a look at their outcomes."""
    count, place = len(bound.rows), finest(bound)
    if count <= ROWS or isinstance(bound.rows, OnDisk):
        return np.arange(min(count, ROWS))
    codes = np.zeros(count, int) if place is None else levels(bound, place)
    sizes = np.bincount(codes)
    order = np.lexsort((rng.permutation(count), rng.permutation(len(sizes))[codes]))
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    within = np.arange(count) - np.repeat(first, np.diff(first, append=count))
    return np.sort(order[within < max(ROWS // len(sizes), ROWS_A_GROUP)][:ROWS])


def contexts(bound: BoundModel, wanted: np.ndarray) -> pd.DataFrame:
    """Return the context columns at some rows, in ascending order."""
    names = list(dict.fromkeys(name for piece in bound.pieces for name in piece.prior.columns))
    parts = []
    for batch in bound.rows.batches():
        if batch.start > wanted[-1]:
            break
        rows = wanted[slice(*np.searchsorted(wanted, [batch.start, batch.start + len(batch)]))] - batch.start
        parts.append(batch.frame[names].iloc[rows])
    return pd.concat(parts)


def errors(theta: Theta, wanted: np.ndarray) -> np.ndarray:
    """Return the errors of some rows at some draws, divided by standard errors that are known or vary, (draw, unit)."""
    total = int(np.prod(theta.sizes))
    draws = np.linspace(0, total - 1, min(DRAWS, total)).astype(int)
    parts = []
    for places, part in theta.rows.parts(wanted):
        eta = theta.bound.eta_of(theta.theta(draws, places, part), part.x)
        scale = np.exp(eta[..., 1]) if theta.bound.log_scales else part.constants
        parts.append((part.y - eta[..., 0]) / scale)
    return np.concatenate(parts, axis=1)


def description(bound: BoundModel, axis: Axis, scores: np.ndarray, sizes: np.ndarray, p_value: float) -> str:
    """State the finding and its remedy."""
    squares = (sizes**2).mean(axis=0)
    large, small = axis.extremes(scores)
    size = [f"{np.sqrt(squares[axis.part == k].mean()):.3g}" for k in (large, small)]
    if bound.log_scales:
        unit, remedy = " scales", (f"Sigma varies otherwise than its prior says: let it vary along {axis.name!r} too.")
    elif bound.family_parameters:
        groups = isinstance(axis.directions, sp.csr_array)
        prior = f"{'PartialPooling' if groups else 'GaussianProcess'}({axis.name!r})"
        shared = bound.division is not None or any(term.grouped and axis.name in term.features for term in bound.terms)
        unit, remedy = "", ("The model has one sigma for all rows: intervals of theta are too narrow where errors are "
                            "large, and too wide where they are small. Let it vary, with family="
                            f"{type(bound.family).__name__}(sigma=Varying({'' if shared else prior})), give known "
                            "errors to Normal(sd=...), or transform the outcome, for example to its logarithm.")
    else:
        unit, remedy = " standard errors", "Correct the standard errors that the model was given."
    return (f"errors differ in size along {axis.name!r} (p = {p_value:.2g}): root mean square {size[0]}{unit} "
            f"{axis.labels[large]}, {size[1]}{unit} {axis.labels[small]}. {remedy} If theta cannot follow the outcome "
            "where errors are large, let more coefficients vary first.")
