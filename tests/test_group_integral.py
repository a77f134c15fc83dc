"""The weights that groups have of their own, integrated out: against dense grids, closed forms and other algebra."""

import numpy as np
import pandas as pd
import pytest
from calibration import conditioned, unsampled
from leave_one_out import left_out as joint_density
from leave_one_out import on_a_grid, prior_of_eta
from scipy.special import logsumexp
from scipy.stats import norm

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import ConvergenceWarning
from bayes_personal.families import Family
from bayes_personal.leaving_out import left_out
from bayes_personal.leaving_out.group_integral import GroupIntegral
from bayes_personal.leaving_out.line_integral import LineIntegral
from bayes_personal.priors.parts.base import Prior
from bayes_personal.samplers.draws import flat
from bayes_personal.samplers.integrand import SETTLED, SETTLED_POINTS, Integrand
from bayes_personal.samplers.redrawn import all_draws

pytestmark = pytest.mark.filterwarnings("ignore:loo. Pareto k")

# Outcomes, known constants and hyperparameters of four rows; that of the t has two camps, and so two modes.
CASES: dict[str, tuple[Family, list[float], dict[str, float]]] = {
    "Bernoulli": (bp.Bernoulli(), [0, 1, 0, 0], {}),
    "all failures": (bp.Bernoulli(), [0, 0, 0, 0], {}),
    "Binomial": (bp.Binomial("n"), [1, 3, 0, 3], {}),
    "Poisson": (bp.Poisson(), [2, 0, 9, 3], {}),
    "no events": (bp.Poisson(), [0, 0, 0, 0], {}),
    "NegativeBinomial": (bp.NegativeBinomial(), [4, 0, 11, 2], {"dispersion": 0.7}),
    "StudentT": (bp.StudentT(), [0.3, -0.2, 0.1, 0.6], {"sigma": 0.2, "nu": 3.0}),
    "two camps": (bp.StudentT(), [1.6, 1.4, -1.2, -1.0], {"sigma": 0.25, "nu": 2.5}),
}
LOADINGS = np.array([[[0.7, -0.5], [0.7, 0.1], [0.7, 0.8], [0.7, 0.3]],
                     [[1.4, 0.4], [1.4, -0.9], [1.4, 0.6], [1.4, 0.0]]])
ETA = np.array([[0.2, 0.2, 0.2, 0.2], [-0.4, 0.3, 0.1, 0.0]])


def integrand(case: str, loading: np.ndarray) -> Integrand:
    family, y, own = CASES[case]
    return Integrand(family, np.array(y, float), np.full(4, 3.0 if case == "Binomial" else 1.0),
                     {name: np.full(2, value) for name, value in own.items()}, ETA[..., None], loading[:, :, None],
                     np.array([1e-4]))


def dense(case: str, loading: np.ndarray) -> np.ndarray:
    """The same integral by the trapezoidal rule on a grid that covers the prior and resolves every density."""
    family, y, own = CASES[case]
    known, size = 3.0 if case == "Binomial" else 1.0, loading.shape[-1]
    axis = np.linspace(-9, 9, 3601 if size == 1 else 901)
    z = np.stack(np.meshgrid(*[axis] * size, indexing="ij"), axis=-1).reshape(-1, size)
    result = []
    for eta, each in zip(ETA, loading, strict=True):
        logs = norm.logpdf(z).sum(axis=1)
        for here, row, outcome in zip(eta, each, y, strict=True):
            logs += family.likelihood((here + z @ row)[..., None], own, known, np).log_density(outcome)
        result.append(logsumexp(logs) + size * np.log(axis[1] - axis[0]))
    return np.array(result)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_an_integral_is_that_over_a_dense_grid(case: str, size: int) -> None:
    found, error = integrand(case, LOADINGS[..., :size]).log_integral(np.full((2, size), 0.3))
    away = np.abs(found - dense(case, LOADINGS[..., :size])).max()
    # Two modes in two dimensions take more nodes than there are, and the error says so.
    assert away < (1e-5 if (case, size) == ("two camps", 2) else 1e-6) and away < error + 1e-7
    assert error < 1e-4


@pytest.mark.parametrize("family", [bp.Normal(sigma=bp.Varying()), bp.NegativeBinomial(dispersion=bp.Varying())],
                         ids=repr)
