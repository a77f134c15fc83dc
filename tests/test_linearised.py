"""The engine for families that are not Normal: its integrals, its densities, and what it must equal."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_predictors import bind  # noqa: F401 (a fixture)

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.linearised.corrected import Corrected
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity, linearises
from bayes_personal.densities.linearised.pseudo_data import PseudoData
from bayes_personal.densities.linearised.surrogate import SurrogateDensity
from bayes_personal.densities.linearised.tiles import Tiles
from bayes_personal.kernels import likelihoods
from bayes_personal.samplers.corrected import corrected
from bayes_personal.samplers.linearising import linearised
from bayes_personal.samplers.mode import Mode

FAMILIES: dict[str, Any] = {"Bernoulli": bp.Bernoulli(), "Binomial": bp.Binomial("n"), "Poisson": bp.Poisson("n"),
                            "NegativeBinomial": bp.NegativeBinomial("n"), "StudentT": bp.StudentT()}
PRIORS: dict[str, Any] = {
    "smooth": bp.GaussianProcess("c"), "intercepts": bp.PartialPooling("g", on="Intercept"),
    "slopes": bp.PartialPooling("g"), "crossed": bp.PartialPooling("g") + bp.PartialPooling("h", on="Intercept"),
    "both": bp.PartialPooling("g") + bp.LinearVarying("c", on="x"), "own scales": bp.MetaLearned("g")}
ALL = [(family, prior) for family in FAMILIES for prior in PRIORS]


def frame(seed: int = 0, rows: int = 60, even: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, c, n = rng.normal(size=rows), rng.uniform(-1, 1, rows), rng.integers(3, 9, rows)
    # Groups of different sizes, one of them with a single row.
    g = np.append(rng.choice(list("abcde"), rows - 1, p=[0.4, 0.3, 0.1, 0.1, 0.1]), "f")
    g = np.resize(list("abc"), rows) if even else g
    eta = 0.3 + 0.6 * x + np.sin(3 * c) + (g == "a") * (1 - x)
    chance = 1 / (1 + np.exp(-eta))
    return pd.DataFrame({"x": x, "c": c, "g": g, "h": rng.choice(list("uvwz"), rows), "n": n,
                         "Bernoulli": rng.binomial(1, chance), "Binomial": rng.binomial(n, chance),
                         "Poisson": rng.poisson(n * np.exp(eta - 1)),
                         "NegativeBinomial": rng.poisson(n * np.exp(eta - 1) * rng.gamma(2, 0.5, rows)),
                         "StudentT": 5 * (eta + rng.standard_t(3, rows))})


def bound(family: str, prior: str, **arguments: Any) -> BoundModel:
    return bp.Model(f"{family} ~ x", PRIORS[prior], FAMILIES[family]).bind(frame(**arguments))


def density_of(family: str, prior: str, **arguments: Any) -> LinearisedDensity:
    density, _ = linearised(bound(family, prior, **arguments), np.random.default_rng(1))
    return density


def differences(function: Any, at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in step * np.eye(len(at))])


@pytest.mark.parametrize("count", [1, 63, 64, 200])
def test_tiles_keep_every_row_and_group(count: int) -> None:
    rng = np.random.default_rng(count)
    # Some groups have no row.
    tiles = Tiles(rng.integers(0, count, 300) // 2 * 2, count)
    rows, groups = rng.normal(size=(2, 300)), rng.normal(size=(3, count))
    np.testing.assert_array_equal(tiles.to_rows(tiles.of_rows(rows)), rows)
    np.testing.assert_array_equal(tiles.to_groups(tiles.of_groups(groups)), groups)
    # A row's lane is that of its group.
    np.testing.assert_array_equal(tiles.of_groups(groups)[:, *np.divmod(tiles.places, 64)], groups)
    assert (tiles.places[tiles.group] % 64 == tiles.slots[1]).all()


@pytest.mark.parametrize(("family", "prior"), ALL)
def test_gradient(family: str, prior: str) -> None:
    # Exact integrals have exact slopes; with few rows in a group they take many nodes.
    density = replace(density_of(family, prior, even=True), order=41)
    rng = np.random.default_rng(2)
    for spread in (0.3, 1.5):
        point = spread * rng.normal(size=density.size)
        value, gradient = density.log_density(point)
        assert density.value(point) == value
        assert density.each_value(point[None])[0] == pytest.approx(value, rel=1e-10)
        wanted = differences(density.value, point)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prior", ["intercepts", "slopes", "own scales"])
def test_integrals_of_groups(family: str, prior: str) -> None:
    """By a fine rectangle rule over the weights of each group."""
    density = density_of(family, prior)
    groups, model = density.groups, density.bound
    assert groups is not None
    point = 0.4 * np.random.default_rng(3).normal(size=density.size)
    values = density.values(point[None])
    (own,), scales = groups.rows.own(values, 1), groups.scales(density.gaussian.draws(values, 1)[0], 0)
    eta = density.eta_at_centre
    each, finer = (groups.tiles.to_groups(groups.log_integrals(own, scales, eta, order)) for order in (31, 61))
    size = len(groups.x)
    grid = np.linspace(-7, 7, 4001 if size == 1 else 561)
    z = np.stack(np.meshgrid(*[grid] * size, indexing="ij")).reshape(size, -1)
    prior_density = stats.norm.logpdf(z).sum(axis=0) + size * np.log(grid[1] - grid[0])
    sd, root = scales
    row_eta, x = groups.tiles.to_rows(eta)[0], groups.tiles.to_rows(groups.x)[:, 0]
    y, n = groups.rows.outcomes
    for g in range(groups.tiles.count):
        of_group = groups.tiles.group == g
        own_sd = groups.tiles.to_groups(sd)[:, g] if sd.shape[1] > 1 else sd[:, 0, 0]
        moves = x[:, of_group].T @ (own_sd[:, None] * root) @ z
        predictor = row_eta[of_group][:, None] + moves
        family_values = {name: value[0] for name, value in values.items()}
        logs = model.family.likelihood(predictor[..., None], family_values, n[of_group][:, None], np)
        logs = logs.log_density(y[of_group][:, None])
        # What does not depend on eta is no part of the integrals.
        at_zero = model.family.likelihood(0 * predictor[..., None], family_values, n[of_group][:, None], np)
        constant = at_zero.log_density(y[of_group][:, None])[:, 0].sum() - zero_part(family, own, y[of_group],
                                                                                    n[of_group])
        wanted = np.logaddexp.reduce(logs.sum(axis=0) + prior_density) - constant
        # What a finer rule adds tells the error.
        assert abs(each[g] - wanted) < 1e-6 + 3 * abs(each[g] - finer[g]), (g, of_group.sum())


def zero_part(family: str, own: np.ndarray, y: np.ndarray, n: np.ndarray) -> float:
    """The compiled log likelihood at eta = 0."""
    return float(likelihoods.log_likelihoods(FAMILIES[family].compiled, own, y, n, np.zeros((1, len(y)))).sum())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prior", ["slopes", "crossed", "own scales"])
def test_slopes_of_integrals(family: str, prior: str) -> None:
    density = density_of(family, prior, even=True)
    groups = density.groups
    assert groups is not None
    values = density.values(0.4 * np.random.default_rng(3).normal(size=(1, density.size)))
    (own,), (sd, root) = groups.rows.own(values, 1), groups.scales(density.gaussian.draws(values, 1)[0], 0)
    eta = density.eta_at_centre
    order = 41
    _, slopes = groups.log_integrals_and_slopes(own, (sd, root), eta, order)

    def total(own: np.ndarray = own, sd: np.ndarray = sd, root: np.ndarray = root, eta: np.ndarray = eta) -> float:
        return float(groups.log_integrals(own, (sd, root), eta, order).sum())

    np.testing.assert_allclose(slopes.by_own, differences(lambda each: total(own=each), own), rtol=1e-4, atol=1e-6)
    rows = [0, 7, 30]
    for row in rows:
        at = groups.tiles.slots[0][row], groups.tiles.slots[1][row]

        def moved(step: np.ndarray, at: Any = at) -> float:
            result = eta.copy()
            result[0, *at] += step[0]
            return total(eta=result)

        assert slopes.by_eta[0, row] == pytest.approx(differences(moved, np.zeros(1))[0], rel=1e-4, abs=1e-6)
    for a in range(len(sd)):
        def grown(step: np.ndarray, a: int = a) -> float:
            result = sd.copy()
            result[a] += step[0]
            return total(sd=result)

        assert slopes.by_sd[:, a].sum() == pytest.approx(differences(grown, np.zeros(1))[0], rel=1e-4, abs=1e-6)
        for k in range(a + 1):
            def turned(step: np.ndarray, a: int = a, k: int = k) -> float:
                result = root.copy()
                result[a, k] += step[0]
                return total(root=result)

            assert slopes.by_root[a, k] == pytest.approx(differences(turned, np.zeros(1))[0], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prior", ["smooth", "crossed", "both"])
def test_the_target_is_the_model_itself(family: str, prior: str) -> None:
    """log p(y, phi, weights), whatever the pseudo-data are."""
    density = density_of(family, prior)
    model = density.bound
    rng = np.random.default_rng(4)
    target = Corrected(density, 15)
    points = 0.5 * rng.normal(size=(6, density.size + target.weights))
    placed = target.placed(points)
    wanted = density.log_prior(points[:, : density.size], placed.values) + stats.norm.logpdf(placed.z).sum(axis=1)
    values = dict(placed.values)
    if density.groups is not None:
        # Averaged over draws of the prior of the groups' weights.
        count = 40_000
        term = density.groups.term
        values = {name: np.repeat(value, count, axis=0) for name, value in values.items()}
        values[f"{term.name}_z"] = rng.standard_normal((6 * count, term.size, len(term.positions)))
        shrunk = {name: value for name, value in values.items()}
        eta = np.concatenate([model.eta({name: value[start : start + 4000] for name, value in shrunk.items()}, np)
                              for start in range(0, 6 * count, 4000)])
    else:
        count, eta = 1, model.eta(values, np)
    logs = model.log_likelihood(model.y, eta, model.family_values(values), model.constants, None)
    sets = [slice(None)]
    if density.groups is not None:
        sets = [density.groups.tiles.group == g for g in range(density.groups.tiles.count)]
    of_groups = np.array([logs[:, of_group].sum(axis=1) for of_group in sets]).reshape(-1, 6, count)
    highest = of_groups.max(axis=2, keepdims=True)
    shares = np.exp(of_groups - highest)
    likelihood = (np.log(shares.mean(axis=2)) + highest[..., 0]).sum(axis=0)
    error = np.sqrt((shares.var(axis=2) / shares.mean(axis=2) ** 2 / count).sum(axis=0)) if count > 1 else 0.0
    found = target.each_value(points) - placed.log_jacobian
    assert (np.abs(found - wanted - likelihood) < 4 * error + 1e-7 * np.abs(found)).all()


@pytest.mark.parametrize("family", ["Bernoulli", "NegativeBinomial"])
def test_the_jacobian(family: str) -> None:
    density = density_of(family, "smooth")
    target = Corrected(density, 3)
    point = 0.3 * np.random.default_rng(5).normal(size=density.size + target.weights)
    moves = np.array([(target.placed((point + step)[None]).z - target.placed((point - step)[None]).z)[0] / 2e-5
                      for step in 1e-5 * np.eye(len(point))[density.size :]])
    assert target.placed(point[None]).log_jacobian[0] == pytest.approx(np.linalg.slogdet(moves)[1], abs=1e-5)


@pytest.mark.parametrize(("family", "prior"), [("Bernoulli", "slopes"), ("StudentT", "slopes"),
                                               ("NegativeBinomial", "both"), ("Poisson", "intercepts")])
def test_surrogate_near_the_mode(family: str, prior: str) -> None:
    """Importance weights that vary by so much cost less than a tenth of the draws."""
    density, mode = linearised(bound(family, prior), np.random.default_rng(1))
    root = Mode.at(density.log_density, mode).root
    surrogate = SurrogateDensity.fitted(density, mode, root, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    points = mode + 0.7 * rng.normal(size=(20, density.size)) @ root.T
    apart = [surrogate.value(point) - density.value(point) for point in points]
    assert np.std(apart) < 0.3
    for point in points[:3]:
        value, gradient = surrogate.log_density(point)
        np.testing.assert_allclose(gradient, differences(surrogate.value, point), rtol=1e-4, atol=1e-4)
        assert surrogate.each_value(point[None])[0] == pytest.approx(value, rel=1e-10)


def test_pseudo_data_of_two_predictors(bind: Any) -> None:  # noqa: F811
    """Their evidence is that of a multivariate normal distribution of both linear predictors of all rows."""
    model = bind(bp.PartialPooling("g", on="Intercept") + bp.LinearVarying("c", on=["x", "z"]))
    rng = np.random.default_rng(6)
    count = len(model.rows)
    root = rng.normal(size=(count, 2, 2)) + 2 * np.eye(2)
    precision = np.ascontiguousarray((root @ root.mT).transpose(1, 2, 0))
    pseudo = PseudoData(np.zeros((2, count)), np.zeros((2, 2, count)), rng.normal(size=(2, count)), precision)
    density = pseudo.gaussian(model)
    point = 0.3 * rng.normal(size=density.size)
    values = density.values(np.repeat(point[None], 400_000, axis=0)[:1])
    # eta is linear in the weights: its mean and covariance follow from unit vectors.
    flat = {model.mean.name: model.mean.size} | {f"{term.name}_z": term.size * len(term.positions)
                                                for term in model.terms}

    def eta(weights: np.ndarray) -> np.ndarray:
        parts, start = dict(values), 0
        for name, size in flat.items():
            part = weights[start : start + size]
            if name == model.mean.name:
                parts[name] = (model.mean.arguments["mu"] + model.mean.arguments["sigma"] * part)[None]
            else:
                term = next(each for each in model.terms if f"{each.name}_z" == name)
                parts[name] = part.reshape(1, term.size, len(term.positions))
            start += size
        return model.eta(parts, np)[0].T.ravel()

    total = sum(flat.values())
    mean = eta(np.zeros(total))
    loadings = np.array([eta(unit) - mean for unit in np.eye(total)]).T
    error = np.zeros((2 * count, 2 * count))
    for row in range(count):
        error[np.ix_([row, count + row], [row, count + row])] = np.linalg.inv(precision[:, :, row])
    wanted = stats.multivariate_normal(mean, loadings @ loadings.T + error).logpdf(pseudo.response.ravel())
    assert density.value(point) - density.log_prior(point[None], density.values(point[None]))[0] == pytest.approx(
        wanted, rel=1e-9)


def test_what_does_not_linearise() -> None:
    data = frame()
    for model in (bp.Model("Bernoulli ~ x", bp.Mixture(2, gate="c"), bp.Bernoulli()),
                  bp.Model("Bernoulli ~ x", bp.Population(), bp.Bernoulli(),
                           mean=bp.Hyperprior("StudentT", nu=3.0, mu=0.0, sigma=1.0)),
                  bp.Model("StudentT ~ x", bp.Population())):
        assert not linearises(model.bind(data))


def posterior_by_grid(family: str, data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the mean and of the log of the groups' scale, the weights integrated out."""
    model = bp.Model(f"{family} ~ 1", PRIORS["intercepts"], FAMILIES[family]).bind(data)
    mean, scale = model.mean, model.parameters[0]
    at, log_scale, z = np.linspace(-4, 4, 161), np.linspace(-5, 2.5, 121), np.linspace(-6, 6, 121)
    log_prior = (-0.5 * (at * mean.unit / mean.arguments["sigma"]) ** 2)[:, None] + scale.log_density(
        scale.value(log_scale[:, None]), log_scale[:, None])
    mu = (mean.arguments["mu"] + at * mean.unit)[:, None, None]
    eta = mu + scale.value(log_scale[:, None])[:, 0][:, None] * z
    total = log_prior
    for code in data.g.unique():
        rows = np.flatnonzero(data.g == code)
        logs = sum(model.family.likelihood(eta[..., None], {}, model.constants[row], np).log_density(model.y[row])
                   for row in rows)
        total = total + np.logaddexp.reduce(logs - 0.5 * z**2, axis=-1)
    weights = np.exp(total - total.max())
    weights /= weights.sum()
    result = []
    for places, share in ((mu[:, 0, 0], weights.sum(axis=1)), (log_scale, weights.sum(axis=0))):
        centre = share @ places
        result.append((centre, np.sqrt(share @ (places - centre) ** 2)))
    return np.array(result)[:, 0], np.array(result)[:, 1]


