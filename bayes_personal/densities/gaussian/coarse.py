"""The density of hyperparameters without weights that hardly matter: cheap, and near enough to search and propose.

A process over two contexts has a hundred cosines a coefficient, for length-scales down to a third of the half-range. At
the length-scales that data support, twenty to forty of them carry nearly all of the variance.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.rows import Rows
from bayes_personal.densities.gaussian.sufficient import Statistics
from bayes_personal.densities.marginal import Effort, HyperparameterDensity
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.tape import Tape


@final
@dataclass(frozen=True, eq=False)
class CoarseDensity(HyperparameterDensity):
    """A Gaussian density with weights only at some places, and the others at zero.

    Attributes
    ----------
    whole : the density with all weights
    kept : mask of the weights that are kept, those of correlated coefficients among them, (weight,)
    """

    whole: GaussianDensity
    kept: np.ndarray

    @property
    def bound(self) -> BoundModel:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The model with its data."""
        return self.whole.bound

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.whole.parameters

    @property
    def effort(self) -> Effort:
        return self.whole.effort

    def _outputs(self, point: Any) -> list[Any]:
        log_prior, s, *scales = self.whole.outputs(point)
        size = len(self.kept)
        return [log_prior, s, *np.array(scales[:size], object)[self.kept], *scales[size:]]

    @cached_property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments that the kernel's functions of a point take beside the point."""
        tape, data = Tape.of(self._outputs, self.size), self.data
        *_, (_, *shape), _, _, _, places, numbers = self.whole.arguments
        places = places.copy()
        places[:, 0] = [self.kept[:start].sum() for start in places[:, 0]]
        return (*tape.arrays, (int(self.kept.sum()), *shape), *data.matrices, places, numbers)

    @cached_property
    def data(self) -> Statistics | Rows:
        """What the density needs of the rows: sums over them where these are more than the weights that are kept."""
        data = self.whole.data.at_weights(self.kept)
        return data.summed() if isinstance(data, Rows) and data.count > self.kept.sum() else data

    def _value(self, point: np.ndarray) -> float:
        return self.data.kernel.value(point, *self.arguments)

    def each_value(self, points: np.ndarray) -> np.ndarray:
        return self.data.kernel.values(np.ascontiguousarray(points), *self.arguments)

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        return self.data.kernel.value_and_gradient(point, *self.arguments)


def most_needed(density: GaussianDensity, points: np.ndarray, count: int) -> np.ndarray:
    """Return a mask of the weights of which rows tell most at points (draw, size), (weight,).

    Of correlated coefficients all are kept, beyond the count.
    """
    scaling, s = density.draws(density.values(points), len(points))
    gained = (scaling.sd**2 / s[:, None] ** 2).mean(axis=0) * density.data.squares
    for block in density.rooted:
        gained[block.weights] = np.inf
    return gained >= np.sort(gained)[-count]