def test_weights_that_move_two_linear_predictors(family: Family) -> None:
    # The first weight moves the mean, and the second the scale and, a little, the mean.
    y, scale = np.array([2.0, 0.0, 7.0, 3.0]), np.array([[0.5, 0.1], [0.4, -0.3]])
    eta = np.stack([ETA, np.broadcast_to(scale[:, :1], ETA.shape)], axis=-1)
    loading = np.zeros((2, 4, 2, 2))
    loading[:, :, 0], loading[:, :, 1, 1] = LOADINGS * [1.0, 0.2], 0.6
    found, error = Integrand(family, y, np.ones(4), {}, eta, loading, np.array([1e-4, 1e-4])).log_integral(
        np.zeros((2, 2)))
    axis = np.linspace(-8, 8, 801)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    for k in range(2):
        at = eta[k][:, None] + np.einsum("rpw,nw->rnp", loading[k], z)
        logs = norm.logpdf(z).sum(axis=1) + family.likelihood(at, {}, np.ones((4, 1)), np).log_density(
            y[:, None]).sum(axis=0)
        # Four far rows in one error make tails that rules of the size of settled ones see to four digits.
        assert abs(found[k] - (logsumexp(logs) + 2 * np.log(axis[1] - axis[0]))) < 1e-5 + error
    assert error < 1e-4


def spun(loading: np.ndarray, size: int) -> np.ndarray:
    """The same rows moved by more weights: those of a rotation, which leaves standard Normal weights what they are."""
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(size, size)))
    return np.concatenate([loading, np.zeros((*loading.shape[:2], size - 2))], axis=-1) @ rotation


@pytest.mark.parametrize("case", ["Bernoulli", "Poisson", "StudentT"])
@pytest.mark.parametrize(("size", "tolerance"), [(3, SETTLED), (4, SETTLED_POINTS), (7, SETTLED_POINTS)])
def test_more_weights_than_two(case: str, size: int, tolerance: float) -> None:
    # Four rows are moved in four directions at most: of seven weights the four that matter are integrated.
    exact = dense(case, LOADINGS)
    found, error = integrand(case, spun(LOADINGS, size)).log_integral(np.zeros((2, size)))
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance)
    assert error < 3 * tolerance


def test_fewer_rows_than_weights_leave_as_many_directions() -> None:
    few = integrand("Poisson", spun(LOADINGS, 7)).of_rows(np.array([0, 2]))
    reduced, start = few.reduced(np.zeros((2, 7)))
    assert reduced.size == 2 and start.shape == (2, 2)
    found, error = few.log_integral(np.ones((2, 7)))
    exact, _ = integrand("Poisson", LOADINGS).of_rows(np.array([0, 2])).log_integral(np.zeros((2, 2)))
    np.testing.assert_allclose(found, exact, atol=1e-7)
    assert error < 1e-5


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("family", [bp.Categorical(levels=range(3)), bp.Normal(sigma=bp.Varying())], ids=repr)
def test_several_linear_predictors(family: Family, size: int) -> None:
    """Each row is moved along two of them."""
    rng, y, axis = np.random.default_rng(4), np.array([0.0, 2.0, 1.0, 1.0]), np.linspace(-9, 9, 901)
    eta, loading = rng.normal(0, 0.5, (3, 4, 2)), rng.normal(0, 0.8, (3, 4, 2, size))
    several = Integrand(family, y, np.ones(4), {}, eta, loading, np.full(2, 1e-3))
    found, error = several.log_integral(np.zeros((3, size)))
    z = np.stack(np.meshgrid(*[axis] * size, indexing="ij"), axis=-1).reshape(-1, size)
    for draw in range(3):
        at = eta[draw] + np.moveaxis(loading[draw] @ z.T, -1, 0)
        logs = norm.logpdf(z).sum(axis=1) + family.likelihood(at, {}, np.ones(4), np).log_density(y).sum(axis=1)
        assert found[draw] == pytest.approx(logsumexp(logs) + size * np.log(axis[1] - axis[0]), abs=1e-6 + error)
    assert error < 1e-4


