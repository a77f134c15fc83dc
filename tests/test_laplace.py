"""Laplace: right where it answers, and it refuses rather than be wrong."""

import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.marginal import Effort
from bayes_personal.errors import ConvergenceWarning, SpecificationError
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.samplers import importance
from bayes_personal.samplers.laplace import Laplace, Modes
from bayes_personal.samplers.mode import climbed
from bayes_personal.samplers.proposal import DEFENSIVE, Proposal, Skewed


class Target:
    """A density with the face of a collapsed model, whose hyperpriors are normal with a standard deviation of 3."""

    def __init__(self, size, log_density):
        self.size, self.log_density = size, log_density
        self.parameter = Parameter("u", "Normal", {"mu": 0.0, "sigma": 3.0}, np.zeros(size), np.ones(size))
        self.parameters, self.starts = (self.parameter,), ()
        self.effort = Effort()

    def value(self, point):
        return self.log_density(point)[0]

    def each_value(self, points):
        return np.array([self.value(point) for point in points])

    def points(self, values):
        return values["u"]

    def values(self, points):
        return {"u": points}

    def log_prior(self, points, values):
        return self.parameter.log_density(values["u"], points)


def normals(size, centres, sd=1.0, shares=None):
    """Mixture of spherical normals, of which the integral is 1."""
    centres = np.array(centres, float)
    sd = np.broadcast_to(np.asarray(sd, float), (len(centres),))
    shares = np.ones(len(centres)) / len(centres) if shares is None else np.array(shares)

    def density(point):
        away = (point - centres) / sd[:, None]
        each = -0.5 * (away**2).sum(axis=1) - size / 2 * np.log(2 * np.pi * sd**2) + np.log(shares)
        total = special.logsumexp(each)
        return total, -(np.exp(each - total)[:, None] * away / sd[:, None]).sum(axis=0)

    return Target(size, density)


def funnel(size):
    """Neal's funnel: the first coordinate is the log of the others' standard deviation over 1.5."""
    def density(point):
        v, x = point[0], point[1:]
        precision = np.exp(-3 * v)
        value = -0.5 * v**2 - 0.5 * precision * (x @ x) - 1.5 * v * len(x) - size / 2 * np.log(2 * np.pi)
        return value, np.concatenate([[-v + 1.5 * precision * (x @ x) - 1.5 * len(x)], -precision * x])
    return Target(size, density)


def ridges(size):
    """Half-normals on the log scale: every coordinate has an exponential tail to the left, as scales near zero do."""
    def density(point):
        scale = np.exp(np.minimum(point, 300))
        value = (np.log(2) - 0.5 * np.log(2 * np.pi) - 0.5 * scale**2 + point).sum()
        return value, 1 - scale**2
    return Target(size, density)


def sampled(target, seed=1):
    return Laplace().weighted(target, np.random.default_rng(seed))


def off(found, draws, truth, sd):
    """How far a weighted mean is from the truth, in standard errors."""
    return np.abs(found.weights @ draws - truth) / (sd / np.sqrt(found.ess))


def test_twenty_dimensions() -> None:
    found = sampled(normals(20, [np.linspace(-2, 2, 20)]))
    assert found.trusted and abs(found.log_evidence) < 4 * found.log_evidence_se
    assert (off(found, found.points, np.linspace(-2, 2, 20), 1.0) < 4).all()


@pytest.mark.parametrize("size", [1, 5, 24])
def test_scales_that_may_be_zero(size) -> None:
    """Every log scale has a long tail on one side only. In 24 dimensions an unskewed t is never trusted."""
    found = sampled(ridges(size), seed=2)
    assert found.trusted and abs(found.log_evidence) < 4 * found.log_evidence_se
    assert (off(found, np.exp(found.points), stats.halfnorm.mean(), stats.halfnorm.std()) < 4).all()
    low = 2 * stats.norm.cdf(0.05) - 1
    assert (off(found, found.points < np.log(0.05), low, np.sqrt(low * (1 - low))) < 4).all()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.95, 0.05)])
def test_two_modes_are_both_found(shares) -> None:
    """A sampler around one of the two would report half the integral with the best of diagnostics."""
    target = normals(3, [[-3, 0, 1], [3, 0, -1]], sd=0.5, shares=shares)
    assert len(Modes.search(target, np.random.default_rng(1)).mixture.components) == 2
    found = sampled(target)
    assert found.trusted and abs(found.log_evidence) < max(4 * found.log_evidence_se, 1e-3)
    assert off(found, found.points[:, 0] > 0, shares[1], np.sqrt(shares[0] * shares[1])) < 4


@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_mode_beside_a_broad_one(seed) -> None:
    """Half of the mass is where a climb from a random point hardly ever ends."""
    found = sampled(normals(2, [[-2, -2], [2, 2]], sd=[1.5, 0.05]), seed=seed)
    assert found.trusted and abs(found.log_evidence) < 4 * found.log_evidence_se


