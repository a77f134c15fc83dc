"""The weights on a scale on which they are nearly independent standard normals, whatever the hyperparameters are.

Under the pseudo-outcomes of `information`, the weights of a group given the hyperparameters and all other weights w
are ``z = C'^-1 (C^-1 T'(Z'y - Z'Z w) + u)`` with ``C C' = 1 + T'Z'Z T`` and a standard normal u. Where the rows tell
nothing of the group, u is z; where they tell much, u is the weight less its estimate, in standard errors. The weights
that are not eliminated have such a scale feature by feature, and on it the correlations that they have at one value of
the hyperparameters are undone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any, NamedTuple, final

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace
from scipy.linalg import solve_triangular

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.arrangement import Arrangement, Block
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.model.program import program
from bayes_personal.samplers.information import Information

# Coefficients that vary together; of more, a sampler finds the correlations given the rows by itself.
WIDEST = 8

Entries = list[list[Any]]


class Local(NamedTuple):
    """T and C of the weights of one block, feature by feature: triangles of entries (..., feature)."""

    scale: Entries
    root: Entries

    def weights(self, z: list[Any]) -> list[Any]:
        """Return T z, one coefficient after the other, (..., feature)."""
        return [total(row[b] * z[b] for b in range(a + 1) if row[b] is not None) for a, row in enumerate(self.scale)]

    def pulled(self, moments: list[Any]) -> list[Any]:
        """Return C^-1 T' of moments, such as Z'y - Z'Z w."""
        result: list[Any] = []
        for b, row in enumerate(self.root):
            product = total(self.scale[a][b] * moments[a] for a in range(b, len(moments))
                            if self.scale[a][b] is not None)
            terms = [row[k] * result[k] for k in range(b) if row[k] is not None]
            result.append((product - total(terms) if terms else product) / row[b])
        return result

    def whitened(self, z: list[Any]) -> list[Any]:
        """Return C' z."""
        size = len(z)
        return [total(self.root[b][a] * z[b] for b in range(a, size) if self.root[b][a] is not None)
                for a in range(size)]

    def unwhitened(self, whitened: list[Any]) -> list[Any]:
        """Return z, C'^-1 of the whitened z."""
        result = list(whitened)
        for a in range(len(result) - 1, -1, -1):
            terms = [self.root[b][a] * result[b] for b in range(a + 1, len(result)) if self.root[b][a] is not None]
            result[a] = (result[a] - total(terms) if terms else result[a]) / self.root[a][a]
        return result

    def log_volume(self, xp: Any) -> Any:
        """Return log |C|, summed over the features, (...)."""
        return total(xp.log(row[a]).sum(axis=-1) for a, row in enumerate(self.root))

    @classmethod
    def of(cls, sd: Any, root: Any | None, squares: np.ndarray, xp: Any) -> "Local":
        """Make T and C of sd (..., feature or 1, varying), root of correlations and Z'Z (varying, varying, feature)."""
        size = len(squares)
        scale: Entries = [[None] * size for _ in range(size)]
        for a in range(size):
            for b in range(a + 1):
                if root is not None:
                    scale[a][b] = sd[..., a] * root[..., a, b][..., None]
                elif a == b:
                    scale[a][b] = sd[..., a]
        factor: Entries = [[None] * size for _ in range(size)]
        for a in range(size):
            for b in range(a + 1) if size <= WIDEST else (a,):
                square = total(scale[c][a] * squares[c, d] * scale[d][b] for c in range(a, size) for d in range(b, size)
                               if scale[c][a] is not None and scale[d][b] is not None)
                square = square + 1.0 if a == b else square
                terms = [factor[a][k] * factor[b][k] for k in range(b) if size <= WIDEST]
                square = square - total(terms) if terms else square
                factor[a][b] = xp.sqrt(square) if a == b else square / factor[b][b]
        return cls(scale, factor)


def total(parts: Iterable[Any]) -> Any:
    """Return the sum of the parts."""
    return reduce(add, parts)


