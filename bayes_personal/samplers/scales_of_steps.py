"""The scales of a walk's steps, as compiled updates take them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.densities.walk.walk_density import WalkDensity
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.tape import Tape
from bayes_personal.kernels.walk_scales import HORSESHOE, LAPLACE, Steps


@final
@dataclass(frozen=True, eq=False)
class Scales:
    """What compiled updates need of a density."""

    density: WalkDensity

    @property
    def local(self) -> slice:
        """The entries of a point that are logarithms of local scales."""
        scale, local = self.density.parameters[:2]
        return slice(scale.size, scale.size + local.size)

    @cached_property
    def tape(self) -> Tape:
        """Log prior, error and scales in natural units, as functions of all entries of a point but the local scales."""
        density, (scale, _, *own) = self.density, self.density.parameters
        parameters: tuple[Parameter, ...] = scale, *own

        def results(point: Any) -> list[Any]:
            values, total, start = {}, 0.0, 0
            for parameter in parameters:
                part = point[None, start : start + parameter.size]
                values[parameter.name] = parameter.value(part)
                total = total + parameter.log_density(values[parameter.name], part)
                start += parameter.size
            natural = values[scale.name] / density.walk.unit
            return [entry for each in (total, density.sigma(values), natural)
                    for entry in np.ravel(np.asarray(each, object))]

        return Tape.of(results, sum(parameter.size for parameter in parameters))

    @property
    def horseshoe(self) -> bool:
        """Whether steps have a horseshoe."""
        return self.density.walk.prior.increments == "horseshoe"

    @cached_property
    def steps(self) -> Steps:
        """The rows of all places, and the prior."""
        density, kind = self.density, HORSESHOE if self.horseshoe else LAPLACE
        return Steps(self.tape.arrays, kind, density.walk.divisor, density.start, density.sums.products,
                     np.ascontiguousarray(density.shares), float(density.sums.count))

    @cached_property
    def reversed(self) -> Steps:
        """The same of the places in the reverse order."""
        steps = self.steps
        return steps._replace(sums=steps.sums[::-1].copy(), share=steps.share[::-1].copy())

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a point (size,) at which a chain starts: local scales from their hyperprior, and others widely."""
        point = rng.standard_normal(self.density.size)
        point[self.local] = np.log(self.density.parameters[1].draw(rng)).ravel()
        return point

    def parted(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return all entries of a point (size,) but the local scales, and the logarithms of these, (place - 1, p)."""
        local = self.density.parameters[1]
        return np.delete(point, self.local), point[self.local].reshape(local.shape).copy()

    def joined(self, points: np.ndarray, log_locals: np.ndarray) -> np.ndarray:
        """Return points (draw, size) from what `parted` returns of each."""
        before = points[:, : self.local.start]
        return np.hstack([before, log_locals.reshape(len(points), -1), points[:, before.shape[1] :]])