def test_draws_find_a_mode_that_the_search_misses() -> None:
    target = normals(3, [[-3, 0, 1], [3, 0, -1]], sd=0.35)
    target.effort = Effort(climbs=0)
    found = sampled(target)
    assert found.trusted and abs(found.log_evidence) < 4 * found.log_evidence_se
    assert found.log_evidence_se < 0.015, "only the hyperpriors' draws reach the second mode"


def test_one_draw_that_has_a_third_of_the_weight_is_not_smoothed_away() -> None:
    ratios = np.random.default_rng(1).normal(scale=0.1, size=4096)
    ratios[7] = np.log(2048)
    found = importance.Weighted.of(np.zeros((4096, 1)), ratios, np.zeros(4096))
    assert found.ess < 10 and not found.trusted


@pytest.mark.parametrize("size", [2, 5])
def test_a_funnel_is_right_or_refused(size) -> None:
    """The mouth is in no mixture of t's around the neck."""
    for seed in range(3):
        found = sampled(funnel(size), seed=seed)
        if found.trusted:
            assert abs(found.log_evidence) < 4 * found.log_evidence_se
            assert off(found, found.points[:, 0], 0.0, 1.0) < 4
        elif size == 2:
            pytest.fail("a funnel of two dimensions is well within reach")


def test_a_funnel_of_ten_dimensions_is_refused() -> None:
    found = [sampled(funnel(10), seed=seed) for seed in range(3)]
    assert not any(one.trusted for one in found), [(one.pareto_k, one.ess) for one in found]


def test_the_standard_error_of_the_evidence_covers_it() -> None:
    """Sobol points are better than independent ones, so that the error is rather too large."""
    found = [sampled(ridges(4), seed=seed) for seed in range(25)]
    errors = np.array([one.log_evidence / one.log_evidence_se for one in found])
    assert np.abs(errors).max() < 4 and np.sqrt((errors**2).mean()) < 1.5


def skewed():
    return Skewed(np.array([0.0, 1.0]), np.array([[1.0, 0.0], [0.5, 0.8]]), np.array([2.0, 1.0]), np.array([0.5, 1.5]))


def test_a_skewed_t_is_the_density_it_draws_from() -> None:
    """Its integral, and the share of its draws in each of four regions, by quadrature."""
    one = skewed()
    grid = np.linspace(-60, 60, 1201)
    z = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(one.log_density(one.point + z @ one.root.T)) * np.abs(np.linalg.det(one.root)) * 0.1**2
    assert mass.sum() == pytest.approx(1, abs=2e-3)
    drawn = np.linalg.solve(one.root, (Proposal((one,), np.ones(1)).draw(2**15, np.random.default_rng(1))
                                       - one.point).T).T
    for region in (lambda z: z[:, 0] < -0.05, lambda z: z[:, 1] > 2.05, lambda z: (np.abs(z) > 4.05).any(axis=1),
                   lambda z: (z < 0.05).all(axis=1)):
        share = mass[region(z)].sum()
        assert region(drawn).mean() == pytest.approx(share, abs=4 * np.sqrt(share / 2**15) + 2e-3)


def test_a_mixture_is_the_density_it_draws_from() -> None:
    """Its integral by draws of another one, and the share of the hyperpriors among its draws."""
    rng, target = np.random.default_rng(3), normals(2, [[0, 1]])
    one = Modes.search(target, rng).mixture
    other = Proposal((skewed(),), np.ones(1), one.prior)
    assert one.shares[-1] == DEFENSIVE and one.shares.sum() == pytest.approx(1)
    points = other.draw(2**14, rng)
    ratio = np.exp(one.log_density(points) - other.log_density(points))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))
    drawn = one.draw(2**14, rng)
    share = (np.linalg.norm(drawn - [0, 1], axis=1) < 1).mean()
    inside = ratio * (np.linalg.norm(points - [0, 1], axis=1) < 1)
    assert abs(share - inside.mean()) < 4 * np.hypot(inside.std(), 0.5) / np.sqrt(len(ratio))


def test_a_skewed_t_fitted_to_skewed_draws_has_their_skew() -> None:
    draws = np.log(np.abs(np.random.default_rng(1).normal(size=(4000, 3))))
    fitted = Skewed.fitted(draws, np.ones(4000) / 4000)
    assert (fitted.below > 2 * fitted.above).all()


def test_resampling_keeps_the_weights() -> None:
    found = sampled(normals(2, [[0, 0]]))
    again = found.resample(4000, np.random.default_rng(1))
    assert np.abs(again.mean(axis=0) - found.weights @ found.points).max() < 4 / np.sqrt(4000)


def on_a_grid(density, *axes):
    """Log of the integral of a density, and points with their mass; each axis is (low, high, count)."""
    lines = [np.linspace(*axis) for axis in axes]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(axes))
    values = density.each_value(points) + np.log([line[1] - line[0] for line in lines]).sum()
    total = special.logsumexp(values)
    return total, points, np.exp(values - total)


