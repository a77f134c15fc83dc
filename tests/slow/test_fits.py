"""Every prior with every family, fitted: the sampler is healthy and theta_i is found."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_personal as bp
from bayes_personal.families import Family
from bayes_personal.priors import Prior

MEAN = bp.Hyperprior("Normal", sigma=0.5, relative=True)
PRIORS = [bp.Population(), bp.Conditional("site", mean=MEAN), bp.PartialPooling("site"), bp.LinearVarying("age"),
          bp.GaussianProcess("age")]
FAMILIES = [bp.Normal(), bp.StudentT(), bp.Bernoulli(), bp.Binomial("trials"), bp.Poisson("exposure"),
            bp.NegativeBinomial("exposure"), bp.Gamma(), bp.LogNormal(), bp.Weibull()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("prior", "family"), list(itertools.product(PRIORS, FAMILIES)), ids=repr)
def test_a_fit_is_healthy_and_finds_theta(prior: Prior, family: Family) -> None:
    rng = np.random.default_rng(11)
    count = 200
    rows = pd.DataFrame({"x": rng.normal(size=count), "site": [f"s{i % 8}" for i in range(count)],
                         "age": rng.uniform(20, 70, count), "trials": rng.integers(2, 9, count),
                         "exposure": rng.uniform(0.5, 2.0, count)})
    truth = bp.Model("y ~ x", prior=prior, family=family,
                     **({} if prior.replaces_mean else {"mean": MEAN}))
    made = bp.simulate(truth, rows, seed=2)
    posterior = bp.fit(truth, made.frame, seed=1, progress=False, method=bp.NUTS(chains=2,
                                                                                 target_accept=0.99))
    found = posterior.diagnostics
    assert found.divergences == 0 and found.r_hat.value < 1.03 and found.ess_bulk.value > 100, str(found)
    theta = posterior.theta_frame()
    away = (theta["mean"].to_numpy() - made.theta.to_numpy().ravel()) / theta["sd"].to_numpy()
    # 400 dependent numbers count as two at least, intercept and slope: as improbable as z = 4.
    assert np.mean(away**2) < stats.chi2.isf(2 * stats.norm.sf(4), 2) / 2, np.mean(away**2)
    assert np.isfinite(bp.loo(posterior, progress=False).elpd)
    assert np.isfinite(bp.predict(posterior, rows, kind="outcome", seed=1).draws).all()
