"""Points that repel each other: a determinantal density whose normaliser is known exactly.

For K points a_k in p dimensions with independent standard normal coordinates, and their symmetric matrix ``M`` with
``M[k, k] = 1``, ``M[k, l] = strength * exp(-|a_k - a_l|^2 / (2 p length^2))``,

    p(a | length) = prod over k of Normal(a_k; 0, I) * det M / E[det M]

The determinant lies between 0 and 1, and is nearer to 0 the closer two points are. Division by p gives a length the
same meaning in every dimension: independent points are sqrt(2) apart in the root mean square over coordinates.

Under the normal law the kernel has the eigenvalues ``r B^n``, n = 0, 1, ..., in one dimension, and their products
in several dimensions. Sums of their powers are geometric series, from which Newton's identities give E[det M]. Cf.
Kulesza and Taskar (2012), doi:10.1561/2200000044; Fasshauer and McCourt (2012), doi:10.1137/110824784.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Any, final

import numpy as np

from bayes_personal.hyperpriors.parameter import Joint

# Beyond these limits Newton's identities, whose terms alternate in sign, lose more than 7 digits, and draws are slow.
# At length 1 points repel over their whole spread; at strength 0.99 points that meet have 1/50 of the density of points
# far apart.
LONGEST, STRONGEST, MOST = 1.0, 0.99, 8
FEWEST_TRIED, MOST_TRIED = 16, 4096


@final
@dataclass(frozen=True)
class Determinantal(Joint):
    """A joint density in which the rows of an array of standard normals, (point, coordinate), repel each other.

    Attributes
    ----------
    given : name of the hyperparameter that is the length; lengths above `LONGEST` count as `LONGEST`
    count, dimensions : number of points, up to `MOST`, and number of their coordinates
    strength : between 0, where points are independent, and `STRONGEST`
    """

    given: tuple[str]
    count: int
    dimensions: int
    strength: float

    def log_determinant(self, points: Any, length: Any, xp: Any) -> Any:
        """Return log det M, (...)."""
        difference = points[..., :, None, :] - points[..., None, :, :]
        kernel = xp.exp(-(difference**2).mean(axis=-1) / (2 * length[..., None, None] ** 2))
        return xp.linalg.slogdet(self.strength * kernel + (1 - self.strength) * np.eye(self.count))[1]

    def log_normaliser(self, length: Any, xp: Any) -> Any:
        """Return log E[det M], (...)."""
        b = 1 / (2 * self.dimensions * length**2)
        total = 0.25 + b + xp.sqrt(1 / 16 + b / 2)
        largest, ratio = xp.sqrt(0.5 / total), b / total
        # Closed chains of points: for one point the diagonal, 1; for more points the trace of a power of the kernel.
        rings = [1.0, *(self.strength**m * (largest**m / (1 - ratio**m)) ** self.dimensions
                        for m in range(2, self.count + 1))]
        symmetric = [1.0]
        for k in range(1, self.count + 1):
            symmetric.append(sum((-1) ** (m - 1) * symmetric[k - m] * rings[m - 1] for m in range(1, k + 1)) / k)
        return xp.log(factorial(self.count) * symmetric[-1])

    def reached(self, length: Any, xp: Any) -> Any:
        """Return the length that counts."""
        return xp.minimum(length, LONGEST)

    def log_ratio(self, value: Any, given: tuple[Any, ...], xp: Any) -> Any:
        length = self.reached(given[0], xp)
        return self.log_determinant(value, length, xp) - self.log_normaliser(length, xp)

    def draw(self, rng: np.random.Generator, given: tuple[Any, ...],
             independent: Callable[[int], np.ndarray]) -> np.ndarray:
        """Draw sets of independent points until one is accepted, each with the probability det M."""
        length, attempts = np.minimum(given[0], LONGEST), FEWEST_TRIED
        while True:
            points = independent(attempts)
            accepted = np.log(rng.random(attempts)) < self.log_determinant(points, length, np)
            if accepted.any():
                return points[accepted.argmax()]
            attempts = min(2 * attempts, MOST_TRIED)
