"""Moves of a walk whose rows have likelihoods of their own, compiled: Normal pseudo-data propose, the rows decide.

Under pseudo-data the walk and the mean given the scales s are Gaussian: standard normals u draw them, so that the
linear predictors are ``eta = m(s) + R(s) u``. The posterior of s, u and the family's own numbers phi has the density

    p(phi) pi(s) Normal(u) c(eta, phi),

up to a constant, pi the density of s under the pseudo-data with the walk integrated out, and c the likelihood of the
rows over that of the pseudo-data. A sweep

1. moves s under pi, with u as it is: each of the passes of `walk_scales`, in random order and direction, so that it is
   reversible, is a proposal, which is accepted or not by the ratio of c;
2. moves each scale along the curve on which the steps do not change, and neither does eta;
3. moves u on an ellipse, by elliptical slice sampling;
4. moves phi given eta, along slices.

What pseudo-data say does not change the posterior, only how often proposals are accepted. References: Christen and Fox
(2005), doi:10.1198/106186005X76983. Murray, Adams and MacKay (2010), doi:10.48550/arXiv.1001.0175.
"""

from typing import NamedTuple

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.walk_scales import (
    Steps,
    along_places,
    hyper,
    of_hyper,
    scratch_of,
    set_variances,
    slice_hyper,
    slide,
)
from bayes_personal.kernels.walks import draw_walk

# Passes: over hyperparameters; over local scales, by slices and by exchanges.
HYPER, SLICES, EXCHANGES = range(3)


class Walk(NamedTuple):
    """The walk under pseudo-data.

    Attributes
    ----------
    forth, back : the steps, and those of the places in the reverse order
    at : place of every row, (row,)
    x : predictors of the walk and of all else, (coefficient, row)
    offset : the known part of the linear predictor, (row,)
    """

    forth: Steps
    back: Steps
    at: np.ndarray
    x: np.ndarray
    offset: np.ndarray


class State(NamedTuple):
    """One point; moves change the arrays.

    Attributes
    ----------
    point : scales on the sampler's scale
    log_local : logarithms of local scales, (place - 1, p)
    u : standard normals, (place, coefficient)
    phi : the family's own hyperparameters on the sampler's scale
    widths, own_widths : expected lengths of slices of `point` and `phi`
    """

    point: np.ndarray
    log_local: np.ndarray
    u: np.ndarray
    phi: np.ndarray
    widths: np.ndarray
    own_widths: np.ndarray


@inlined
def set_eta(walk, state, u, scratch, eta):
    """Set the linear predictors of all rows, (1, row), from standard normals."""
    steps, p = walk.forth, state.log_local.shape[1]
    _, inverse_variance, squares = hyper(steps, state.point, p)
    set_variances(steps, state.log_local, squares, scratch.variance)
    places, size = u.shape
    values, rest = np.empty((places, p)), np.empty(size - p)
    draw_walk(steps.start, steps.sums, steps.share, np.sqrt(scratch.variance), inverse_variance, u,
              np.empty(state.log_local.shape), values, rest)
    for i in range(len(walk.at)):
        result = walk.offset[i]
        for k in range(p):
            result += walk.x[k, i] * values[walk.at[i], k]
        for k in range(size - p):
            result += walk.x[p + k, i] * rest[k]
        eta[0, i] = result


@compiled
def set_eta_of(walk, state, eta):
    """Set the linear predictors of all rows, (1, row)."""
    set_eta(walk, state, state.u, scratch_of(walk.forth, state.point, state.log_local), eta)


@compiled
def propose(walk, state, kind, adapt, rng, eta):
    """Move scales under the pseudo-data by one pass, u as they are, and set the linear predictors, (1, row)."""
    scratch, size = scratch_of(walk.forth, state.point, state.log_local), len(state.point)
    # The reverse of a pass, which makes one update after the other, is as likely as the pass.
    turned = rng.random() < 0.5
    if kind == HYPER:
        now = of_hyper(walk.forth, state.point, state.log_local, scratch)
        for turn in range(size):
            j = size - 1 - turn if turned else turn
            now = slice_hyper(walk.forth, state.point, state.log_local, j, now, state.widths, adapt, scratch, rng)
    else:
        local = state.log_local[::-1].copy() if turned else state.log_local.copy()
        along_places(walk.back if turned else walk.forth, state.point, local, kind == SLICES, kind == EXCHANGES, turned,
                     scratch, rng)
        state.log_local[:] = local[::-1].copy() if turned else local
    set_eta(walk, state, state.u, scratch, eta)


@compiled
def ellipse(walk, state, rng, other, there, centre):
    """Move scales along the curves on which steps do not change; draw standard normals `other` (place, coefficient),
    and set the linear predictors (1, row) from these, `there`, and from zeros, `centre`."""
    scratch = scratch_of(walk.forth, state.point, state.log_local)
    for k in range(state.log_local.shape[1]):
        slide(walk.forth, state.point, state.log_local, k, scratch, rng)
    set_eta(walk, state, np.zeros(state.u.shape), scratch, centre)
    other[:] = rng.standard_normal(state.u.shape)
    set_eta(walk, state, other, scratch, there)
