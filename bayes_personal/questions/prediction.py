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

# Draws and rows whose outcomes are made together, from one seed.
DRAWS, ROWS = 1024, 64
# Rows of the summary that `repr` shows.
HEAD = 10


@final
@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Draws of a prediction at every row of a frame.

    Attributes
    ----------
    kind : "theta", "mean" or "outcome"
    computed : the array that computes the draws
    index : index of the frame
    status : for every column of group labels, "known", "new", "empty" or "unknown" of each row
    """

    kind: Kind
    computed: Computed
    index: pd.Index
    status: Mapping[str, np.ndarray]

    @cached_property
    def draws(self) -> xr.DataArray:
        """(chain, draw, unit) or, for theta, (chain, draw, unit, coefficient); in data units.

        Draws are computed when they are asked for, and always the same: ``draws.isel(unit=3)`` computes one row. The
        whole array is as large as draws times rows; `frame` summarises it without making it. The coordinate ``unit`` is
        the frame's index, as in `Posterior.theta`.
        """
        chains, draws = self.computed.sizes
        coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws),
                                  "unit": unit_labels(self.index)}
        coords |= {f"{name}_status": ("unit", labels) for name, labels in self.status.items()}
        if self.kind == "theta":
            coords["coefficient"] = list(self.computed.bound.coefficients.names)
        return self.computed.array(self.kind, coords)

    def frame(self) -> pd.DataFrame:
        """Tabulate mean, sd and 5, 50, 95 % quantiles, and group status if rows have one; the frame's index is kept."""
        return self._summary(len(self.index))

    def _summary(self, rows: int) -> pd.DataFrame:
        """Tabulate the first rows."""
        status = {f"{name}_status": labels[:rows] for name, labels in self.status.items()}
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
        """Return the distribution of the outcomes at some draws and rows."""
        family_values = self.family_values(values, part)
        return self.bound.family.likelihood(self.eta(draws, places, part), family_values, part.constants, np)

    def eta(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        """Return x_i' theta_i, (draw, unit, predictor)."""
        return self.bound.eta_of(self.theta(draws, places, part), part.x)

    def family_values(self, values: Mapping[str, np.ndarray], part: RowSlice) -> dict[str, np.ndarray]:
        """Return the values of the family's own parameters, (draw, 1) or (draw, unit)."""
        result, error = self.bound.family_values(values), self.bound.family.error_parameter
        for term, features in zip(self.bound.terms, part.features, strict=False):
            if error is not None and term.error_elsewhere is not None:
                unseen = features.matrix.indices >= term.size
                result[error] = np.where(unseen, values[term.error_elsewhere][:, None], result[error])
        return result


@final
@dataclass(frozen=True, eq=False, repr=False)
class Outcome(Mean):
    """New outcomes, (chain, draw, unit), which do not depend on the rows and draws asked for."""

    block_size = ROWS

    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        result, numbers = np.empty((len(draws), len(part))), draws // DRAWS
        for number in np.unique(numbers):
            block_draws = np.arange(number * DRAWS, min((number + 1) * DRAWS, np.prod(self.sizes)))
            values, positions = self.at(block_draws), np.flatnonzero(numbers == number)
            for start in range(0, len(part), ROWS):
                rows = slice(start, start + ROWS)
                seed = np.random.SeedSequence(self.seeds.entropy, spawn_key=(int(number), int(places[start]) // ROWS))
                part_rows = part[rows]
                likelihood = self.likelihood(values, block_draws, places[rows], part_rows)
                outcomes = likelihood.draw(np.random.default_rng(seed), (len(block_draws), len(part_rows)))
                result[positions, rows] = outcomes[draws[positions] - block_draws[0]]
        return result


@verb
def predict(posterior: Posterior, frame: Any = None, *, kind: Kind = "mean", given: Any = None,
            seed: Seed = None) -> Prediction:
    """Predict every row's parameters, expected outcome or outcome.

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
        Rows with outcomes of groups that training never saw, for a Normal family. Their groups are then known: given a
        draw of the parameters that groups share, the parameters of these groups follow exactly, and draws are weighted
        by how well they predict these rows. Nothing is fitted again.
    seed
        Seed of the new draws: of new groups, and of outcomes.

    Returns
    -------
    Prediction
        `draws` are an `xarray.DataArray`, computed where they are asked for; `frame()` is a summary.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    InputError, InputTypeError
        A column that is missing or holds what training could not take; an unseen level of a predictor; given rows of
        groups that training saw.
    SpecificationError
        Given rows and a family that is not Normal, or no or several context columns with new groups, or a population
        that `FineTuned` freezes.

    Warns
    -----
    ConvergenceWarning
        Given rows that change the posterior of all groups more than weighted draws can follow.
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
        few_shot = FewShot.of(bound, given)
        bound, values = few_shot.bound, few_shot.learned(values, np.random.default_rng(seeds.spawn(1)[0]))
    if frame is None:
        rows, index = Training(bound), bound.rows.index
        first_features = bound.features_at(next(bound.rows.batches()).frame.iloc[:1])
        status = {name: np.broadcast_to("known", len(rows)) for part in first_features for name in part.status}
    else:
        new = table(frame)
        x, features = bound.design.at(new), bound.features_at(new)
        warn_of_extrapolation(bound, new, x)
        # The mean of a Gaussian outcome does not depend on its error, so rows without a standard error can have a mean.
        errorless = kind == "theta" or kind == "mean" and bound.family.gaussian
        constants = np.ones(len(new)) if errorless else bound.family.constants(new)
        values = with_new_features(bound, values, features, np.random.default_rng(seeds))
        rows, index = KnownContexts(RowSlice(features, x, constants)), new.index
        status = {name: labels for piece_features in features for name, labels in piece_features.status.items()}
    computed = {"theta": Theta, "mean": Mean, "outcome": Outcome}[kind](bound, values, sizes, rows, seeds)
    return Prediction(kind, computed, index, status)


def with_new_features(bound: BoundModel, values: Mapping[str, np.ndarray], features: tuple[Features, ...],
                      rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Extend the values, every effect and the variables of functions, to features that training never saw."""
    result = dict(values)
    for term, piece_features in zip(bound.terms, features, strict=False):
        name = f"{term.name}_effect"
        effect = values[name]
        new_count = piece_features.matrix.shape[1] - effect.shape[1]
        if new_count:
            result[name] = extended(effect, term.unseen(values, new_count, rng))
    for field, piece_features in zip(bound.nonlinear, features[len(bound.terms) :], strict=True):
        result |= field.extended(result, piece_features.matrix, rng)
    return result
