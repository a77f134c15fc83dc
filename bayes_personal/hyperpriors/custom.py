"""What stands for PyMC's class of a distribution that PyMC does not have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np


@final
@dataclass(frozen=True)
class Custom:
    """What stands for PyMC's class of a distribution that PyMC does not have.

    Attributes
    ----------
    name : name of the distribution
    arguments : names of its parameters, in order
    signature : dimensions of the parameters and of a value, in NumPy's notation
    log_density : (value, *parameters, xp) -> array
    draw : (generator, shape, *parameters) -> array
    """

    name: str
    arguments: tuple[str, ...]
    signature: str
    log_density: Callable[..., Any]
    draw: Callable[..., Any]

    def __call__(self, name: str, **options: Any) -> Any:
        """Declare a variable in the open model."""
        import pymc as pm

        return pm.CustomDist(name, *self._split(options), **self._functions, **options)

    def dist(self, **options: Any) -> Any:
        """Return the distribution without a name."""
        import pymc as pm

        return pm.CustomDist.dist(*self._split(options), **self._functions, class_name=self.name, **options)

    def _split(self, options: dict[str, Any]) -> list[Any]:
        return [options.pop(name) for name in self.arguments]

    @property
    def _functions(self) -> dict[str, Any]:
        import pytensor.tensor as pt

        def logp(value: Any, *arguments: Any) -> Any:
            return self.log_density(value, *arguments, pt)

        def random(*arguments: Any, rng: np.random.Generator, size: Any = None) -> np.ndarray:
            shape = np.broadcast_shapes(*(np.shape(each)[: np.ndim(each) - len(core)]
                                          for each, core in zip(arguments, self._cores, strict=True)))
            return self.draw(rng, shape if size is None else tuple(size), *arguments)

        return {"logp": logp, "random": random, "signature": self.signature}

    @property
    def _cores(self) -> list[str]:
        """The names of each parameter's own dimensions."""
        return [core.strip("()") for core in self.signature.split("->")[0].split(",")]
