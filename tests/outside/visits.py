"""A prior of one's own whose divisions are summed out: coefficients that may change from any visit to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors import Prior
from bayes_personal.priors.divisions.change_prior import Changes
from bayes_personal.priors.divisions.partitions import Partitions, log_evidence_and_gradient
from bayes_personal.priors.divisions.segments import SegmentSums
from bayes_personal.priors.divisions.sums import DivisionSums
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.divided import law_of_cells
from bayes_personal.priors.parts.division import Division
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Piece
from bayes_personal.testing import check_prior

SCALE = bp.Hyperprior("HalfNormal", sigma=1.0, relative=True)


@final
@dataclass(frozen=True, repr=False)
class Visits(Prior):
    """Coefficients are constant from one change to the next; before each visit but the first there is one by chance."""

    visit: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.visit,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        law = law_of_cells(self.owner, coefficients)
        return (Spells(self, np.unique(frame[self.visit].to_numpy(float)), law, np.arange(len(coefficients.names)),
                       coefficients),)

    @property
    def linear(self) -> bool:
        return False

    @property
    def deviation(self) -> str:
        return f"d[spell of {self.visit}_i]"

    def story(self) -> tuple[str, ...]:
        return (f"a spell begins at any {self.visit} with the probability {self.visit}_chance",
                f"{self.visit}_chance ~ Beta(1, 4)", f"d[spell, k] has the standard deviation {self.visit}_scale[k]",
                f"{self.visit}_scale[k] ~ {SCALE.words(unit='unit[k]')}")


@final
@dataclass(frozen=True, eq=False)
class Spells(Division):
    """Step functions of the visits."""

    prior: Visits
    places: np.ndarray
    law: Conjugate
    positions: np.ndarray
    coefficients: Coefficients

    def parameters(self) -> tuple[Parameter, ...]:
        chance = Parameter(self.frequency, "Beta", {"alpha": np.float64(1.0), "beta": np.float64(4.0)}, np.array(0.0),
                           np.array(1.0))
        return SCALE.bind(f"{self.name}_scale", 0.0, self.unit, self.varying), chance

    @property
    def frequency(self) -> str:
        return f"{self.name}_chance"

    def cut(self, values: Mapping[str, Any], xp: Any) -> Any:
        chance = values[self.frequency]
        return xp.log(chance + 1e-300) - xp.log(1 - chance + 1e-16)

    def cells(self, values: Mapping[str, Any]) -> Any:
        return 1 + values[self.frequency] * (len(self.places) - 1)

    @cached_property
    def sums(self) -> DivisionSums:
        return SpellSums(self.places)

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_level": {f"{self.name}_place": tuple(map(str, self.places))} | self.varying}

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return self.latent

    def sampled(self, drawn: Sequence[np.ndarray], levels: np.ndarray) -> dict[str, np.ndarray]:
        cuts = np.cumsum([len(starts) for starts in drawn])[:-1]
        lengths = [np.diff(np.append(starts, len(self.places))) for starts in drawn]
        level = [np.repeat(own, length, axis=0) for own, length in zip(np.split(levels, cuts), lengths, strict=True)]
        return {f"{self.name}_level": np.stack(level)}

    def simulated(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        many = {name: np.asarray(value)[None] for name, value in values.items()}
        begins = rng.random(len(self.places)) < values[self.frequency]
        begins[0] = True
        starts = np.flatnonzero(begins)
        found = self.sampled([starts], self.fresh(many, np.zeros(len(starts), int), rng))
        return {name: value[0] for name, value in found.items()}

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        return values[f"{self.name}_level"][..., features[:, 0].astype(int), :]

    def at(self, frame: pd.DataFrame) -> Features:
        # A visit between two others is of the spell of the one before.
        visit = frame[self.prior.visit].to_numpy(float)
        place = np.searchsorted(self.places, visit, side="right") - 1
        return Features(np.clip(place, 0, None)[:, None].astype(float))


@final
@dataclass(frozen=True, eq=False)
class SpellSums(DivisionSums):
    """Over all divisions of the visits; the argument is the log odds of a change."""

    places: np.ndarray
    slow = False
    exact = True
    target_accept = 0.95
    starts = ()

    @property
    def leave_one_out_work(self) -> int:
        return self.cells**3

    @property
    def cells(self) -> int:
        return len(self.places)

    def cell(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[:, 0].astype(int)

    def changes(self, last: float) -> Changes:
        """The same odds before each visit but the first."""
        later = np.append(0.0, np.ones(self.cells - 1))
        return Changes(last * later, -np.logaddexp(0, last) * later, later, -later / (1 + np.exp(-last)))

    def log_evidence(self, segments: SegmentSums, last: float) -> float:
        return Partitions(segments, self.changes(last)).log_evidence

    def log_evidence_and_gradient(self, segments: SegmentSums, last: float) -> tuple[float, np.ndarray]:
        return log_evidence_and_gradient(segments, self.changes(last))

    def draw(self, segments: SegmentSums, last: float, count: int,
             rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        starts, levels = Partitions(segments, self.changes(last)).draw_segments(count, rng)
        return [np.flatnonzero(one) for one in starts], levels

    def left_out(self, segments: SegmentSums, last: float, drawn: np.ndarray | None) -> np.ndarray:
        return Partitions(segments, self.changes(last)).left_out()


def check() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"visit": rng.integers(0, 12, 48), "x": rng.normal(size=48)})
    check_prior(Visits("visit"), frame)
    check_prior(Visits("visit"), frame, formula="y ~ 1", family=bp.Bernoulli())