@pytest.mark.parametrize("groups", [3, 5])
def test_few_groups_that_do_not_differ(groups) -> None:
    """A funnel of practice: the posterior of the scale reaches down to zero."""
    rng = np.random.default_rng(groups)
    frame = pd.DataFrame({"y": rng.normal(size=12 * groups), "g": np.repeat([*"abcde"][:groups], 12)})
    density = GaussianDensity(bp.Model("y ~ 1", prior=bp.PartialPooling("g")).bind(frame))
    exact, points, mass = on_a_grid(density, (-12, 3, 400), (-1.5, 1.5, 400))
    mean = mass @ points
    sd = np.sqrt(mass @ (points - mean) ** 2)
    for seed in range(3):
        found = sampled(density, seed)
        assert found.trusted and abs(found.log_evidence - exact) < 4 * found.log_evidence_se
        assert (off(found, found.points, mean, sd) < 4).all()
        for quantile in (-4.0, -2.0):
            below = mass[points[:, 0] < quantile].sum()
            assert off(found, found.points[:, 0] < quantile, below, np.sqrt(below * (1 - below))) < 4


def test_two_explanations_of_the_same_data() -> None:
    """A wave, or noise around a constant: two length-scales with much between them that is neither."""
    context = np.linspace(0, 1, 20)
    frame = pd.DataFrame({"t": context, "y": np.sin(8 * np.pi * context)
                          + 0.4 * np.random.default_rng(7).normal(size=20)})
    density = GaussianDensity(bp.Model("y ~ 1", prior=bp.GaussianProcess("t")).bind(frame))
    exact, points, mass = on_a_grid(density, (-9, 3, 60), (-4, 5, 50), (-9, 1.5, 80))
    wave = mass[points[:, 2] < -0.5].sum()
    assert 0.1 < wave < 0.9
    mean = mass @ points
    sd = np.sqrt(mass @ (points - mean) ** 2)
    for seed in range(3):
        found = sampled(density, seed)
        assert found.trusted and abs(found.log_evidence - exact) < 4 * found.log_evidence_se
        assert off(found, found.points[:, 2] < -0.5, wave, np.sqrt(wave * (1 - wave))) < 4
        assert (off(found, found.points, mean, sd) < 4).all()


@pytest.fixture(scope="module")
def sleep():
    return bp.load_dataset("sleepstudy")


def test_log_evidence_is_the_integral(sleep) -> None:
    """One hyperparameter: the evidence by quadrature."""
    model = bp.Model("reaction ~ days")
    posterior = bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace())
    density = GaussianDensity(model.bind(sleep))
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
    monkeypatch.setattr(importance, "largest_k", lambda *_: -np.inf)
    model = bp.Model("reaction ~ days")
    with pytest.warns(ConvergenceWarning, match="NUTS takes over"):
        posterior = bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace())
    assert posterior.tree["posterior"].attrs["inference_library"] == "nutpie"
    with pytest.raises(SpecificationError, match="Pareto k is .* Use NUTS"):
        bp.fit(model, sleep, seed=1, progress=False, method=bp.Laplace(fallback=False))


def test_what_it_does_not_take() -> None:
    with pytest.raises(SpecificationError, match="needs weights"):
        bp.fit(bp.Model("disasters ~ 1", bp.Mixture(2, gate="year"), bp.Poisson()), bp.load_dataset("coal"),
               method=bp.Laplace())
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


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_draw_so_far_out_that_no_density_is_a_number_spoils_nothing() -> None:
    proposal = Proposal((Skewed.standard(2),), np.ones(1))
    points = np.random.default_rng(1).normal(size=(500, 2))
    points[7] = 1e200
    adapted = proposal.adapted(points, np.full(500, 1 / 500) * (np.arange(500) != 7))
    assert np.isfinite(adapted.weights).all() and np.isfinite(adapted.components[0].root).all()


def test_a_pareto_k_is_good_up_to_a_larger_one_where_most_draws_count() -> None:
    assert importance.largest_k(8192, 4000.0) == 0.5 and importance.largest_k(8192, 5000.0) == 0.7
    assert importance.largest_k(100, 90.0) == 0.5


def test_a_climb_does_not_begin_in_a_corner() -> None:
    """Many rows make the slope steep: a first step as long as it ends at the bounds, perhaps near another mode."""
    here, corner = np.array([-0.2, -0.6]), np.array([-12.0, -12.0])

    def density(point: np.ndarray) -> tuple[float, np.ndarray]:
        values = np.array([-500 * ((point - here) ** 2).sum(), 50 - 500 * ((point - corner) ** 2).sum()])
        nearest = values.argmax()
        return float(values[nearest]), -1000 * (point - (here, corner)[nearest])

    np.testing.assert_allclose(climbed(density, np.zeros(2)), here, atol=1e-4)