@final
@dataclass(frozen=True, eq=False)
class Whitened:
    """A change of variables: hyperparameters, mean and whitened weights by one vector u.

    The entries of u are the hyperparameters of the pieces, standardised at their mode, and those of the family; then
    the mean and the weights that are not eliminated, decorrelated; then, coefficient by coefficient, the weights of the
    eliminated groups, standardised.

    Attributes
    ----------
    bound : the model
    information : a Gaussian model of its rows, which standardises the weights
    """

    bound: BoundModel
    information: Information

    @property
    def arrangement(self) -> Arrangement:
        """The arrangement of the weights."""
        return self.information.collapsed.arrangement

    @property
    def hyper(self) -> int:
        """The number of entries of u that are hyperparameters."""
        return sum(parameter.size for parameter in self.bound.parameters)

    @property
    def size(self) -> int:
        """The number of entries of u."""
        return self.hyper + self.arrangement.size + self.arrangement.groups * self.arrangement.varying

    @property
    def mean(self) -> Parameter:
        """The mean under a normal prior."""
        mean = self.information.collapsed.bound.mean
        assert mean is not None
        return mean

    def local(self, block: Block, values: Mapping[str, Any], xp: Any) -> Local:
        """Return T and C of the weights of one block."""
        if block is self.arrangement.eliminated:
            squares = np.moveaxis(self.information.collapsed.statistics.group_gram, 0, -1)
        else:
            gram = self.information.collapsed.statistics.gram[block.weights, block.weights]
            shape = (block.features, block.varying)
            squares = np.einsum("fafb->abf", gram.reshape(shape + shape))
        if block.term is None:
            return Local.of((self.mean.arguments["sigma"] / self.mean.unit)[None, :], None, squares, xp)
        sd, root = block.term.scales(values, xp)
        return Local.of(sd / block.term.unit, root, squares, xp)

    @cached_property
    def decorrelation(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and root of the decorrelated weights that are not eliminated, (weight,) and (weight, weight)."""
        # The factor is undefined above its diagonal.
        lower, mean = np.tril(self.information.factor.lower), self.information.factor.mean
        if not len(mean):
            return mean, lower
        matrix = np.column_stack([mean, solve_triangular(lower, np.eye(len(mean)), lower=True).T])
        for block in self.arrangement.blocks:
            part = matrix[block.weights].reshape(block.features, block.varying, -1).transpose(1, 2, 0)
            rows = self.local(block, self.information.values, np).whitened(list(part))
            matrix[block.weights] = np.stack(rows).transpose(2, 0, 1).reshape(-1, matrix.shape[1])
        return matrix[:, 0], matrix[:, 1:]

    def point(self, u: Any, xp: Any) -> Any:
        """Return the hyperparameters on the sampler's scale, (..., size)."""
        mode, family_point = self.information.mode, self.information.family_point
        size = len(mode.point)
        return xp.concatenate([mode.point + xp.matmul(u[..., :size], mode.root.T),
                               family_point + u[..., size : self.hyper]], axis=-1)

    def values(self, u: Any, xp: Any) -> tuple[dict[str, Any], Any]:
        """Return hyperparameters, mean and whitened weights at u (..., size), and the log Jacobian up to a constant.

        The Jacobian is that of the hyperparameters on the sampler's scale, of the mean and of the whitened weights.
        """
        values, point, start = {}, self.point(u, xp), 0
        for parameter in self.bound.parameters:
            values[parameter.name] = parameter.value(point[..., start : start + parameter.size], xp)
            start += parameter.size
        arrangement, lead = self.arrangement, u.shape[:-1]
        centre, root = self.decorrelation
        shifted = centre + xp.matmul(u[..., self.hyper : self.hyper + arrangement.size], root.T)
        volumes, weights = [], []
        for block in arrangement.blocks:
            local = self.local(block, values, xp)
            part = shifted[..., block.weights].reshape((*lead, block.features, block.varying))
            z = local.unwhitened([part[..., a] for a in range(block.varying)])
            volumes.append(local.log_volume(xp))
            weights.append(xp.stack(local.weights(z), axis=-1).reshape((*lead, -1)))
            if block.term is None:
                mean_z = xp.stack(z, axis=-1)[..., 0, :]
                values[self.mean.name] = self.mean.arguments["mu"] + self.mean.arguments["sigma"] * mean_z
            else:
                values[f"{block.term.name}_z"] = xp.stack(z, axis=-1)
        if arrangement.eliminated is not None:
            term: Any = arrangement.eliminated.term
            sums, local = self.information.collapsed.statistics, self.local(arrangement.eliminated, values, xp)
            moments = [sums.group_moment[:, a] for a in range(arrangement.varying)]
            if weights:
                other_weights = xp.concatenate(weights, axis=-1)
                moments = [moment - xp.matmul(other_weights, sums.cross[:, a].T) for a, moment in enumerate(moments)]
            group_u = u[..., self.hyper + arrangement.size :].reshape((*lead, arrangement.varying, arrangement.groups))
            pulled = local.pulled(moments)
            z = local.unwhitened([pulled[a] + group_u[..., a, :] for a in range(arrangement.varying)])
            volumes.append(local.log_volume(xp))
            values[f"{term.name}_z"] = xp.stack(z, axis=-1)
        return values, -total(volumes)


def whitened_program(whitened: Whitened) -> pm.Model:
    """Return the model of `program` as a density of one vector ``u``."""
    bound, plain = whitened.bound, program(whitened.bound)
    with pm.Model() as model:
        u = pm.Flat("u", shape=whitened.size)
        values, log_jacobian = whitened.values(u, pt)
        point, start, sampler_values = whitened.point(u, pt), 0, {}
        for parameter in bound.parameters:
            sampler_values[parameter.name] = point[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size
        if bound.mean is not None:
            sampler_values[bound.mean.name] = (values[bound.mean.name] - bound.mean.location) / bound.mean.unit
        sampler_values |= {f"{term.name}_z": values[f"{term.name}_z"] for term in bound.terms}
        replaced = {plain.rvs_to_values[plain[name]]: value for name, value in sampler_values.items()}
        pm.Potential("log_density", graph_replace(plain.logp(), replaced) + log_jacobian)
    return model
