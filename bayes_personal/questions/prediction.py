"""Prediction: parameters, mean and outcome of known rows, new rows of known groups, new groups and new contexts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.columns import table, unit_labels
from bayes_personal.errors import NotFittedError
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.posterior.summary import tabulate
from bayes_personal.posterior.theta import Computed, KnownContexts, RowSlice, Theta, Training
from bayes_personal.priors.parts.features import Features
from bayes_personal.questions.extrapolation import warn_of_extrapolation
from bayes_personal.questions.few_shot import FewShot
from bayes_personal.samplers.redrawn import all_draws, extended
from bayes_personal.system.arguments import Seed, one_of, seed_number
from bayes_personal.system.running import verb

Kind = Literal["theta", "mean", "outcome"]

# Draws and rows whose outcomes are made together, from random numbers of their own.
DRAWS, ROWS = 1024, 64
# Rows of a summary that are shown.
HEAD = 10


@final
@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Draws of what is predicted at every row of a frame.

    Attributes
    ----------
    kind : "theta", "mean" or "outcome"
    computed : what computes the draws
    index : of the frame
    status : column by column of group labels, "known", "new", "empty" or "unknown" of each row
    """

    kind: Kind
    computed: Computed
    index: pd.Index
    status: Mapping[str, np.ndarray]

    @cached_property
    def draws(self) -> xr.DataArray:
        """(chain, draw, unit) or, for theta, (chain, draw, unit, coefficient); in data units.

        Only what is asked for is computed, whenever it is, and always the same: ``draws.isel(unit=3)`` is one row.
        All of it is as large as draws times rows; `frame` summarises it without making it. The coordinate ``unit`` is
        the frame's index, as in `Posterior.theta`.
        """
        chains, draws = self.computed.sizes
        coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws),
                                  "unit": unit_labels(self.index)}
        coords |= {f"{name}_status": ("unit", each) for name, each in self.status.items()}
        if self.kind == "theta":
            coords["coefficient"] = list(self.computed.bound.coefficients.names)
        return self.computed.array(self.kind, coords)

    def frame(self) -> pd.DataFrame:
        """Mean, sd and 5, 50, 95 % quantiles, the frame's index kept; the group status of each row where it has one."""
        return self._summary(len(self.index))

    def _summary(self, rows: int) -> pd.DataFrame:
        """Of the first so many rows."""
        status = {f"{name}_status": each[:rows] for name, each in self.status.items()}
        names = self.computed.bound.coefficients.names if self.kind == "theta" else ()
        return tabulate(self.computed.statistics(np.arange(rows)), self.index[:rows], names, **status)

    def __repr__(self) -> str:
        sizes = " x ".join(f"{size} {dim}" for dim, size in self.draws.sizes.items())
        return f"Prediction of {self.kind}: {sizes}\n{self._summary(min(len(self.index), HEAD)).head(HEAD)}"


