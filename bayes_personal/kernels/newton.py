"""Normal proposals around the end of a step of Newton's method, compiled (Gamerman 1997, doi:10.1023/A:1018509429360).

At a point with the slope g of a log density and its negative curvature H the proposal is ``Normal(point + H^-1 g,
H^-1)``. Where the density is Normal that is the density itself, from wherever the step starts.
"""

import numpy as np

from bayes_personal.kernels.compiling import inlined


@inlined
def factor(matrix):
    """Replace the lower triangle of a positive matrix by its Cholesky factor; return whether it is positive."""
    for j in range(len(matrix)):
        for i in range(j, len(matrix)):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not value > 0.0:
                    return False
                matrix[j, j] = np.sqrt(value)
            else:
                matrix[i, j] = value / matrix[j, j]
    return True


@inlined
def solve_lower(lower, vector):
    """Replace a vector by L^-1 times it."""
    for i in range(len(vector)):
        for k in range(i):
            vector[i] -= lower[i, k] * vector[k]
        vector[i] /= lower[i, i]


@inlined
def solve_upper(lower, vector):
    """Replace a vector by L'^-1 times it."""
    for i in range(len(vector) - 1, -1, -1):
        for k in range(i + 1, len(vector)):
            vector[i] -= lower[k, i] * vector[k]
        vector[i] /= lower[i, i]


@inlined
def newton_draw(point, slope, lower, rng):
    """Return a draw of the proposal from a point, and its log density up to a constant; `lower` is the factor of H."""
    step, noise, log_density = slope.copy(), np.empty(len(slope)), 0.0
    solve_lower(lower, step)
    for k in range(len(step)):
        noise[k] = rng.standard_normal()
        log_density += np.log(lower[k, k]) - 0.5 * noise[k] * noise[k]
        step[k] += noise[k]
    solve_upper(lower, step)
    return point + step, log_density


@inlined
def newton_density(goal, point, slope, lower):
    """Return the log density, up to the same constant, of the proposal from a point at `goal`."""
    mean, log_density = slope.copy(), 0.0
    solve_lower(lower, mean)
    for k in range(len(goal)):
        noise = -mean[k]
        for j in range(k, len(goal)):
            noise += lower[j, k] * (goal[j] - point[j])
        log_density += np.log(lower[k, k]) - 0.5 * noise * noise
    return log_density