@pytest.mark.parametrize("family", ["Bernoulli", "Binomial", "Poisson"])
def test_posterior_is_that_of_a_grid(family: str) -> None:
    data = frame(seed=2)
    means, sds = posterior_by_grid(family, data)
    posterior = bp.fit(bp.Model(f"{family} ~ 1", PRIORS["intercepts"], FAMILIES[family]), data, seed=3,
                       method=bp.Laplace(draws=4000, fallback=False), progress=False)
    assert not posterior.diagnostics.complaints
    ess = posterior.diagnostics.importance.ess
    (scale,) = posterior.bound.parameters
    draws = np.stack([posterior.tree["posterior"]["mu"].to_numpy().ravel(),
                      scale.point(posterior.tree["posterior"][scale.name].to_numpy().reshape(-1, 1))[:, 0]])
    assert (np.abs(draws.mean(axis=1) - means) < 4 * sds / np.sqrt(ess)).all()
    kurtosis = stats.kurtosis(draws, axis=1, fisher=False)
    assert (np.abs(np.log(draws.std(axis=1) / sds)) < 4 * np.sqrt((kurtosis - 1) / 4 / ess)).all()


def test_evidence_does_not_depend_on_pseudo_data() -> None:
    """Worse pseudo-data cost draws, and change no answer."""
    density = density_of("Poisson", "both")
    pseudo = density.pseudo
    worse = replace(density, pseudo=replace(pseudo, response=pseudo.response + 0.2, precision=0.7 * pseudo.precision))
    results = [corrected(each, 2048, 4, np.random.default_rng(7)).weighted for each in (density, worse)]
    apart = results[0].log_evidence - results[1].log_evidence
    assert abs(apart) < 4 * np.hypot(results[0].log_evidence_se, results[1].log_evidence_se)
    assert results[0].ess > results[1].ess