@pytest.mark.parametrize("on", ["b: Intercept", "c: Intercept"])
def test_a_line_of_several_linear_predictors_is_the_integral_over_one_weight(on: str) -> None:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"y": rng.choice(list("abc"), 24), "x": rng.normal(2, 1, 24), "g": np.repeat(list("pqrs"), 6)})
    model = bp.Model("y ~ x", bp.PartialPooling("g", on=on), bp.Categorical())
    posterior = unsampled(model, frame, draws=10)
    bound, draws = posterior.bound, flat(posterior.tree)
    exact = [each for each, _ in GroupIntegral.of_rows(bound).left_out(draws, list(np.arange(24)[:, None]))]
    for rows, densities in LineIntegral(bound).leave_one_out(draws):
        np.testing.assert_allclose(densities, np.stack([exact[row] for row in rows], axis=1), rtol=0, atol=1e-5)


def rows_of(labels: pd.Series) -> list[np.ndarray]:
    return [np.flatnonzero(labels == label) for label in labels.unique()]


REGION = {"Bergen": "north", "Aarhus": "north", "Delft": "west", "Cork": "west", "Espoo": "north"}


@pytest.mark.parametrize("by", ["site", "region", "pair"])
@pytest.mark.parametrize("prior", [
    bp.Conditional("site"), bp.PartialPooling("site"), bp.PartialPooling("site", on="dose"),
    bp.LinearVarying("age") + bp.PartialPooling("sex") + bp.PartialPooling("site", on="dose")], ids=repr)
def test_known_normal_errors_have_a_closed_form(prior: Prior, by: str, frame: pd.DataFrame) -> None:
    # Whole groups of the prior, groups that consist of several of them, and pairs of rows within them.
    rows = frame.assign(region=frame["site"].map(REGION), pair=[f"{site} {i // 2}" for i, site in
                                                                enumerate(frame["site"])])
    posterior = conditioned(bp.Model("y ~ dose", prior, bp.Normal(sd="se")), rows, draws=2)
    bound, draws, sets = posterior.bound, flat(posterior.tree), rows_of(rows[by])
    integral = GroupIntegral.of_sets(bound, sets)
    assert integral is not None
    term = bound.terms[integral.places[0]]
    assert term.name == "site"
    found = [each for each, _ in integral.left_out(draws, sets)]
    for draw in range(4):
        values = {name: value[draw] for name, value in draws.items()}
        covariance = prior_of_eta(bound, term, values)
        still = bound.single(bound.eta(values | {"site_z": 0 * values["site_z"]}, np))
        exact = [joint_density(bound, values, still, covariance, out) for out in sets]
        np.testing.assert_allclose([each[draw] for each in found], exact, rtol=1e-9, atol=1e-8)


def test_without_other_weights_it_is_the_collapsed_density(frame: pd.DataFrame) -> None:
    posterior = conditioned(bp.Model("y ~ dose", bp.Conditional("site")), frame, draws=3)
    bound, draws = posterior.bound, flat(posterior.tree)
    density, sets = GaussianDensity(bound), rows_of(frame["site"])
    exact = left_out.groups(density, draws, left_out.removals_by(density, "site"), lambda done: None)
    for part, (found, _) in zip(exact, GroupIntegral.of_rows(bound).left_out(draws, sets), strict=True):
        np.testing.assert_allclose(found, part.densities[:, 0], rtol=1e-8)


@pytest.mark.parametrize("family", [bp.Poisson(), bp.Bernoulli()], ids=repr)
def test_groups_of_counts_against_exact_sums(family: Family) -> None:
    y = [0, 1, 0, 3, 2, 5, 1, 1, 0, 9, 6, 4] if isinstance(family, bp.Poisson) else [0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0]
    frame = pd.DataFrame({"y": y, "g": np.repeat(list("dbca"), 3)})
    posterior, grid = on_a_grid(family, frame, draws=2000)
    sets = rows_of(frame["g"])
    exact = np.array([grid.left_out(rows) for rows in sets])
    found = bp.loo(posterior, kind="group", by="g", progress=False)
    assert list(found.elpd_i["left_out"].to_numpy()) == list("dbca") and found.conditioning == "group"
    # 1 / p(y_g | y_-g, phi) has the mean 1 / p(y_g | y_-g) over independent draws of phi.
    ratio = np.exp(-np.array([each for each, _ in GroupIntegral.of_rows(grid.bound).left_out(flat(posterior.tree),
                                                                                             sets)]))
    error = ratio.std(axis=1) / ratio.mean(axis=1) / np.sqrt(4000)
    assert (np.abs(found.elpd_i - exact) < 4 * error).all() and (error < 0.05).all()
    assert (found.pareto_k < 0.7).all()