@dataclass(frozen=True, eq=False, repr=False)
class Mean(Computed):
    """Expected outcomes, (chain, draw, unit)."""

    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        return self.likelihood(self.at(draws), draws, places, part).mean()

    def likelihood(self, values: Mapping[str, np.ndarray], draws: np.ndarray, places: np.ndarray,
                   part: RowSlice) -> Likelihood:
        """The distribution of the outcomes at some draws and rows."""
        return self.bound.family.likelihood(self.eta(draws, places, part), self.own(values, part), part.constants, np)

    def eta(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        """x_i' theta_i, (draw, unit)."""
        return self.bound.eta_of(self.theta(draws, places, part), part.x)

    def own(self, values: Mapping[str, np.ndarray], part: RowSlice) -> dict[str, np.ndarray]:
        """The family's own parameters, (draw, 1) or (draw, unit)."""
        result, error = self.bound.family_values(values), self.bound.family.error_parameter
        for term, features in zip(self.bound.terms, part.features, strict=False):
            if error is not None and term.error_elsewhere is not None:
                unseen = features.matrix.indices >= term.size
                result[error] = np.where(unseen, values[term.error_elsewhere][:, None], result[error])
        return result


@final
@dataclass(frozen=True, eq=False, repr=False)
class Outcome(Mean):
    """New outcomes, (chain, draw, unit), the same whichever of them are asked for."""

    together = ROWS

    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        result, numbers = np.empty((len(draws), len(part))), draws // DRAWS
        for number in np.unique(numbers):
            all_of = np.arange(number * DRAWS, min((number + 1) * DRAWS, np.prod(self.sizes)))
            values, asked = self.at(all_of), np.flatnonzero(numbers == number)
            for start in range(0, len(part), ROWS):
                rows = slice(start, start + ROWS)
                seed = np.random.SeedSequence(self.seeds.entropy, spawn_key=(int(number), int(places[start]) // ROWS))
                some = part[rows]
                likelihood = self.likelihood(values, all_of, places[rows], some)
                made = likelihood.draw(np.random.default_rng(seed), (len(all_of), len(some)))
                result[asked, rows] = made[draws[asked] - all_of[0]]
        return result


@verb
def predict(posterior: Posterior, frame: Any = None, *, kind: Kind = "mean", given: Any = None,
            seed: Seed = None) -> Prediction:
    """What the posterior says of every row's parameters, expected outcome or outcome.

    A row of a known group takes that group's posterior. All rows of one new group share one draw of the population;
    two new groups do not, and neither do two rows whose label is missing. A context keeps the training scaling.

    Parameters
    ----------
    posterior
        A fitted model.
    frame
        Rows to predict at, with the model's predictors and contexts by name; the training rows by default.
    kind
        "theta" (parameters), "mean" (expected outcome) or "outcome" (a new outcome, noise included); data units.
    given
        Rows with outcomes of groups that training never saw, for a Normal family. Their groups are then known ones:
        given a draw of what groups share, their parameters follow exactly, and draws count by how well they predicted
        these rows. Nothing is fitted again.
    seed
        Of what is drawn anew: new groups, and outcomes.

    Returns
    -------
    Prediction
        With `draws` as an `xarray.DataArray`, computed where they are asked for, and `frame()` as a summary.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    InputError, InputTypeError
        A column that is missing or holds what training could not take; an unseen level of a predictor; given rows of
        groups that training saw.
    SpecificationError
        Given rows and a family that is not Normal, or no or several context columns with new groups, or a population
        that `FineTuned` freezes.

    Warns
    -----
    ConvergenceWarning
        Given rows that change what is known of all groups more than weighting draws can follow.
    InputWarning
        Rows with a context outside the training range, or in the middle of a long gap of it (`bayes_personal.data.gaps`
        says what that is), and rows with a predictor further outside its range than a quarter of it; all counted.
    """
    if not isinstance(posterior, Posterior):
        raise NotFittedError(f"predict needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
    one_of("predict", ("theta", "mean", "outcome"), kind=kind)
    bound, chains = posterior.bound, posterior.tree["posterior"].sizes
    values = all_draws(bound, posterior.tree)
    seeds, sizes = np.random.SeedSequence(seed_number("predict", seed)), (chains["chain"], chains["draw"])
    if given is not None:
        few = FewShot.of(bound, given)
        bound, values = few.bound, few.learned(values, np.random.default_rng(seeds.spawn(1)[0]))
    if frame is None:
        rows, index = Training(bound), bound.rows.index
        one = bound.features_at(next(bound.rows.batches()).frame.iloc[:1])
        status = {name: np.broadcast_to("known", len(rows)) for each in one for name in each.status}
    else:
        new = table(frame)
        x, features = bound.design.at(new), bound.features_at(new)
        warn_of_extrapolation(bound, new, x)
        # The error of a Gaussian outcome does not move its mean: rows without a standard error have one.
        errorless = kind == "theta" or kind == "mean" and bound.family.gaussian
        constants = np.ones(len(new)) if errorless else bound.family.constants(new)
        values = with_new_features(bound, values, features, np.random.default_rng(seeds))
        rows, index = KnownContexts(RowSlice(features, x, constants)), new.index
        status = {name: each for one in features for name, each in one.status.items()}
    computed = {"theta": Theta, "mean": Mean, "outcome": Outcome}[kind](bound, values, sizes, rows, seeds)
    return Prediction(kind, computed, index, status)


def with_new_features(bound: BoundModel, values: Mapping[str, np.ndarray], features: tuple[Features, ...],
                      rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The values with every effect, and what fields are drawn with, extended to features that training never saw."""
    result = dict(values)
    for term, one in zip(bound.terms, features, strict=False):
        name = f"{term.name}_effect"
        effect = values[name]
        fresh = one.matrix.shape[1] - effect.shape[1]
        if fresh:
            result[name] = extended(effect, term.unseen(values, fresh, rng))
    for field, one in zip(bound.nonlinear, features[len(bound.terms) :], strict=True):
        result |= field.extended(result, one.matrix, rng)
    return result
