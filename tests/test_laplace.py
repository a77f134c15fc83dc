"""Laplace: right where it answers, and it refuses rather than be wrong."""

import warnings

import arviz as az
import numpy as np
import pytest
from scipy import integrate, special

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning, SpecificationError
from bayes_personal.inference import importance
from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.importance import Mixture, Weighted
from bayes_personal.inference.laplace import modes


class Target:
    """A density with the face of a collapsed model."""

    def __init__(self, size, log_density):
        self.size, self.log_density = size, log_density

    def value(self, point):
        return self.log_density(point)[0]

    def each_value(self, points):
        return np.array([self.value(point) for point in points])


def normals(size, centres, sd=1.0):
    """Equal mixture of spherical normals, of which the integral is 1."""
    centres = np.array(centres, float)

    def density(point):
        away = (point - centres) / sd
        each = -0.5 * (away**2).sum(axis=1) - size / 2 * np.log(2 * np.pi * sd**2) - np.log(len(centres))
        total = special.logsumexp(each)
        return total, -(np.exp(each - total)[:, None] * away / sd).sum(axis=0)

    return Target(size, density)


def funnel(size):
    """Neal's funnel: the first coordinate is the log of the others' standard deviation over 1.5."""
    def density(point):
        v, x = point[0], point[1:]
        precision = np.exp(-3 * v)
        value = -0.5 * v**2 - 0.5 * precision * (x @ x) - 1.5 * v * len(x) - size / 2 * np.log(2 * np.pi)
        return value, np.concatenate([[-v + 1.5 * precision * (x @ x) - 1.5 * len(x)], -precision * x])
    return Target(size, density)


def sampled(target, rounds=3, seed=1):
    rng = np.random.default_rng(seed)
    mixture = modes(target, rng)
    for _ in range(rounds):
        found = Weighted.sample(target.each_value, mixture, 4096, rng)
        if found.trusted:
            break
        mixture = mixture.adapted(found.points, found.weights)
    return found, mixture


def test_twenty_dimensions() -> None:
    found, _ = sampled(normals(20, [np.linspace(-2, 2, 20)]))
    assert found.trusted and abs(found.log_evidence) < 4 * found.log_evidence_se
    error = np.sqrt(1 / found.ess)
    assert (np.abs(found.weights @ found.points - np.linspace(-2, 2, 20)) < 4 * error).all()


def test_two_modes_are_both_found() -> None:
    """A sampler around one of the two would report half the integral with the best of diagnostics."""
    found, mixture = sampled(normals(3, [[-3, 0, 1], [3, 0, -1]], sd=0.5))
    assert len(mixture.components) == 2 and found.trusted
    assert abs(found.log_evidence) < max(4 * found.log_evidence_se, 1e-3)
    assert found.weights[found.points[:, 0] > 0].sum() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(found.ess))


def test_a_funnel_is_refused() -> None:
    """A t around its mode misses the mouth, and adapting does not help."""
    found = [sampled(funnel(10), seed=seed)[0] for seed in range(5)]
    assert not any(one.trusted for one in found), [(one.pareto_k, one.ess) for one in found]


def test_the_mixture_is_the_density_it_draws_from() -> None:
    """The integral of q, by importance sampling from another q."""
    rng = np.random.default_rng(3)
    one = modes(normals(2, [[0, 1]]), rng)
    other = modes(normals(2, [[0.5, 0.5]], sd=1.5), rng)
    points = other.draw(2**14, rng)
    ratio = np.exp(one.log_density(points) - other.log_density(points))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))
    drawn = one.draw(2**14, rng)
    share = (np.linalg.norm(drawn - [0, 1], axis=1) < 1).mean()
    inside = ratio * (np.linalg.norm(points - [0, 1], axis=1) < 1)
    assert abs(share - inside.mean()) < 4 * np.hypot(inside.std(), 0.5) / np.sqrt(len(ratio))
    assert isinstance(one, Mixture)


def test_resampling_keeps_the_weights() -> None:
    found, _ = sampled(normals(2, [[0, 0]]))
    again = found.resample(4000, np.random.default_rng(1))
    assert np.abs(again.mean(axis=0) - found.weights @ found.points).max() < 4 / np.sqrt(4000)


