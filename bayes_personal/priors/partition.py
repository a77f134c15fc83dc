"""Partition: coefficients are constant between change points, whose number and places nobody knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.context import Context
from bayes_personal.errors import InputError, InputWarning, SpecificationError, warn
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted, variable
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.divided import law_in_words, law_of_cells
from bayes_personal.priors.parts.division import Division
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Piece
from bayes_personal.system.arguments import context_column, whole_number

# Distinct contexts: an evaluation costs the square of their number.
MOST = 10_000
# The same where segments do not integrate out: each is expanded by itself, at a cost of the cube.
MOST_EXPANDED = 1000


@final
@dataclass(frozen=True, repr=False)
class Partition(Prior):
    """Coefficients are constant between change points along an ordered context; number and places are not known.

    Generative story: changes come as a Poisson process along the context, ``expected`` of them over the training range.
    They cut it into segments, and all rows of a segment share ``theta = mu + d``, with ``d_k ~ Normal(0, scale_k)``,
    independently for each segment and coefficient. For Poisson, Bernoulli and Binomial under the formula ``"y ~ 1"`` d
    follows the conjugate distribution with about that standard deviation: for Poisson
    ``exp(d) ~ Gamma(1 / scale^2, 1 / scale^2)``; for Bernoulli and Binomial the probability of a segment is
    ``Beta((1 + exp(mu)) / scale^2, (1 + exp(-mu)) / scale^2)``. All coefficients in `on` change together. Rows with the
    same context are of one segment. Where the intercept varies, it is that at the predictors' means.

    Under a Normal family, and for those counts, all partitions and what segments have of their own are summed out
    exactly: `NUTS` and `Laplace` move over the hyperparameters alone, and partitions are drawn afterwards from their
    exact conditional. Chains cannot stick. Elsewhere the log likelihood of every possible segment is a parabola that
    touches it at the mode of the segment's own coefficients; partitions are summed out under these, and `Laplace`, the
    only sampler, weights draws of hyperparameters, partitions and coefficients by the rows' own likelihoods, so that
    the posterior is that of the model as stated. `changes` has the probability of a change at each context,
    ``changes_<order>_number`` how many training contexts differ from the one before. Draws of theta are step functions
    of the context. Where between two training contexts a change lies, no row can tell: `predict` draws it for new
    contexts, and lets changes go on to come at the same rate beyond the training range.

    Right for abrupt changes between which theta stands still. Fails under slow drift, which it takes for a staircase,
    and where the error's scale changes with theta. A far outlier becomes a segment of its own under a Normal family:
    ask for a longer `shortest`, or take `StudentT`. `TotalVariation` is the choice where coefficients change at
    different contexts.

    An evaluation costs the square of the number of distinct contexts, whatever the number of rows. Where segments do
    not integrate out, a fit takes seconds for 100 contexts and half a minute for 500, and 1000 are the most. From 400
    contexts on the default of `fit` is `Laplace`, whose evaluations the processors share: with two, seconds for 1000
    contexts and a minute for 5000.

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
        An unknown coefficient, a hyperprior that can be negative, a categorical context; a family of several linear
        predictors, or one whose likelihood is not compiled, out of which segments do not integrate; another summand
        beside it.
    InputError, InputTypeError
        A context that is missing, infinite, the same in all rows, or of more than 10 000 distinct values; of more than
        1000 where segments do not integrate out.

    References
    ----------
    Barry and Hartigan (1993), doi:10.1080/01621459.1993.10594323. Fearnhead (2006), doi:10.1007/s11222-006-8450-8.
    Andrieu and Roberts (2009), doi:10.1214/07-AOS574.
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
        whole_number(owner, 1, shortest=self.shortest)

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
                                     f"{context.if_dates}Give numbers or dates, or use PartialPooling({self.order!r}).")
        places, first = np.unique(context.at(frame)[:, 0], return_index=True)
        if len(places) < len(frame):
            warn(f"{owner}: {len(frame)} rows have {len(places)} distinct values of {self.order!r}; rows of "
                 "equal values are always of one segment.", InputWarning)
        if len(places) > MOST:
            raise InputError(f"{owner}: {self.order!r} has {len(places):,} distinct values, and the cost is the square "
                             f"of their number; at most {MOST:,}. Round it to fewer: changes are then looked for "
                             "between rounded values.")
        law = law_of_cells(owner, coefficients)
        segments = Segments(self, context, places, frame[self.order].iloc[first], law,
                            coefficients.select(self.on, owner), coefficients)
        if not segments.integrates_out and len(places) > MOST_EXPANDED:
            raise InputError(f"{owner}: {self.order!r} has {len(places):,} distinct values, and under a family out of "
                             f"which segments do not integrate {MOST_EXPANDED:,} are the most. Round it to fewer: "
                             "changes are then looked for between rounded values; or take TotalVariation(order).")
        return (segments,)

    @property
    def linear(self) -> bool:
        return False

    @property
    def deviation(self) -> str:
        return restricted(f"d[segment of {self.order}_i]", self.on)

    def story(self) -> tuple[str, ...]:
        return self.story_under(None)

    def story_under(self, conjugate: Conjugate | None) -> tuple[str, ...]:
        name, spacing = self.name, "" if self.shortest == 1 else f", none within {self.shortest} contexts of another"
        return (f"segments of {self.order} begin at the points of a Poisson process with {name}_expected of them over "
                f"the training range{spacing}", f"d[segment, k] ~ {law_in_words(f'{name}_scale', conjugate)}",
                f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}", f"{name}_expected ~ {self.changes.words()}")