def test_two_weights_a_group_against_a_dense_grid(frame: pd.DataFrame) -> None:
    # Counts with an intercept and a slope of each site that correlate; eta is the model's own, weight by weight.
    rows = frame.assign(y=np.random.default_rng(2).poisson(3, len(frame)))
    scale = bp.Hyperprior("LogNormal", mu=-1, sigma=0.5, relative=True)
    model = bp.Model("y ~ dose", bp.PartialPooling("site", scale=scale), bp.Poisson(),
                     mean=bp.Hyperprior("Normal", sigma=0.3, relative=True))
    posterior = unsampled(model, rows, draws=2)
    bound, draws = posterior.bound, flat(posterior.tree)
    axis = np.linspace(-7, 7, 281)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    sets = rows_of(rows["site"])
    found = np.array([each for each, _ in GroupIntegral.of_rows(bound).left_out(draws, sets)])
    for draw, (place, site) in zip(range(4), enumerate(rows["site"].unique()), strict=False):
        values = {name: value[draw] for name, value in draws.items()}
        values["site_z"] = np.tile(values["site_z"], (len(z), 1, 1))
        values["site_z"][:, list(bound.terms[0].levels.labels).index(site)] = z
        eta = bound.eta(values, np, sets[place])
        density = bound.family.likelihood(eta, {}, 1.0, np).log_density(bound.y[sets[place]]).sum(axis=1)
        exact = logsumexp(density + norm.logpdf(z).sum(axis=1)) + 2 * np.log(axis[1] - axis[0])
        assert abs(found[place, draw] - exact) < 1e-6


@pytest.mark.parametrize("varying", [bp.Varying(), bp.Varying(bp.PartialPooling("site"))], ids=repr)
def test_a_group_with_a_scale_of_its_own_against_a_dense_grid(varying: bp.Varying, frame: pd.DataFrame) -> None:
    # The level and the log scale of a site are weights of one term, which correlate, or of two.
    model = bp.Model("y ~ 1", bp.PartialPooling("site"), bp.Normal(sigma=varying))
    posterior = bp.fit(model, frame, seed=1, method=bp.Laplace(draws=50), progress=False)
    bound, draws = posterior.bound, all_draws(posterior.bound, posterior.tree)
    axis = np.linspace(-7, 7, 281)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    sets = rows_of(frame["site"])
    integral = GroupIntegral.of_sets(bound, sets)
    assert integral is not None and len(integral.places) == len(bound.terms)
    found = np.array([each for each, _ in integral.left_out(draws, sets)])
    for draw, (place, site) in zip(range(4), enumerate(frame["site"].unique()), strict=False):
        values = {name: value[draw] for name, value in draws.items()}
        columns = np.split(z, len(bound.terms), axis=1)
        for term, own in zip(bound.terms, columns, strict=True):
            values[f"{term.name}_z"] = np.tile(values[f"{term.name}_z"], (len(z), 1, 1))
            values[f"{term.name}_z"][:, list(term.levels.labels).index(site)] = own
        eta = bound.eta(values, np, sets[place])
        density = bound.family.likelihood(eta, {}, 1.0, np).log_density(bound.y[sets[place]]).sum(axis=1)
        exact = logsumexp(density + norm.logpdf(z).sum(axis=1)) + 2 * np.log(axis[1] - axis[0])
        assert abs(found[place, draw] - exact) < 1e-4


def test_eta_of_some_rows(frame: pd.DataFrame) -> None:
    prior = bp.LinearVarying("age") + bp.PartialPooling("site") + bp.Conditional("sex", on="dose")
    posterior = unsampled(bp.Model("y ~ dose", prior), frame, draws=3)
    draws, rows = flat(posterior.tree), np.array([30, 2, 17])
    np.testing.assert_allclose(posterior.bound.eta(draws, np, rows), posterior.bound.eta(draws, np)[:, rows])


