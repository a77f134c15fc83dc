"""GaussianProcess: coefficients are smooth functions of context."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd
from scipy.special import gammainccinv

from bayes_personal.data import context
from bayes_personal.data.context import Context
from bayes_personal.data.rows import pieces
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.in_context import InContext
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import one_of, positive

Kernel = Literal["matern52", "matern32", "squared_exponential"]

# Riutort-Mayol et al. (2023), section 4: the box is at least a1 times the largest length-scale wide, in half-ranges of
# the context, and m is a2 times that factor over the smallest.
RULES: dict[str, tuple[float, float]] = {
    "squared_exponential": (3.2, 1.75), "matern52": (4.1, 2.65), "matern32": (4.5, 3.42)}
SMOOTHNESS = {"matern52": 2.5, "matern32": 1.5}

# Length-scales in half-ranges of the context: the shortest that the basis of one context represents, the longest that
# does not feel the box by the rules, and the one above which the default hyperprior has 1 % of its mass.
SHORTEST, UNFELT, LONGEST = 0.15, 0.6, 4.0
# The whole range of a context: length-scales that are all longer would leave its functions hardly a bend.
RANGE = 2.0
# Affordable numbers of basis functions and sizes of the box, by number of contexts.
BASIS_SIZE = {1: 60, 2: 12, 3: 7}
BOX = {1: np.inf, 2: 1.5, 3: 1.5}


@final
@dataclass(frozen=True, init=False, repr=False)
class GaussianProcess(InContext):
    """Coefficients are smooth functions of context.

    Generative story: ``theta_k(.) = mu_k + f_k(.)``, ``f_k ~ GP(0, scale_k^2 kernel(lengthscale_k))``, one
    length-scale for each coefficient and context, which switches an irrelevant context off by growing long. The
    process is represented by the Hilbert-space basis
    ``f_k(c) = scale_k sum_j sqrt(S_kj) phi_j(c) w_jk``, ``w_jk ~ Normal(0, 1)``: cosines with zero slope at the edge of
    a box around the training contexts, S the kernel's spectral density at their frequencies. The constant cosine is
    left out, for it is mu's, and S is normalised so that ``scale_k`` is the standard deviation of f_k over the
    training rows, whatever the length-scale. Box and number of cosines follow the published rules; these bound the
    first image reflected at the edge, which is as large for zero slope as for zero value. Zero slope lets a function
    be flat in a context that does not matter. Where the intercept varies, it is that at the predictors' means.

    Right when coefficients change smoothly. Fails at jumps, where it rings, and with many contexts. Outside the
    training contexts it levels off towards the edge of the box and is mirrored beyond it: do not extrapolate with it.

    Parameters
    ----------
    *contexts
        One to three columns of numbers, booleans or dates. With two or three the basis is coarser: for the default
        kernel it represents length-scales above 0.33 and 0.57 half-ranges of the context, and the box is narrower than
        the rules ask for length-scales above 0.37.
    kernel
        "matern52", "matern32" or "squared_exponential".
    on
        Coefficients that vary; all by default.
    scale
        Hyperprior of the standard deviation of each coefficient's function, in units of outcome / predictor.
    lengthscale
        Hyperprior of the length-scales, in the context's own units; by default an inverse gamma with 1 % of its mass
        below what the basis represents and 1 % above four half-ranges of the context.
    shortest
        The shortest length-scale that the basis represents, in half-ranges of each context, or the typical gap between
        contexts where that is longer. By default it is 0.15 with one context, and what the largest affordable basis
        represents with two or three. A longer one takes fewer cosines, and fits in less time where many coefficients
        vary: 0.3 with a squared-exponential kernel takes 12 of them, and functions that bend faster are smoothed.

    Raises
    ------
    SpecificationError
        No context or more than three, an unknown kernel or coefficient, a hyperprior that can be negative; a shortest
        length-scale that is not positive, longer than the range of the context, or so short that more cosines would be
        needed than are affordable: 60 with one context, 12 and 7 a context with two and three.
    InputError, InputTypeError
        A context that is categorical, missing, infinite, or the same in all rows.

    References
    ----------
    Gelfand, Kim, Sirmans and Banerjee (2003), doi:10.1198/016214503000170. Riutort-Mayol, Bürkner, Andersen, Solin
    and Vehtari (2023), doi:10.1007/s11222-022-10167-2. Fan and Zhang (1999), doi:10.1214/aos/1017939139, on why each
    coefficient needs its own length-scale.
    """

    kind: ClassVar = "gp"
    contexts: tuple[str, ...]
    kernel: Kernel
    on: tuple[str, ...] | None
    scale: Hyperprior
    lengthscale: Hyperprior | None
    shortest: float | None

    def __init__(self, *contexts: str, kernel: Kernel = "matern52", on: tuple[str, ...] | list[str] | str | None = None,
                 scale: Hyperprior = NATURAL_SCALE,
                 lengthscale: Hyperprior | None = None, shortest: float | None = None) -> None:
        self.hold(contexts=contexts, kernel=kernel, on=as_names(on), scale=scale, lengthscale=lengthscale,
                  shortest=shortest)
        owner = self.owner
        must_be_positive(owner, scale=scale, **({} if lengthscale is None else {"lengthscale": lengthscale}))
        one_of(owner, RULES, kernel=kernel)
        if not 1 <= len(contexts) <= max(BASIS_SIZE):
            raise SpecificationError(f"{owner}: {len(contexts)} contexts; a joint basis is affordable for one to "
                                     "three. Add processes instead: GaussianProcess(a, b) + GaussianProcess(c).")
        if shortest is not None:
            self._must_be_affordable(shortest)

    def _must_be_affordable(self, shortest: float) -> None:
        """Refuse a shortest length-scale that asks for too many cosines, or that is longer than the range."""
        positive(self.owner, shortest=shortest)
        count = len(self.contexts)
        # Rounded up to three digits after the point, so that it is affordable as it is written.
        least = math.ceil(1000 * RULES[self.kernel][1] * box_factor(self.kernel, count) / BASIS_SIZE[count]) / 1000
        if not least <= shortest <= RANGE:
            raise SpecificationError(f"{self.owner}: shortest={shortest:g} half-ranges of the context must lie between "
                                     f"{least:g}, for which {self.kernel} takes the {BASIS_SIZE[count]} cosines a "
                                     f"context that are affordable with {count}, and {RANGE:g}, its whole range.")

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = self.owner
        contexts = context.learn(frame, self.contexts, owner)
        for column in contexts:
            if column.levels:
                raise SpecificationError(f"{owner}: context {column.name!r} is categorical, and a smooth function "
                                         f"needs numbers or dates. {column.if_dates}Use "
                                         f"PartialPooling({column.name!r}), alone or added with +.")
        boxes = tuple(Box.learn(column, frame, self.kernel, len(contexts), self.shortest or SHORTEST)
                      for column in contexts)
        squares = (np.linalg.vecdot(matrix.T, matrix.T)
                   for matrix in (cosines(boxes, contexts, piece) for piece in pieces(frame, self.contexts)))
        power = functools.reduce(np.add, squares) / len(frame)
        return (SmoothTerm(self, contexts, boxes, coefficients.select(self.on, owner), coefficients, power),)

    @property
    def deviation(self) -> str:
        return restricted(f"f({', '.join(self.contexts)})", self.on)

    def story(self) -> tuple[str, ...]:
        name, contexts = self.name, ", ".join(self.contexts)
        default = "InverseGamma, 1 % below what the basis represents and 1 % above 4 half-ranges of c"
        basis = "" if self.shortest is None else f" for length-scales from {self.shortest:g} half-ranges of c"
        return (f"f({contexts})[k] ~ GP(0, {name}_scale[k]^2 {self.kernel}({name}_lengthscale[k])), by a Hilbert-space "
                f"basis{basis} without the constant, which is mu's; the intercept at the predictors' means",
                f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}",
                f"{name}_lengthscale[k, c] ~ {self.lengthscale.words() if self.lengthscale else default}")


@final
@dataclass(frozen=True, eq=False)
class Box:
    """One context's share of the Hilbert-space basis, in standardised units.

    Attributes
    ----------
    center, length : the cosines have zero slope at both ends of the interval [center - length, center + length]
    size : number of cosines beside the constant
    shortest, longest : length-scales between which the default hyperprior has 98 % of its mass
    """

    center: float
    length: float
    size: int
    shortest: float
    longest: float

    @classmethod
    def learn(cls, context: Context, frame: pd.DataFrame, kernel: str, contexts: int,
              shortest: float = SHORTEST) -> "Box":
        """Apply the published rules to the range of the training contexts and the gaps between them.

        `shortest` is the shortest length-scale to represent, in half-ranges of the context, if that is affordable.
        """
        low, high = (np.array([context.low, context.high]) - context.center) / context.spread
        half = (high - low) / 2
        distinct = np.zeros(0)
        for piece in pieces(frame, [context.name]):
            distinct = np.union1d(distinct, context.at(piece)[:, 0])
            # At least half of the gaps are as large as the median gap, and all sum to the range: it is below shortest.
            if len(distinct) - 1 > 4 / shortest:
                gap = shortest
                break
        else:
            gap = float(np.median(np.diff(distinct))) / half
        factor, fine = box_factor(kernel, contexts), RULES[kernel][1]
        size = min(int(np.ceil(fine * factor / max(shortest, gap))), BASIS_SIZE[contexts])
        return cls((low + high) / 2, factor * half, size, fine * factor / size * half, LONGEST * half)

    @property
    def frequencies(self) -> np.ndarray:
        """Frequencies omega_j of the cosines, the constant first, (size + 1,)."""
        return np.arange(self.size + 1) * np.pi / (2 * self.length)

    def at(self, values: np.ndarray) -> np.ndarray:
        """Return the cosines at any values, the constant first, (value, size + 1)."""
        result = np.empty((len(values), self.size + 1), order="F")
        result[:, 0] = np.sqrt(0.5 / self.length)
        # cos(j + 1)t = 2 cos t cos jt - cos(j - 1)t, the recurrence of Chebyshev's polynomials.
        double_cosine = 2 * np.cos((values - (self.center - self.length)) * self.frequencies[1])
        second_last, last = np.full(len(values), 1 / np.sqrt(self.length)), result[:, 1]
        np.multiply(double_cosine, 0.5 / np.sqrt(self.length), out=last)
        for j in range(2, self.size + 1):
            np.multiply(double_cosine, last, out=result[:, j])
            result[:, j] -= second_last
            second_last, last = last, result[:, j]
        return result


def box_factor(kernel: str, contexts: int) -> float:
    """Return how many half-ranges of a context one half-width of its box is."""
    return min(max(RULES[kernel][0] * UNFELT, 1.2), BOX[contexts])


def inverse_gamma(shortest: float, longest: float) -> tuple[float, float]:
    """Return the shape and scale with 1 % of the mass below `shortest` and 1 % above `longest`."""
    from scipy.optimize import brentq

    # A quantile of the inverse gamma is 1 over the upper quantile of the gamma.
    def miss(log_shape: float) -> float:
        high, low = gammainccinv(np.exp(log_shape), [0.01, 0.99])
        return float(np.log(high / low) - np.log(longest / shortest))
    log_shape: Any = brentq(miss, -1.5, 12)
    shape = float(np.exp(log_shape))
    return shape, float(shortest * gammainccinv(shape, 0.01))


@final
@dataclass(frozen=True, eq=False)
class SmoothTerm(Term):
    """The weights of the cosines.

    Attributes
    ----------
    power : mean square of every feature over the training rows, (feature,)
    """

    prior: GaussianProcess
    contexts: tuple[Context, ...]
    boxes: tuple[Box, ...]
    positions: np.ndarray
    coefficients: Coefficients
    power: np.ndarray

    @property
    def without_constant(self) -> bool:
        return True

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {f"{self.name}_feature": tuple("cosine " + " ".join(map(str, order)) for order in orders(self.boxes))}

    def parameters(self) -> tuple[Parameter, ...]:
        spread = np.array([context.spread[0] for context in self.contexts])
        unit = np.tile(spread, (len(self.unit), 1))
        name, coords = f"{self.name}_lengthscale", self.varying | {f"{self.name}_context": self.prior.contexts}
        if self.prior.lengthscale is not None:
            lengthscale = self.prior.lengthscale.bind(name, 0.0, unit, coords)
        else:
            shape, scale = np.transpose([inverse_gamma(box.shortest, box.longest) for box in self.boxes])
            lengthscale = Parameter(name, "InverseGamma", {"alpha": np.tile(shape, (len(self.unit), 1)),
                                                           "beta": scale * unit}, np.zeros_like(unit), unit, coords)
        return self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying), lengthscale

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        """Return the root of the spectral density at every feature's frequencies, normalised over the training rows."""
        spread = np.array([context.spread[0] for context in self.contexts])
        lengthscale = values[f"{self.name}_lengthscale"] / spread
        frequency = np.stack([box.frequencies[order] for box, order in
                              zip(self.boxes, orders(self.boxes).T, strict=True)], axis=-1)
        squared = ((lengthscale[..., None, :, :] * frequency[:, None, :]) ** 2).sum(axis=-1)
        if self.prior.kernel == "squared_exponential":
            # Relative to the density's largest value, at the smallest frequency, that of some context's first cosine.
            first_cosines = np.flatnonzero(orders(self.boxes).sum(axis=1) == 1)
            lowest = functools.reduce(xp.minimum, [squared[..., k, :] for k in first_cosines])
            density = xp.exp(-0.5 * (squared - lowest[..., None, :]))
        else:
            nu = SMOOTHNESS[self.prior.kernel]
            density = (2 * nu + squared) ** (-nu - len(self.boxes) / 2)
        normaliser = (density * self.power[:, None]).sum(axis=-2)[..., None, :]
        return values[f"{self.name}_scale"][..., None, :] * xp.sqrt(density / normaliser), None

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(cosines(self.boxes, self.contexts, frame))

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts


