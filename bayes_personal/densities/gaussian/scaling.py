"""T: how hyperparameters scale and correlate the whitened weights of a model."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from bayes_personal.densities.gaussian.arrangement import Arrangement, Block


class Scaling(NamedTuple):
    """T, at one or more values of the hyperparameters.

    Attributes
    ----------
    sd : standard deviations of the weights that are not eliminated, (..., weight)
    roots : factors of the correlations of the blocks that correlate, (..., block, widest, widest)
    own_sd : standard deviations of the eliminated weights, (..., 1 or group, varying)
    own_root : factor of the correlations of the eliminated weights, (..., varying, varying)
    """

    sd: Any
    roots: Any
    own_sd: Any
    own_root: Any

    @classmethod
    def at(cls, arrangement: Arrangement, rooted: tuple[Block, ...], values: Mapping[str, Any], shape: tuple[int, ...],
           xp: Any) -> Self:
        """Return T at hyperparameters with leading axes of this shape; `rooted` are the blocks that correlate."""
        bound, sd, roots = arrangement.bound, [], {}
        for block in arrangement.blocks:
            if block.term is None:
                assert bound.mean is not None
                scale = bound.mean.arguments["sigma"] / bound.mean.unit * np.ones(block.varying)
                scale = scale[None, :]
            else:
                scale, roots[block.start] = block.term.scales(values, xp)
                scale = scale / block.term.unit
            sd.append(np.broadcast_to(scale, (*shape, block.features, block.varying)).reshape((*shape, -1)))
        sd = np.concatenate([np.zeros((*shape, 0)), *sd], axis=-1)
        widest = max((block.varying for block in rooted), default=1)
        padded = np.zeros((*shape, len(rooted), widest, widest), sd.dtype)
        for place, block in enumerate(rooted):
            padded[..., place, : block.varying, : block.varying] = roots[block.start]
        own_sd, own_root = np.ones((*shape, 1, 1)), None
        if arrangement.eliminated is not None:
            term: Any = arrangement.eliminated.term
            own_sd, own_root = term.scales(values, xp)
            own_sd = np.broadcast_to(own_sd / term.unit, (*shape, *np.shape(own_sd)[-2:]))
        if own_root is None:
            own_root = np.broadcast_to(np.eye(arrangement.varying), (*shape, arrangement.varying, arrangement.varying))
        return cls(sd, padded, own_sd, own_root)


def correlated(arrangement: Arrangement, values: Mapping[str, Any]) -> tuple[Block, ...]:
    """Return the blocks that are not eliminated and whose coefficients correlate."""
    return tuple(block for block in arrangement.blocks
                 if block.term is not None and block.term.scales(values, np)[1] is not None)