@pytest.mark.parametrize(("by", "prior", "name"), [
    ("site", bp.PartialPooling("site") + bp.PartialPooling("sex"), "site"),
    ("sex", bp.PartialPooling("site") + bp.PartialPooling("sex"), "sex"),
    ("region", bp.PartialPooling("site") + bp.PartialPooling("sex"), "site"),
    ("region", bp.PartialPooling("patient") + bp.PartialPooling("site", on="dose"), "site"),
    ("site", bp.Conditional("region") + bp.PartialPooling("patient", on="dose"), "patient"),
    ("patient", bp.Conditional("region") + bp.PartialPooling("site", on="dose"), "site"),
    ("sex", bp.PartialPooling("site"), None), ("site", bp.LinearVarying("age"), None), ("site", bp.Population(), None)],
    ids=str)
def test_the_weights_that_matter_most_are_integrated(by: str, prior: Prior, name: str | None,
                                                     frame: pd.DataFrame) -> None:
    rows = frame.assign(region=frame["site"].map(REGION), patient=[f"{site} {i // 2}" for i, site in
                                                                                enumerate(frame["site"])])
    bound = bp.Model("y ~ dose", prior, bp.StudentT()).bind(rows)
    found = GroupIntegral.of_sets(bound, rows_of(rows[by]))
    assert (found and bound.terms[found.places[0]].name) == name


@pytest.mark.filterwarnings("ignore:loo. integrals over")
def test_another_unit_of_the_outcome(frame: pd.DataFrame) -> None:
    # The same draws in both units, so that nothing but the unit differs: lines and groups, errors of any size.
    factor, sigma = 1e-6, bp.Hyperprior("HalfNormal", sigma=0.01, relative=True)
    for family in (bp.StudentT(), bp.StudentT(sigma=sigma)):
        model = bp.Model("y ~ dose", bp.PartialPooling("site"), family)
        found = [unsampled(model, rows, draws=40) for rows in (frame, frame.assign(y=factor * frame["y"]))]
        for options, count in (({"refit": False}, np.ones(40)), ({"kind": "group", "by": "site", "refit": False},
                                                   frame["site"].value_counts(sort=False).to_numpy())):
            one, other = (bp.loo(each, progress=False, **options).elpd_i.to_numpy() for each in found)
            # Residuals are up to a thousand errors: rounding grows by as much.
            np.testing.assert_allclose(other, one - count * np.log(factor), rtol=1e-5, atol=1e-6)


def test_integrals_that_have_not_settled_are_said(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = unsampled(bp.Model("y ~ dose", bp.PartialPooling("site"), bp.StudentT()), frame, draws=20)
    monkeypatch.setattr("bayes_personal.samplers.integrand.GRIDS", {2: (2, 3)})
    with pytest.warns(ConvergenceWarning, match="not settled, in 5 of 5 cases \\('[A-Z].*is uncertain by"):
        found = bp.loo(posterior, kind="group", by="site", refit=False, progress=False)
    assert any("have not settled, in 5 of 5 cases" in each for each in found.complaints)
    assert "DO NOT TRUST: " in str(found)


def test_draws_are_thinned_where_integrals_are_dear(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame.assign(y=1)
    posterior = unsampled(bp.Model("y ~ dose", bp.PartialPooling("site"), bp.Poisson()), rows, draws=1000)
    monkeypatch.setattr("bayes_personal.leaving_out.question.BUDGET", 0.0)
    # Draws of the prior are no posterior: a fraction of them would not do.
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.LARGEST_SHARE", np.inf)
    found = bp.loo(posterior, kind="group", by="site", progress=False)
    assert found.n_samples == 250 and found.n_data_points == 5


def test_however_few_numbers_are_in_memory(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    # One group at a time, and parts of its draws, or all groups at once.
    rows = frame.assign(y=np.arange(len(frame)) % 5)
    scale = bp.Hyperprior("LogNormal", mu=-1, sigma=0.3, relative=True)
    model = bp.Model("y ~ dose", bp.PartialPooling("site", on="dose", scale=scale), bp.Poisson(),
                     mean=bp.Hyperprior("Normal", sigma=0.1, relative=True))
    posterior = unsampled(model, rows, draws=30)
    questions = ({}, {"kind": "group", "by": "site"}, {"kind": "group", "by": "dose"})
    before = [bp.loo(posterior, progress=False, **options) for options in questions]
    for numbers in (100, 700):
        monkeypatch.setattr("bayes_personal.binding.own_weights.NUMBERS", numbers)
        for options, wanted in zip(questions, before, strict=True):
            found = bp.loo(posterior, progress=False, **options)
            np.testing.assert_allclose(found.elpd_i, wanted.elpd_i, rtol=1e-6)