def cosines(boxes: tuple[Box, ...], contexts: tuple[Context, ...], frame: pd.DataFrame) -> np.ndarray:
    """Return products of the contexts' cosines at any rows, (unit, feature)."""
    factors = [box.at(column.at(frame)[:, 0]) for box, column in zip(boxes, contexts, strict=True)]
    if len(factors) == 1:
        return factors[0][:, 1:]
    chosen = orders(boxes)
    matrix = np.empty((len(frame), len(chosen)), order="F")
    for place, order in enumerate(chosen):
        np.multiply(factors[0][:, order[0]], factors[1][:, order[1]], out=matrix[:, place])
        for factor, k in zip(factors[2:], order[2:], strict=True):
            matrix[:, place] *= factor[:, k]
    return matrix


def orders(boxes: tuple[Box, ...]) -> np.ndarray:
    """Return the number of the cosine of each context that a feature multiplies, (feature, context).

    The features lie within the ellipse through the last cosine of every context: beyond it, in the corners of the grid,
    frequencies are higher, and a stationary kernel gives them less weight. The constant is left out.
    """
    grid = np.array(list(np.ndindex(*(box.size + 1 for box in boxes))))
    relative = ((grid / [box.size for box in boxes]) ** 2).sum(axis=1)
    return grid[(relative > 0) & (relative <= 1)]
