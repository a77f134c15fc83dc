"""MetaLearned: tasks differ in a few learned directions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.levels import Grouped, Levels
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import context_column, whole_number


@final
@dataclass(frozen=True, repr=False)
class MetaLearned(Prior):
    """Tasks differ in a few directions, which are learned from all of them, and a little in everything else.

    Generative story: ``theta_j = mu + B z_j + scale * e_j``, ``z_j ~ Normal(0, I)`` of length `rank`,
    ``e_j ~ Normal(0, I)``, ``B[k, l] ~ Normal(0, unit[k] amplitude[l])``, ``amplitude[1] ~ HalfNormal(1)``,
    ``amplitude[l] = amplitude[l - 1] shrink[l - 1]``, ``shrink[l] ~ Beta(1, 1)``: each further direction matters
    less than the one before, so that a rank which is too large is shrunk away. Where the intercept varies, all of it
    refers to the intercept at the predictors' means.

    Only ``B B'``, the covariance that tasks share, is reported (``<task>_shared``): directions turn and change sign
    at will. `adapt` gives a new task its parameters from a few rows of its own, and refits nothing.

    Right when tasks are many and their parameters lie near a low-dimensional plane: few rows then place a task within
    it. Fails when tasks fall into clusters, and when they are fewer than about ``rank + 5``: the plane is then not
    learned, and `PartialPooling` says the same with fewer words.

    Parameters
    ----------
    task
        Column of task labels.
    rank
        Directions; by default the most that variances and covariances of so many coefficients can tell from their own
        (Ledermann's bound), at least 1. With 0 every coefficient varies by itself.
    on
        Coefficients that vary between tasks; all by default.
    scale
        Hyperprior of the standard deviations of what is each task's own, in units of outcome / predictor.
    shared
        Hyperprior of the standard deviation of the first direction's loadings, the same for all coefficients: of their
        natural units where it is relative, as the default is; in units of outcome / predictor where it is not.

    Raises
    ------
    SpecificationError
        A rank that is no whole number, or is larger than the number of coefficients that vary; a hyperprior that can be
        negative; an unknown coefficient.
    InputError
        A missing task label, or a single task.

    References
    ----------
    Grant, Finn, Levine, Darrell and Griffiths (2018), doi:10.48550/arXiv.1801.08930. Bhattacharya and Dunson (2011),
    doi:10.1093/biomet/asr013. Ledermann (1937), doi:10.1007/BF02288062.
    """

    task: str
    rank: int | None = None
    on: tuple[str, ...] | list[str] | str | None = None
    scale: Hyperprior = NATURAL_SCALE
    shared: Hyperprior = NATURAL_SCALE

    def __post_init__(self) -> None:
        context_column("MetaLearned", task=self.task)
        owner = self.owner
        object.__setattr__(self, "on", as_names(self.on))
        if self.rank is not None:
            whole_number(owner, 0, rank=self.rank)
        must_be_positive(owner, scale=self.scale, shared=self.shared)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.task,)

    @property
    def grouping(self) -> tuple[str, ...]:
        return (self.task,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = self.owner
        levels, positions = Levels.learn(frame, self.task, owner), coefficients.select(self.on, owner)
        rank = most_directions(len(positions)) if self.rank is None else self.rank
        if rank > len(positions):
            raise SpecificationError(f"{owner}: rank={rank} directions of {len(positions)} coefficients that vary "
                                     f"({', '.join(coefficients.names[k] for k in positions)}); give a rank of at "
                                     f"most {len(positions)}.")
        return (TasksTerm(self, levels, positions, coefficients, rank),)

    @property
    def deviation(self) -> str:
        return restricted(f"{self.task}_effect({self.task}_i)", self.on)

    def story(self) -> tuple[str, ...]:
        task, directions = self.task, "as many as can be told" if self.rank is None else self.rank
        lines = (f"{task}_effect(j) ~ MvNormal(0, B B' + diag({task}_scale^2)), the intercept at the predictors' means",
                 f"{task}_scale[k] ~ {self.scale.words(unit='unit[k]')}")
        if self.rank == 0:
            return (lines[0].replace("B B' + ", ""), lines[1])
        unit = "unit[k] " if self.shared.relative else ""
        return (*lines, f"B[k, l] ~ Normal(0, {unit}amplitude[l]), directions l: {directions}",
                f"amplitude[1] ~ {self.shared.words()}, amplitude[l] = amplitude[l - 1] {task}_shrink[l - 1]",
                f"{task}_shrink[l] ~ Beta(1, 1)")


def most_directions(coefficients: int) -> int:
    """Return Ledermann's bound, the largest q with (p - q)^2 >= p + q for p coefficients; at least 1."""
    bound = (2 * coefficients + 1 - np.sqrt(8 * coefficients + 1)) / 2
    return max(int(np.floor(bound + 1e-9)), 1)


@final
@dataclass(frozen=True, eq=False)
class TasksTerm(Grouped):
    """The effects of the training tasks."""

    prior: MetaLearned
    levels: Levels
    positions: np.ndarray
    coefficients: Coefficients
    rank: int

    @property
    def directions(self) -> dict[str, tuple[str, ...]]:
        """The directions, as labels of a dimension."""
        return {f"{self.name}_direction": tuple(str(place + 1) for place in range(self.rank))}

    @property
    def ridged(self) -> bool:
        # Loadings turn and change sign together, and share a variance with the scales.
        return self.rank > 0

    def parameters(self) -> tuple[Parameter, ...]:
        scale = self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying)
        if not self.rank:
            return (scale,)
        size, labels = len(self.positions), self.directions[f"{self.name}_direction"]
        shape = (size, self.rank)
        # A search for the mode starts at the location, and 0 is a saddle, as opposite directions are equally dense.
        start = np.cos(np.pi * np.arange(self.rank) * (np.arange(size)[:, None] + 0.5) / size)
        loading = Parameter(f"{self.name}_loading", "Normal", {"mu": np.zeros(shape), "sigma": np.ones(shape)}, start,
                            np.ones(shape), self.varying | self.directions, diagnosed=False)
        amplitude = self.prior.shared.bind(f"{self.name}_amplitude")
        shrink = Parameter(f"{self.name}_shrink", "Beta", {"alpha": np.ones(self.rank - 1),
                                                          "beta": np.ones(self.rank - 1)},
                           np.zeros(self.rank - 1), np.ones(self.rank - 1), {f"{self.name}_further": labels[1:]})
        return (scale, amplitude, *((shrink,) if self.rank > 1 else ()), loading)

    def loadings(self, values: Mapping[str, Any]) -> list[list[Any]]:
        """Return B in natural units by entries (coefficient, direction), each with the leading axes of the values."""
        loading, amplitude = values[f"{self.name}_loading"], values[f"{self.name}_amplitude"]
        step = np.ones(len(self.positions)) if self.prior.shared.relative else 1 / self.unit
        columns = []
        for place in range(self.rank):
            if place:
                amplitude = amplitude * values[f"{self.name}_shrink"][..., place - 1]
            columns.append([loading[..., k, place] * amplitude * step[k] for k in range(len(self.positions))])
        return [list(row) for row in zip(*columns, strict=True)]

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        specific = values[f"{self.name}_scale"] / self.unit
        if not self.rank:
            return values[f"{self.name}_scale"][..., None, :], None
        covariance = products(self.loadings(values))
        for k, row in enumerate(covariance):
            row[k] = row[k] + specific[..., k] ** 2
        sd = [xp.sqrt(covariance[k][k]) for k in range(len(covariance))]
        root = factor(covariance, xp)
        rows = [xp.stack([entry / sd[k] for entry in row], axis=-1) for k, row in enumerate(root)]
        return xp.stack(sd, axis=-1)[..., None, :] * self.unit, xp.stack(rows, axis=-2)

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        if not self.rank:
            return {}
        ((name, labels),) = self.varying.items()
        return {f"{self.name}_shared": {name: labels, f"{name}_other": labels}}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        if not self.rank:
            return {}
        rows = [xp.stack(row, axis=-1) for row in products(self.loadings(values))]
        return {f"{self.name}_shared": xp.stack(rows, axis=-2) * np.outer(self.unit, self.unit)}


def products(rows: list[list[Any]]) -> list[list[Any]]:
    """Return B B' by entries."""
    return [[sum(a * b for a, b in zip(left, right, strict=True)) for right in rows] for left in rows]


def factor(matrix: list[list[Any]], xp: Any) -> list[list[Any]]:
    """Return the lower Cholesky factor of a matrix by entries, with zeros above the diagonal."""
    zero = 0 * matrix[0][0]
    root: list[list[Any]] = []
    for i, row in enumerate(matrix):
        root.append([zero] * len(matrix))
        for j in range(i + 1):
            remainder = row[j]
            for k in range(j):
                remainder = remainder - root[i][k] * root[j][k]
            root[i][j] = xp.sqrt(remainder) if i == j else remainder / root[j][j]
    return root
