"""New groups from a few rows of each, whatever the family: the conditional of every draw, and fits to all rows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import conditioned, z_scores
from pace import cases

import bayes_personal as bp
from bayes_personal.questions.few_shot import FewShot
from bayes_personal.samplers.draws import flat
from bayes_personal.samplers.integrand import Integrand

POOLED = bp.PartialPooling("g")


def rows(kind: str, seed: int = 3, groups: int = 24, each: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(groups), each), rng.normal(size=groups * each)
    eta = 0.5 + rng.normal(0, 0.6, groups)[g] + (0.4 + rng.normal(0, 0.3, groups)[g]) * x
    scale = np.exp(rng.normal(-0.5, 0.5, groups))[g]
    y = {"Poisson": rng.poisson(np.exp(eta)), "Bernoulli": (rng.random(len(g)) < 1 / (1 + np.exp(-eta))).astype(int),
         "scales": eta + scale * rng.normal(size=len(g))}[kind]
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{k:02d}" for k in g]})


def test_resampled_weights_are_those_of_the_exact_normal(frame: pd.DataFrame) -> None:
    """One draw of the trained parameters, repeated: evidence, means and covariance of the group's weights."""
    posterior = conditioned(bp.Model("y ~ dose", bp.PartialPooling("site")), frame, draws=3)
    given = pd.DataFrame({"y": [118.0, 131.0, 122.0], "dose": [4.0, 9.0, 6.0], "site": "Turku"})
    few = FewShot.of(posterior.bound, given)
    values = {name: np.repeat(value[:1], 8000, axis=0) for name, value in flat(posterior.tree).items()}
    exact = few.group_weights(values, few.size - 1, np.random.default_rng(1))
    everything = np.ones(3, bool)
    integrand = Integrand(few.bound.family, few.y, few.constants, few.bound.family_values(values, axes=0),
                          few.shared(values, everything), few.loadings(values, everything),
                          1e-3 * few.bound.predictor_units)
    z, evidence = integrand.drawn(np.random.default_rng(2))
    np.testing.assert_allclose(evidence, exact.log_evidence, atol=0.01)
    covariance = np.linalg.inv(exact.lower[0] @ exact.lower[0].T)
    error = np.sqrt(np.diagonal(covariance) / 8000)
    assert (np.abs(z.mean(axis=0) - exact.means[0, 0]) < 4 * error).all()
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=4 * np.sqrt(2 / 8000) * np.diagonal(covariance).max())


MODELS = {
    "Poisson": bp.Model("y ~ x", POOLED, bp.Poisson()), "Bernoulli": bp.Model("y ~ x", POOLED, bp.Bernoulli()),
    "scales": bp.Model("y ~ x", POOLED, bp.Normal(sigma=bp.Varying(bp.PartialPooling("g"))))}


@pytest.mark.parametrize("kind", cases(MODELS, every_run=["Poisson", "scales"]))
def test_it_is_the_posterior_of_a_fit_to_all_rows(kind: str) -> None:
    """Also where a new group has weights of two terms: its coefficients, and its own scale."""
    model, frame = MODELS[kind], rows(kind)
    new = frame["g"] >= "g22"
    trained, whole = (bp.fit(model, part, seed=seed, progress=False) for part, seed in ((frame[~new], 1), (frame, 2)))
    assert not trained.complaints and not whole.complaints
    at = pd.concat([frame[new].groupby("g").head(1), frame.iloc[:2]])
    given: dict[str, Any] = {"given": frame[new]}
    found, wanted = (bp.predict(posterior, at, kind="theta", seed=1, **more).draws.to_numpy()
                     for posterior, more in ((trained, given), (whole, {})))
    found, wanted = (draws.reshape(-1, *draws.shape[2:]) for draws in (found, wanted))
    # Draws by importance sampling, and resampled once more, are worth fewer independent ones.
    assert np.abs(z_scores(found, wanted)).max() < 4 * np.sqrt(len(found) / 700)
    np.testing.assert_allclose(found.std(axis=0), wanted.std(axis=0), rtol=4 / np.sqrt(2 * 700))