@pytest.fixture(scope="module")
def sleep():
    return bp.load_dataset("sleepstudy")


def test_log_evidence_is_the_integral(sleep) -> None:
    """One hyperparameter: the evidence by quadrature."""
    model = bp.Model("reaction ~ days")
    posterior = bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace())
    density = Collapsed(model.bind(sleep))
    top = density.value(np.array([-0.2]))
    exact = np.log(integrate.quad(lambda u: np.exp(density.value(np.array([u])) - top), -3, 3, epsabs=1e-10)[0]) + top
    found = posterior.diagnostics.importance
    assert abs(found.log_evidence - exact) < max(4 * found.log_evidence_se, 1e-4)


def test_it_agrees_with_nuts(sleep) -> None:
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject"))
    posterior = bp.fit(model, sleep, seed=2, progress=False, method=bp.Laplace())
    assert not posterior.complaints and posterior.tree["posterior"].sizes["chain"] == 1
    nuts = bp.fit(model, sleep, seed=2, progress=False, method=bp.NUTS(draws=1000, chains=2))
    assert nuts.diagnostics.divergences == 0 and nuts.diagnostics.r_hat.value < 1.02
    ess = posterior.diagnostics.importance.ess
    for name in ("mu", "subject_scale", "subject_effect", "sigma"):
        one, other = (each.tree["posterior"][name].to_numpy() for each in (posterior, nuts))
        dims = (0, 1)
        mcse = az.mcse(nuts.tree["posterior"].to_dataset()[[name]])[name].to_numpy()
        error = np.hypot(one.std(axis=dims) * np.sqrt(1 / ess + 1 / one.shape[1]), mcse)
        assert (np.abs(one.mean(axis=dims) - other.mean(axis=dims)) < 4 * error).all(), name
        spread = [az.mcse(each.tree["posterior"].to_dataset()[[name]], method="sd")[name].to_numpy()
                  for each in (posterior, nuts)]
        # The resampled draws are fewer than they look by the factor that their weights lost.
        error = np.hypot(spread[0] * np.sqrt(1 + one.shape[1] / ess), spread[1])
        assert (np.abs(one.std(axis=dims) - other.std(axis=dims)) < 4 * error).all(), name


def test_everything_else_works_on_it(sleep, tmp_path) -> None:
    model = bp.Model("reaction ~ days", prior=bp.GaussianProcess("days"))
    posterior = bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace())
    assert np.isfinite(bp.loo(posterior).elpd) and "log evidence" in str(posterior.diagnostics)
    posterior.save(tmp_path / "p.nc")
    assert bp.load(tmp_path / "p.nc").diagnostics == posterior.diagnostics
    again = bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace())
    np.testing.assert_array_equal(posterior.theta, again.theta)


def test_it_hands_over_to_nuts(sleep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the ratios say, here they are not good enough."""
    monkeypatch.setattr(importance, "LARGEST_K", -np.inf)
    model = bp.Model("reaction ~ days")
    with pytest.warns(ConvergenceWarning, match="NUTS takes over"):
        posterior = bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace())
    assert posterior.tree["posterior"].attrs["inference_library"] == "nutpie"
    with pytest.raises(SpecificationError, match="Pareto k is .* Use NUTS"):
        bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace(fallback=False))


def test_what_it_does_not_take() -> None:
    with pytest.raises(SpecificationError, match="Normal family"):
        bp.fit(bp.Model("disasters ~ 1", family=bp.Poisson()), bp.load_dataset("coal"), method=bp.Laplace())
    for options in ({"proposals": 3000}, {"proposals": 16}, {"draws": 2}, {"fallback": 1}):
        with pytest.raises(SpecificationError):
            bp.Laplace(**options)


def test_known_errors_and_nothing_to_learn() -> None:
    schools = bp.load_dataset("eight_schools")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior = bp.fit(bp.Model("effect ~ 1", family=bp.Normal(sd="se")), schools, seed=1, progress=False,
                           method=bp.Laplace())
    assert posterior.tree["posterior"]["mu"].sizes["draw"] == 2000 and not posterior.complaints
