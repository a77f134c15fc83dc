"""The training rows of a network whose nodes have functions of context in common, and what whole rows say of these."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.data.rows import InMemory
from bayes_personal.priors.parts.features import Features
from bayes_personal.samplers.draws import flat


@final
@dataclass(frozen=True, eq=False)
class WholeRows:
    """The training rows and the draws of all nodes that have functions of context in common.

    A row takes one branch, such as a type, for all nodes: all of them tell which one.

    Attributes
    ----------
    functions : the nodes' models, with predictors and outcomes but without the frame that these were read from
    features : f(c) of all training rows, node by node
    values : draws of what each node's outcome depends on, (draw, ...)
    """

    functions: SharedFunctions
    features: Mapping[str, tuple[Features, ...]]
    values: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def of(cls, functions: SharedFunctions, trees: Mapping[str, xr.DataTree]) -> Self:
        """Take the draws of all nodes, which were made together."""
        bounds, values = {}, {}
        for name, bound in functions.bounds.items():
            rows, whitened = bound.rows, {f"{piece.name}_z" for piece in bound.pieces}
            assert isinstance(rows, InMemory)
            bounds[name] = replace(bound, rows=replace(rows, frame=rows.frame.iloc[:, :0]))
            draws = flat(trees[name])
            values[name] = {variable: draws[variable] for variable in draws if variable not in whitened}
        features = {name: bound.features for name, bound in functions.bounds.items()}
        return cls(SharedFunctions(bounds), features, values)

    @property
    def count(self) -> int:
        """Number of draws."""
        return len(next(iter(next(iter(self.values.values())).values())))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.functions.bounds.values())).rows)

    @property
    def chosen(self) -> bool:
        """Whether rows choose among branches."""
        return self.functions.branches > 1

    def _logs(self, draws: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return log p(branch, whole row), (draw, unit, branch)."""
        values = self.values
        if not np.array_equal(draws, np.arange(self.count)):
            values = {name: {variable: value[draws] for variable, value in own.items()}
                      for name, own in self.values.items()}
        return self.functions.log_of_rows(values, places, self.features)

    def log_density(self, draws: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return log p(whole row), the branch that it takes summed out, (draw, unit)."""
        density: Any = logsumexp(self._logs(draws, places), axis=-1)
        return density

    def shares(self, draws: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the probability of each branch given the whole row, (draw, unit, branch)."""
        logs = self._logs(draws, places)
        result = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return result / result.sum(axis=-1, keepdims=True)
