"""One law of all densities of hyperparameters: far out a number or minus infinity, with a gradient, never an error."""

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.marginal import MarginalDensity

DIVISIONS = [bp.Partition("t"), bp.Partition("t", shortest=2), bp.TreePartition("a", "b", depth=3)]
GAUSSIAN = [bp.Population(), bp.PartialPooling("g"), bp.Conditional("g"), bp.MetaLearned("g", rank=1),
            bp.Transfer("g", "a"), bp.LinearVarying("b", basis="spline"), bp.GaussianProcess("b"),
            bp.TotalVariation("t"), bp.Contextualized("b", network="last-layer"), bp.DistanceRegularized("b"),
            bp.DistanceRegularized("b", power=1, neighbors=2), bp.Invariant("g"), bp.Sparse()]
COUNTS = {"k ~ 1": bp.Poisson(), "z ~ 1": bp.Bernoulli(), "s ~ 1": bp.Binomial("n")}
CASES = [*(("y ~ a", prior, bp.Normal()) for prior in (*GAUSSIAN, *DIVISIONS)),
         *((formula, prior, family) for prior in DIVISIONS for formula, family in COUNTS.items())]


def frame() -> pd.DataFrame:
    rng, n = np.random.default_rng(0), 60
    return pd.DataFrame({"t": np.arange(n) % 20, "a": rng.normal(size=n), "b": rng.normal(size=n),
                         "g": rng.choice(list("abcd"), n), "y": rng.normal(size=n), "k": rng.poisson(3, n),
                         "z": rng.binomial(1, 0.4, n), "n": 10, "s": rng.binomial(10, 0.4, n)})


def density(formula: str, prior: bp.priors.Prior, family: bp.families.Family) -> MarginalDensity:
    found = marginal_density(bp.Model(formula, prior, family).bind(frame()))
    assert found is not None
    return found


@pytest.mark.filterwarnings("ignore::bayes_personal.errors.InputWarning")
@pytest.mark.parametrize(("formula", "prior", "family"), CASES, ids=lambda each: repr(each))
def test_far_out(formula: str, prior: bp.priors.Prior, family: bp.families.Family) -> None:
    here, rng = density(formula, prior, family), np.random.default_rng(1)
    for reach in (10.0, 30.0, 100.0, 800.0):
        axes = reach * np.eye(here.size)
        for point in (*rng.uniform(-reach, reach, (20, here.size)), *axes, *-axes):
            value, gradient = here.log_density(point)
            assert np.isfinite(gradient).all() and (np.isfinite(value) or (value == -np.inf and not gradient.any()))
            alone = here.value(point)
            # Where the gradient alone is no number, the value may be one.
            assert alone == pytest.approx(value, rel=1e-8) if value > -np.inf else not np.isnan(alone)
            if formula in COUNTS:
                # A probability is 1 at most, and the hyperpriors' density at a few natural units is no large number.
                assert value < 10


@pytest.mark.filterwarnings("ignore::bayes_personal.errors.InputWarning")
@pytest.mark.parametrize("prior", DIVISIONS, ids=repr)
@pytest.mark.parametrize("formula", COUNTS)
def test_gradients_of_counts(formula: str, prior: bp.priors.Prior) -> None:
    """Against differences, from the middle to where scales are 1e-7 and as many changes are expected as contexts."""
    here, rng, step = density(formula, prior, COUNTS[formula]), np.random.default_rng(2), 1e-4
    for point in rng.uniform(-1, 1, (30, here.size)) * [3.0, 15.0, 4.0]:
        point[1] = min(point[1], 2.0)
        value, gradient = here.log_density(point)
        assert np.isfinite(value)
        for axis, slope in zip(np.eye(here.size), gradient, strict=True):
            near, far = ((here.value(point + h * axis) - here.value(point - h * axis)) / (2 * h)
                         for h in (step, 2 * step))
            assert slope == pytest.approx((4 * near - far) / 3, rel=1e-6, abs=1e-6)