@final
@dataclass(frozen=True, eq=False)
class Segments(Division):
    """Step functions of one context.

    Attributes
    ----------
    places : the distinct training contexts in order, standardised, (context,)
    values : the same contexts as the frame holds them, under the index of the first row of each
    law : distribution of the levels of segments
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

    def cells(self, values: Mapping[str, Any]) -> Any:
        expected = values[self.frequency]
        return 1 + expected / (1 + expected / len(self.places))

    def rate(self, values: Mapping[str, Any]) -> Any:
        """Return the expected number of changes over one unit of the standardised context, (...)."""
        return values[f"{self.name}_expected"] / (self.places[-1] - self.places[0])

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        segment: dict[str, tuple[str, ...]] = {f"{self.name}_segment": ()}
        return {f"{self.name}_start": segment, f"{self.name}_level": segment | self.varying}

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_number": {}} | self.latent

    @property
    def ordered(self) -> pd.Series:
        return self.values

    @cached_property
    def sums(self) -> Any:
        from bayes_personal.priors.divisions.sums import ChangePoints

        return ChangePoints(self.places, self.prior.shortest)

    def drawn(self, latent: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [np.flatnonzero(changed) for changed in self.changed(latent[f"{self.name}_start"], first=True)]

    def sampled(self, starts: Sequence[np.ndarray], level: np.ndarray) -> dict[str, np.ndarray]:
        """Return step functions from draws of the contexts that begin segments, the first context included, and the
        levels of all segments in sequence, (segment, varying).

        A segment is taken to begin at its first training context. The rows cannot tell where in the preceding gap it
        begins, or whether that gap holds further changes; `extended` draws both where a new context needs them.
        """
        count = np.array(list(map(len, starts)))
        begin = [np.append(-np.inf, self.places[contexts[1:]]) for contexts in starts]
        return {f"{self.name}_number": count - 1.0} | self.padded(begin, np.split(level, np.cumsum(count)[:-1]))

    def padded(self, starts: Sequence[np.ndarray], levels: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return step functions with unequal numbers of segments as arrays, padded with segments that never start."""
        most = max(map(len, starts))
        start = np.full((len(starts), most), np.inf)
        level = np.full((len(starts), most, len(self.positions)), np.nan)
        for i, (own_start, own_level) in enumerate(zip(starts, levels, strict=True)):
            start[i, : len(own_start)], level[i, : len(own_start)] = own_start, own_level
        return {f"{self.name}_start": start, f"{self.name}_level": level}

    def changed(self, start: np.ndarray, first: bool = False) -> np.ndarray:
        """Return a mask of the contexts before which step functions (draw, segment) change, (draw, context); with
        `first` it includes the first context, where the first segment begins."""
        result = np.zeros((len(start), len(self.places)), bool)
        result[:, 0] = first
        draw, segment = np.nonzero(start > self.places[0])
        at = np.searchsorted(self.places, start[draw, segment])
        inside = at < len(self.places)
        result[draw[inside], at[inside]] = True
        return result

    def simulated(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        batched = {name: np.asarray(value)[None] for name, value in values.items()}
        chance = -np.expm1(-self.rate(values) * np.diff(self.places, prepend=-np.inf))
        starts = [0]
        for t, u in enumerate(rng.random(len(chance))):
            if t - starts[-1] >= self.prior.shortest and u < chance[t]:
                starts.append(t)
        latent = self.sampled([np.array(starts)], self.fresh(batched, np.zeros(len(starts), int), rng))
        return {name: value[0] for name, value in latent.items()}

    def extended(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        new = np.setdiff1d(features[:, 0], self.places)
        start, level = (values[name] for name in self.latent)
        if not len(new):
            return {name: values[name] for name in self.latent}
        places = np.union1d(self.places, new)
        at_training = np.searchsorted(places, self.places)
        begun = self.begun(places, at_training, self.changed(start), self.rate(values), rng)
        segment = begun.cumsum(axis=1, dtype=np.int32) - 1
        draw, at = np.nonzero(begun)
        shape = len(start), int(segment[:, -1].max()) + 1
        starts, levels = np.full(shape, np.inf), np.full((*shape, level.shape[-1]), np.nan)
        starts[draw, segment[draw, at]] = np.where(at == 0, -np.inf, places[at])
        # Segments with a training context have its level; the other segments draw their levels afresh.
        draws = np.arange(len(start))[:, None]
        levels[draws, segment[:, at_training]] = self.deviation(values, self.places[:, None], np)
        empty = np.nonzero((starts < np.inf) & np.isnan(levels[..., 0]))
        levels[empty] = self.fresh(values, empty[0], rng)
        return dict(zip(self.latent, (starts, levels), strict=True))

    def begun(self, places: np.ndarray, at_training: np.ndarray, changed: np.ndarray, rate: np.ndarray,
              rng: np.random.Generator) -> np.ndarray:
        """Draw the places before which a segment begins, (draw, place), given the changes between training contexts.

        Draws say only whether there is a change between two neighbouring places, not how many. Between training
        contexts that differ there is at least one change, and exactly one where segments have a shortest length;
        outside the training range changes come at their rate.

        Parameters
        ----------
        places : training contexts and new ones in order, (place,)
        at_training : indices of the training contexts among `places`, (context,)
        changed : mask of the training contexts before which draws change, (draw, context)
        rate : expected number of changes over one unit, (draw,)
        """
        result = np.zeros((len(changed), len(places)), bool)
        result[:, at_training], result[:, 0] = changed, True
        for at in (*range(1, at_training[0] + 1), *range(at_training[-1] + 1, len(places))):
            result[:, at] = rng.random(len(rate)) < -np.expm1(-rate * (places[at] - places[at - 1]))
        for context in np.flatnonzero(np.diff(at_training) > 1) + 1:
            first, last = at_training[context - 1], at_training[context]
            changes = self.changes_between(np.diff(places[first : last + 1]), rate, rng)
            result[:, first + 1 : last + 1] = changes & changed[:, context, None]
        return result

    def changes_between(self, lengths: np.ndarray, rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a mask of the parts with a change, (draw, part), of a gap that has one; `lengths` are those of parts."""
        remaining, single = lengths[::-1].cumsum()[::-1], self.prior.shortest > 1
        # A single change lies in a part with a chance equal to the part's share of the length.
        chance, any_more = (np.broadcast_to(each, (len(rate), len(each))) if single
                            else np.maximum(-np.expm1(-rate[:, None] * each), np.finfo(float).tiny)
                            for each in (lengths, remaining))
        uniform, unchanged = rng.random(chance.shape), np.ones(len(rate), bool)
        result = np.empty(chance.shape, bool)
        for part in range(len(lengths)):
            later_chance = 0.0 if single else chance[:, part]
            result[:, part] = uniform[:, part] < np.where(unchanged, chance[:, part] / any_more[:, part], later_chance)
            unchanged &= ~result[:, part]
        return result

    def membership(self, values: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
        start, at = values[f"{self.name}_start"], features[:, 0]
        flat = start.reshape(-1, start.shape[-1])
        segment = np.stack([np.searchsorted(starts, at, side="right") - 1 for starts in flat])
        return segment.reshape(*start.shape[:-1], len(at))

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        return np.take_along_axis(self.level(values), self.membership(values, features)[..., None], axis=-2)

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(self.context.at(frame))

    @property
    def axes(self) -> tuple[Context, ...]:
        return (self.context,)
