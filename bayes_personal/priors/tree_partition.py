"""TreePartition: coefficients are constant within boxes of several contexts, which nobody has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import pandas as pd

from bayes_personal.data import context
from bayes_personal.data.context import Context
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.divided import law_in_words, law_of_cells
from bayes_personal.priors.parts.division import Division
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.in_context import InContext
from bayes_personal.priors.parts.pieces import Piece
from bayes_personal.system.arguments import whole_number

# Default depth by the number of readings; with more readings there would be too many boxes.
DEPTHS = {1: 10, 2: 8, 3: 7, 4: 6, 5: 6, 6: 5, 7: 5, 8: 5}

# Less than the smallest difference between a chance and 1 in floating point.
ROUNDED = 2.0**-56

# Draws times rows times leaves that are compared at once.
NUMBERS = 2**22


@final
@dataclass(frozen=True, repr=False)
class TreePartition(InContext):
    """Coefficients are constant within boxes of contexts, made by halving again and again; which ones is not known.

    Generative story: a box of contexts is halved with probability ``split``, along each axis alike, where it has as
    many training contexts below the cut as above, in quantiles of that context; the halves are then halved in turn, up
    to `depth` times. What is not halved is a leaf, and all rows in a leaf share ``theta = mu + d``, with
    ``d_k ~ Normal(0, scale_k)``, independently for each leaf and coefficient; for Poisson, Bernoulli and Binomial under
    ``"y ~ 1"`` d follows the conjugate distribution with about that standard deviation, as in `Partition`. A box whose
    rows are all in one finest cell, or that has none, is always a leaf. ``split ~ Beta(1, 1)``.
    A categorical context has an axis for each level. Where the intercept varies, it is that at the predictors' means.

    Under a Normal family, and for those counts, all trees and what leaves have of their own are summed out exactly:
    `NUTS` and `Laplace` move over the hyperparameters alone, and trees are drawn afterwards from their exact
    conditional. Elsewhere trees are summed out where every box's log likelihood is a parabola, and `Laplace` corrects
    its draws by the rows' own likelihoods, as in `Partition`. The posterior mean averages over trees. A new context is
    in the leaf whose box it lies in; far outside the training range that is the outermost one.

    Right for effects that jump where several contexts cross thresholds, interactions included. Fails where effects
    change smoothly, or along a slanted boundary, which boxes follow in a staircase. Thresholds that are no binary
    fractions of the quantiles take several halvings to reach. Cost grows with the number of rows times that of the ways
    to halve the axes: half a minute for 2000 rows and two contexts.

    Parameters
    ----------
    *contexts
        Columns of numbers, dates, text or categories: up to 8 readings in all, of which a categorical column has one a
        level.
    on
        Coefficients that vary; all by default.
    scale
        Hyperprior of ``scale_k``, in units of outcome / predictor, or of the linear predictor for counts.
    depth
        Halvings from the whole to the smallest box; by default 10 for one reading, 8 for two, 7, 6, 6 and 5 for more.

    Raises
    ------
    SpecificationError
        An unknown coefficient, a hyperprior that can be negative, more than 8 readings, a depth that is not between 1
        and 16; a family of several linear predictors, or one whose likelihood is not compiled, out of which leaves do
        not integrate; another summand beside it.
    InputError, InputTypeError
        A context that is missing, infinite, or the same in all rows.

    References
    ----------
    Wong and Ma (2010), doi:10.1214/09-AOS755. Chipman, George and McCulloch (1998),
    doi:10.1080/01621459.1998.10473750.
    """

    kind: ClassVar = "tree"
    contexts: tuple[str, ...]
    on: tuple[str, ...] | list[str] | str | None = None
    scale: Hyperprior = NATURAL_SCALE
    depth: int | None = None

    def __init__(self, *contexts: str, on: tuple[str, ...] | list[str] | str | None = None,
                 scale: Hyperprior = NATURAL_SCALE, depth: int | None = None) -> None:
        self.hold(contexts=contexts, on=as_names(on), scale=scale, depth=depth)
        owner = self.owner
        must_be_positive(owner, scale=scale)
        if depth is not None:
            whole_number(owner, 1, depth=depth)
            if depth > 16:
                raise SpecificationError(f"{owner}: depth={depth} would tell 2^{depth} intervals apart; at most 16.")

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        owner = self.owner
        law = law_of_cells(owner, coefficients)
        contexts = context.learn(frame, self.contexts, owner)
        readings = np.concatenate([column.at(frame) for column in contexts], axis=1)
        if readings.shape[1] not in DEPTHS:
            raise SpecificationError(f"{owner}: the contexts have {readings.shape[1]} readings, a categorical one a "
                                     f"level; boxes can be halved along {max(DEPTHS)} at most. Leave some out, or use "
                                     "Contextualized or GaussianProcess.")
        depth = self.depth or DEPTHS[readings.shape[1]]
        cuts = np.stack([quantile_cuts(values, depth) for values in readings.T])
        codes = np.stack([np.searchsorted(cut, values, side="right")
                          for cut, values in zip(cuts, readings.T, strict=True)], axis=1)
        return (Boxes(self, contexts, cuts, codes, depth, law, coefficients.select(self.on, owner), coefficients),)

    @property
    def linear(self) -> bool:
        return False

    @property
    def deviation(self) -> str:
        return restricted(f"d[box of {', '.join(self.contexts)}]", self.on)

    def story(self) -> tuple[str, ...]:
        return self.story_under(None)

    def story_under(self, conjugate: Conjugate | None) -> tuple[str, ...]:
        name = self.name
        return (f"boxes of {', '.join(self.contexts)}: each is halved at its quantile with probability {name}_split, "
                "along each axis alike, or is a leaf", f"d[leaf, k] ~ {law_in_words(f'{name}_scale', conjugate)}",
                f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}", f"{name}_split ~ Beta(1, 1)")


def quantile_cuts(values: np.ndarray, depth: int) -> np.ndarray:
    """Return the cuts of an axis into 2^depth intervals with equal numbers of rows, half-way between values."""
    distinct, counts = np.unique(values, return_counts=True)
    # Rows with the same value stay together, at the middle of the quantiles that they span.
    middle = (np.cumsum(counts) - counts / 2) / len(values)
    below = np.searchsorted(middle, np.arange(1, 2**depth) / 2**depth)
    padded = np.concatenate([[-np.inf], distinct, [np.inf]])
    return np.where(below == 0, -np.inf, np.where(below == len(distinct), np.inf,
                                                   (padded[below] + padded[below + 1]) / 2))


@final
@dataclass(frozen=True, eq=False)
class Boxes(Division):
    """Functions that are constant within boxes.

    Attributes
    ----------
    cuts : the places at which each axis can be cut, standardised, (axis, 2^depth - 1)
    codes : the finest interval of each training row, (row, axis)
    depth : the largest number of halvings
    law : distribution of the deviations of leaves
    """

    prior: TreePartition
    contexts: tuple[Context, ...]
    cuts: np.ndarray
    codes: np.ndarray
    depth: int
    law: Conjugate
    positions: np.ndarray
    coefficients: Coefficients
    narrow: ClassVar[str] = "boxes know no distances within them"

    def parameters(self) -> tuple[Parameter, ...]:
        split = Parameter(self.frequency, "Beta", {"alpha": np.float64(1.0), "beta": np.float64(1.0)}, np.array(0.0),
                          np.array(1.0))
        return self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying), split

    @property
    def frequency(self) -> str:
        return f"{self.name}_split"

    def cut(self, values: Mapping[str, Any], xp: Any) -> Any:
        # A chance next to 0 or 1 is rounded to it, and its odds would be no number.
        split = values[self.frequency]
        return xp.log(split + np.finfo(float).tiny) - xp.log(1 - split + ROUNDED)

    def cells(self, values: Mapping[str, Any]) -> Any:
        # The harmonic mean of the number of leaves, because trees of few leaves give the mean its room: 1 / (m + n) is
        # on average half of 1 / m at most. So many halvings leave every training context a box of its own, if all
        # halves have equally many.
        split = values[self.frequency]
        inverse = 1 + 0 * split
        for _ in range(min(self.depth, int(np.ceil(np.log2(len(np.unique(self.codes, axis=0))))))):
            inverse = 1 - split + 0.5 * split * inverse
        return 1 / inverse

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        leaf: dict[str, tuple[str, ...]] = {f"{self.name}_leaf": ()}
        axes = {f"{self.name}_reading": tuple(label for context in self.contexts for label in context.labels)}
        return {f"{self.name}_low": leaf | axes, f"{self.name}_high": leaf | axes,
                f"{self.name}_level": leaf | self.varying}

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_leaves": {}} | self.latent

    def bounds(self, levels: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return the lower and upper ends of boxes, (2, box, axis), given their axes' halvings and intervals."""
        axis = np.arange(len(self.cuts))
        ends = np.concatenate([np.full((len(axis), 1), -np.inf), self.cuts, np.full((len(axis), 1), np.inf)], axis=1)
        width = 2 ** (self.depth - levels)
        return np.stack([ends[axis, keys * width], ends[axis, (keys + 1) * width]])

    @cached_property
    def sums(self) -> Any:
        from bayes_personal.priors.divisions.sums import Halvings

        return Halvings(self.codes, self.depth)

    def sampled(self, drawn: Sequence[np.ndarray], levels: np.ndarray) -> dict[str, np.ndarray]:
        return self.padded([self.bounds(leaves[:, 0], leaves[:, 1]) for leaves in drawn], levels)

    def padded(self, bounds: Sequence[np.ndarray], level: np.ndarray) -> dict[str, np.ndarray]:
        """Return draws as arrays, padded with empty boxes, from the leaves' ends and the levels of all leaves."""
        counts = [ends.shape[1] for ends in bounds]
        shape = len(counts), max(counts)
        low, high = (np.full((*shape, len(self.cuts)), end) for end in (np.inf, -np.inf))
        levels = np.full((*shape, len(self.positions)), np.nan)
        for draw, (ends, own_levels) in enumerate(zip(bounds, np.split(level, np.cumsum(counts)[:-1]), strict=True)):
            low[draw, : counts[draw]], high[draw, : counts[draw]], levels[draw, : counts[draw]] = *ends, own_levels
        return {f"{self.name}_leaves": np.array(counts, float), f"{self.name}_low": low, f"{self.name}_high": high,
                f"{self.name}_level": levels}

    def simulated(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        batched = {name: np.asarray(value)[None] for name, value in values.items()}
        axes, split = self.codes.shape[1], float(values[self.frequency])
        stack, leaves = [(np.zeros(axes, int), np.zeros(axes, int), np.unique(self.codes, axis=0))], []
        while stack:
            level, key, cells = stack.pop()
            if len(cells) > 1 and level.sum() < self.depth and rng.random() < split:
                axis = rng.integers(axes)
                deeper = level + (np.arange(axes) == axis)
                upper = (cells[:, axis] >> (self.depth - deeper[axis])) & 1
                for half in range(2):
                    child_key = key.copy()
                    child_key[axis] = 2 * key[axis] + half
                    stack.append((deeper, child_key, cells[upper == half]))
            else:
                leaves.append((level, key))
        bounds = self.bounds(*map(np.array, zip(*leaves, strict=True)))
        latent = self.padded([bounds], self.fresh(batched, np.zeros(len(leaves), int), rng))
        return {name: value[0] for name, value in latent.items()}

    def membership(self, values: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
        low, high = values[f"{self.name}_low"], values[f"{self.name}_high"]
        shape, leaves = low.shape[:-2], low.shape[-2]
        low, high = (array.reshape(-1, leaves, array.shape[-1]) for array in (low, high))
        result = np.empty((len(low), len(features)), int)
        size = max(NUMBERS // max(leaves * len(features), 1), 1)
        for chunk in (slice(start, start + size) for start in range(0, len(low), size)):
            inside = np.ones((len(low[chunk]), len(features), leaves), bool)
            for axis, at in enumerate(features.T):
                inside &= (at[:, None] >= low[chunk, None, :, axis]) & (at[:, None] < high[chunk, None, :, axis])
            result[chunk] = np.argmax(inside, axis=-1)
        return result.reshape(*shape, len(features))

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        return np.take_along_axis(self.level(values), self.membership(values, features)[..., None], axis=-2)

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(np.concatenate([context.at(frame) for context in self.contexts], axis=1))

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts
