"""Published answers: lme4's fit of the sleepstudy data (Bates et al. 2015, doi:10.18637/jss.v067.i01).

And the same posterior by two routes: with the weights integrated out, and with NUTS over everything.
"""

import arviz as az
import numpy as np
import pytest

import bayes_personal as bp

# Intercept and slope of each subject, from lme4's REML fit.
CONDITIONAL_MODES = {
    "308": (253.66, 19.67), "309": (211.01, 1.85), "310": (212.44, 5.02), "330": (275.10, 5.65), "331": (273.67, 7.40),
    "332": (260.44, 10.20), "333": (268.25, 10.24), "334": (244.17, 11.54), "335": (251.07, -0.28),
    "337": (286.30, 19.10), "349": (226.19, 11.64), "350": (238.34, 17.08), "351": (255.98, 7.45),
    "352": (272.27, 14.00),
    "369": (254.68, 11.34), "370": (225.79, 15.29), "371": (252.21, 9.48), "372": (263.72, 11.75)}


MODEL = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject"))
COMPARED = ["mu", "subject_scale", "sigma", "subject_effect", "subject_partial"]


@pytest.fixture(scope="module")
def posterior() -> bp.Posterior:
    return bp.fit(MODEL, bp.load_dataset("sleepstudy"), seed=1, progress=False,
                  method=bp.NUTS(draws=2000, target_accept=0.95))


@pytest.fixture(scope="module")
def explicit() -> bp.Posterior:
    return bp.fit(MODEL, bp.load_dataset("sleepstudy"), seed=2, progress=False,
                  method=bp.NUTS(draws=2000, target_accept=0.95, collapse=False))


def assert_healthy(posterior: bp.Posterior) -> None:
    draws = posterior.tree["posterior"].to_dataset()[COMPARED]
    assert int(posterior.tree["sample_stats"]["diverging"].sum()) == 0
    assert float(az.rhat(draws).to_array().max()) < 1.01
    for method in ("bulk", "tail"):
        assert float(az.ess(draws, method=method).to_array().min()) > 400, method


def test_the_default_fit_is_collapsed_and_healthy(posterior: bp.Posterior) -> None:
    assert posterior.tree["posterior"].attrs["collapsed"] == 1
    assert_healthy(posterior)


def test_collapsed_and_explicit_posteriors_agree(posterior: bp.Posterior, explicit: bp.Posterior) -> None:
    assert "collapsed" not in explicit.tree["posterior"].attrs
    assert_healthy(explicit)
    one, other = posterior.tree["posterior"].to_dataset(), explicit.tree["posterior"].to_dataset()
    for name in COMPARED:
        a, b = one[[name]], other[[name]]
        z = (a.mean(("chain", "draw")) - b.mean(("chain", "draw"))) / np.hypot(az.mcse(a), az.mcse(b))
        assert float(np.abs(z[name]).max()) < 4, (name, z[name].to_numpy())
        z = (a.std(("chain", "draw")) - b.std(("chain", "draw"))) / np.hypot(az.mcse(a, method="sd"),
                                                                             az.mcse(b, method="sd"))
        assert float(np.abs(z[name]).max()) < 4, (name, z[name].to_numpy())


def test_fixed_effects_and_residual(posterior: bp.Posterior) -> None:
    draws = posterior.tree["posterior"]
    mu = draws["mu"].to_numpy().reshape(-1, 2)
    assert (np.abs(mu.mean(axis=0) - [251.405, 10.467]) < 0.2 * mu.std(axis=0)).all(), mu.mean(axis=0)
    assert abs(float(draws["sigma"].mean()) - 25.6) < 0.5


def test_every_subject(posterior: bp.Posterior) -> None:
    frame = posterior.bound.frame
    theta = posterior.theta.to_numpy().reshape(-1, len(frame), 2)
    mean, sd = theta.mean(axis=0), theta.std(axis=0)
    published = np.array([CONDITIONAL_MODES[str(label)] for label in frame["subject"]])
    assert (np.abs(mean - published) < 0.35 * sd).all(), np.max(np.abs(mean - published) / sd, axis=0)


def test_theta_is_population_plus_own_deviation(posterior: bp.Posterior) -> None:
    draws, frame = posterior.tree["posterior"], posterior.bound.frame
    row = 42
    effect = draws["subject_effect"].sel(subject=str(frame["subject"].iloc[row])).to_numpy()
    np.testing.assert_allclose(posterior.theta.isel(unit=row), draws["mu"].to_numpy() + effect, rtol=1e-12)


def test_theta_frame_keeps_the_index(posterior: bp.Posterior) -> None:
    table = posterior.theta_frame()
    assert list(table.index.unique()) == list(posterior.bound.frame.index)
    assert (table["q5"] < table["q50"]).all() and (table["q50"] < table["q95"]).all()
