"""What log likelihoods share whose second linear predictor is the logarithm of a scale."""

from bayes_personal.kernels.compiling import inlined

# Largest logarithm of a scale, in either direction.
FARTHEST = 300.0


@inlined
def within(u):
    """Return the logarithm of a scale, kept where its square and the inverse of that are numbers."""
    return -FARTHEST if u < -FARTHEST else (FARTHEST if u > FARTHEST else u)


@inlined
def apart(count, curvature, positive):
    """Set the curvatures by both linear predictors to 0, which is their average over outcomes."""
    for i in range(count):
        curvature[0, 1, i] = curvature[1, 0, i] = positive[0, 1, i] = positive[1, 0, i] = 0.0
