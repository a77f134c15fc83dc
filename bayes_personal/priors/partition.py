"""Partition: coefficients are constant between change points, whose number and places nobody knows."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.arguments import context_column, whole
from bayes_personal.conjugate import Conjugate
from bayes_personal.context import Context
from bayes_personal.errors import InputError, InputWarning, SpecificationError
from bayes_personal.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.parameter import Parameter
from bayes_personal.priors.base import Coefficients, Features, Piece, Prior, as_names, restricted, variable
from bayes_personal.priors.divided import Divided, law_in_words, must_integrate_out

# Distinct contexts: an evaluation costs the square of their number.
MOST = 10_000


@final
@dataclass(frozen=True, repr=False)
class Partition(Prior):
    """Coefficients are constant between change points along an ordered context; number and places are not known.

    Generative story: changes come as a Poisson process along the context, ``expected`` of them over the training range.
    They cut it into segments, and all rows of a segment share ``theta = mu + d``. For a Normal family
    ``d_k ~ Normal(0, scale_k)``, independently for each segment and coefficient. For counts the formula is
    ``"y ~ 1"``, and d follows the conjugate distribution with about that standard deviation: for Poisson
    ``exp(d) ~ Gamma(1 / scale^2, 1 / scale^2)``; for Bernoulli and Binomial the probability of a segment is
    ``Beta((1 + exp(mu)) / scale^2, (1 + exp(-mu)) / scale^2)``. All coefficients in `on` change together. Rows with the
    same context are of one segment. Where the intercept varies, it is that at the predictors' means.

    All partitions, and what segments have of their own, are summed out exactly: `NUTS` and `Laplace` move over the
    hyperparameters alone, and partitions are drawn afterwards from their exact conditional. Chains cannot stick.
    `changes` has the probability of a change at each context, ``changes_<order>_number`` their number. Draws of theta
    are step functions of the context, and `predict` reads new contexts from these: between two training contexts the
    change may lie anywhere; beyond the training range changes go on to come at the same rate.

    Right for abrupt changes between which theta stands still. Fails under slow drift, which it takes for a staircase,
    and where the error's scale changes with theta. A far outlier becomes a segment of its own: ask for a longer
    `shortest`. `TotalVariation` is the choice for other families, or where coefficients change at different contexts.

    An evaluation costs the square of the number of distinct contexts, whatever the number of rows. From 400 contexts on
    the default of `fit` is `Laplace`, whose evaluations the processors share: with two, seconds for 1000 contexts and a
    minute for 5000.

    Parameters
    ----------
    order
        Column of numbers, booleans or dates, with 10 000 distinct values at most.
    on
        Coefficients that change; all by default.
    scale
        Hyperprior of ``scale_k``, in units of outcome / predictor, or of the linear predictor for counts. Much wider
        than the changes there are, it speaks against changes.
    changes
        Hyperprior of the expected number of changes over the training range.
    shortest
        Distinct contexts that a segment has at least, but for the last one. With more than 1 there is one change
        between two training contexts at most.

    Raises
    ------
    SpecificationError
        An unknown coefficient, a hyperprior that can be negative, a categorical context; a family under which segments
        do not integrate out (all but Normal, Poisson, Bernoulli and Binomial), or one of counts with predictors;
        another summand beside it.
    InputError, InputTypeError
        A context that is missing, infinite, the same in all rows, or of more than 10 000 distinct values.

    References
    ----------
    Barry and Hartigan (1993), doi:10.1080/01621459.1993.10594323. Fearnhead (2006), doi:10.1007/s11222-006-8450-8.
    """

    order: str
    on: tuple[str, ...] | list[str] | str | None = None
    scale: Hyperprior = NATURAL_SCALE
    changes: Hyperprior = Hyperprior("HalfCauchy", beta=1.0)
    shortest: int = 1

    def __post_init__(self) -> None:
        context_column("Partition", order=self.order)
        owner = self.owner
        object.__setattr__(self, "on", as_names(self.on))
        must_be_positive(owner, scale=self.scale, changes=self.changes)
        whole(owner, 1, shortest=self.shortest)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.order,)

    @property
    def name(self) -> str:
        return variable(f"changes_{self.order}")

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        owner = self.owner
        context = Context.learn(frame, self.order, owner)
        if context.levels:
            raise SpecificationError(f"{owner}: context {self.order!r} is categorical, and changes need an order. "
                                     f"Give numbers or dates, or use PartialPooling({self.order!r}).")
        places, first = np.unique(context.at(frame)[:, 0], return_index=True)
        if len(places) < len(frame):
            warnings.warn(f"{owner}: {len(frame)} rows have {len(places)} distinct values of {self.order!r}; rows of "
                          "equal values are always of one segment.", InputWarning, stacklevel=3)
        if len(places) > MOST:
            raise InputError(f"{owner}: {self.order!r} has {len(places):,} distinct values, and the cost is the square "
                             f"of their number; at most {MOST:,}. Round it to fewer: changes are then looked for "
                             "between rounded values.")
        return (Segments(self, context, places, frame[self.order].iloc[first], must_integrate_out(owner, coefficients),
                         coefficients.select(self.on, owner), coefficients),)

    @property
    def linear(self) -> bool:
        return False

    @property
    def deviation(self) -> str:
        return restricted(f"d[segment of {self.order}_i]", self.on)

    def story(self) -> tuple[str, ...]:
        who, several = self.name, "" if self.shortest == 1 else f", none within {self.shortest} contexts of another"
        return (f"segments of {self.order} begin at the points of a Poisson process with {who}_expected of them over "
                f"the training range{several}", f"d[segment, k] ~ {law_in_words(f'{who}_scale')}",
                f"{who}_scale[k] ~ {self.scale.words(unit='unit[k]')}", f"{who}_expected ~ {self.changes.words()}")


@final
@dataclass(frozen=True, eq=False)
class Segments(Divided):
    """Step functions of one context.

    Attributes
    ----------
    places : the distinct training contexts in order, standardised, (context,)
    values : what they are in the frame, its index being that of the first row of each
    law : how levels of segments are distributed
    """

    prior: Partition
    context: Context
    places: np.ndarray
    values: pd.Series
    law: Conjugate
    positions: np.ndarray
    coefficients: Coefficients

    def parameters(self) -> tuple[Parameter, ...]:
        return (self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),
                self.prior.changes.bind(f"{self.name}_expected"))

    @property
    def frequency(self) -> str:
        return f"{self.name}_expected"

    def cut(self, values: Mapping[str, Any], xp: Any) -> Any:
        return xp.log(self.rate(values))

    def rate(self, values: Mapping[str, Any]) -> Any:
        """Expected changes over one unit of the standardised context, (...)."""
        return values[f"{self.name}_expected"] / (self.places[-1] - self.places[0])

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        segment: dict[str, tuple[str, ...]] = {f"{self.name}_segment": ()}
        return {f"{self.name}_start": segment, f"{self.name}_level": segment | self.varying}

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_number": {}} | self.latent

    def sampled(self, starts: Sequence[np.ndarray], level: np.ndarray, values: Mapping[str, Any],
                rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Step functions from draws of the contexts that begin segments, the first one included, and the segments'
        levels one after the other, (segment, varying)."""
        count = np.array(list(map(len, starts)))
        draw, at = np.repeat(np.arange(len(starts)), count), np.concatenate(starts)
        first_level, changed = level[at == 0], at > 0
        draw, at, level = draw[changed], at[changed], level[changed]
        gap, expected = np.diff(self.places, prepend=np.nan)[at], self.rate(values)[draw]
        if self.prior.shortest > 1:
            first, later = rng.random(len(draw)), np.zeros(len(draw), int)
        else:
            # The first of at least one event, and how many come after it.
            mean = expected * gap
            first = -np.log1p(rng.random(len(draw)) * np.expm1(-mean)) / mean
            later = rng.poisson(mean * np.clip(1 - first, 0, 1))
        more = np.repeat(np.arange(len(draw)), later)
        where = np.concatenate([first, 1 - (1 - first[more]) * rng.random(len(more))])
        event = np.concatenate([np.arange(len(draw)), more])
        place = self.places[at - 1][event] + gap[event] * where
        place = np.clip(place, np.nextafter(self.places[at - 1], np.inf)[event], self.places[at][event])
        order = np.lexsort((place, event))
        event, place = event[order], place[order]
        # Of the events of one gap, the last begins the segment of the next context.
        last = np.append(event[1:] != event[:-1], True)[: len(event)]
        levels = self.fresh(values, draw[event], rng)
        levels[last] = level
        cuts = np.searchsorted(draw[event], np.arange(1, len(starts)))
        begin = [np.append(-np.inf, one) for one in np.split(place, cuts)]
        steps = [np.vstack(both) for both in zip(first_level, np.split(levels, cuts), strict=True)]
        return {f"{self.name}_number": count - 1.0} | self.padded(begin, steps)

    def padded(self, starts: Sequence[np.ndarray], levels: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Step functions with unequal numbers of segments as arrays; what never starts has no level."""
        most = max(map(len, starts))
        start = np.full((len(starts), most), np.inf)
        level = np.full((len(starts), most, len(self.positions)), np.nan)
        for i, (one, each) in enumerate(zip(starts, levels, strict=True)):
            start[i, : len(one)], level[i, : len(one)] = one, each
        return {f"{self.name}_start": start, f"{self.name}_level": level}

    def changed(self, start: np.ndarray) -> np.ndarray:
        """Before which contexts step functions (draw, segment) have a change, (draw, context)."""
        result = np.zeros((len(start), len(self.places)), bool)
        draw, segment = np.nonzero(start > self.places[0])
        at = np.searchsorted(self.places, start[draw, segment])
        inside = at < len(self.places)
        result[draw[inside], at[inside]] = True
        return result

    def simulated(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        many = {name: np.asarray(value)[None] for name, value in values.items()}
        chance = -np.expm1(-self.rate(values) * np.diff(self.places, prepend=-np.inf))
        starts = [0]
        for t, u in enumerate(rng.random(len(chance))):
            if t - starts[-1] >= self.prior.shortest and u < chance[t]:
                starts.append(t)
        found = self.sampled([np.array(starts)], self.fresh(many, np.zeros(len(starts), int), rng), many, rng)
        return {name: value[0] for name, value in found.items()}

    def extended(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        start, level = (values[name] for name in self.latent)
        before = max(self.places[0] - features.min(initial=np.inf), 0.0)
        after = max(features.max(initial=-np.inf) - self.places[-1], 0.0)
        rate = self.rate(values)
        left, right = rng.poisson(rate * before), rng.poisson(rate * after)
        if not left.any() and not right.any():
            return {name: values[name] for name in self.latent}
        starts, levels = [], []
        for i in range(len(start)):
            own = start[i] < np.inf
            new = self.fresh(values, np.full(left[i] + right[i], i), rng)
            earlier = np.sort(self.places[0] - before * rng.random(left[i]))
            later = np.sort(self.places[-1] + after * (1 - rng.random(right[i])))
            # A segment before the first takes its place from -inf on, and that one begins later.
            starts.append(np.concatenate([[-np.inf], earlier, start[i][own][1:], later]))
            levels.append(np.concatenate([new[: left[i]], level[i][own], new[left[i] :]]))
        return self.padded(starts, levels)

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        start, level = (values[name] for name in self.latent)
        at = features[:, 0]
        flat = start.reshape(-1, start.shape[-1])
        which = np.stack([np.searchsorted(one, at, side="right") - 1 for one in flat])
        which = which.reshape(*start.shape[:-1], len(at), 1)
        return np.take_along_axis(level, which, axis=-2)

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(self.context.at(frame))

    @property
    def axes(self) -> tuple[Context, ...]:
        return (self.context,)
