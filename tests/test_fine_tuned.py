"""FineTuned: what two stages are, what each of them knows, and what they leave out of the variance."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import ConvergenceWarning, InputError, NotFittedError, SpecificationError
from bayes_personal.model.program import program
from bayes_personal.samplers import second_stage
from bayes_personal.samplers.draws import flat
from bayes_personal.samplers.normal_second_stage import NormalSecondStage
from bayes_personal.samplers.stages import Stages

LAPLACE = bp.Laplace(draws=4000)
PRIORS = [bp.FineTuned("site"), bp.FineTuned("site", on="dose"), bp.FineTuned("site", target=["Delft", "Cork"]),
          bp.FineTuned("site", target="Delft", on="dose")]


def fixed(scale: float) -> bp.Hyperprior:
    """A scale that is as good as known."""
    return bp.Hyperprior("LogNormal", mu=np.log(scale), sigma=1e-5)


def dense(bound: BoundModel) -> np.ndarray:
    """Which of the tuned groups each row is of, (unit, feature)."""
    matrix: Any = bound.features[0].matrix
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def offsets(bound: BoundModel) -> tuple[np.ndarray, np.ndarray]:
    """What mu and what the offsets multiply, group by group: (unit, coefficient), (unit, feature * varying)."""
    moved = bound.coefficients.predictors(bound.x, bound.terms[0].positions)
    return (bound.coefficients.predictors(bound.x, bound.everywhere),
            (dense(bound)[:, :, None] * moved[:, None, :]).reshape(len(moved), -1))


def hyperparameters(bound: BoundModel, count: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Points, and the values there, of hyperparameters from their prior."""
    rng = np.random.default_rng(seed)
    values = {each.name: np.array([each.draw(rng) for _ in range(count)]) for each in bound.parameters}
    return GaussianDensity(bound).points(values), values


def test_the_density_of_all_else_given_the_population_is_that_of_a_normal_outcome(frame: pd.DataFrame) -> None:
    for prior in PRIORS:
        bound = bp.Model("y ~ dose + weight", prior, mean=bp.Hyperprior("StudentT", nu=4, mu=0, sigma=9)).bind(frame)
        x, z = offsets(bound)
        rng = np.random.default_rng(1)
        mu = bound.coefficients.location + bound.coefficients.unit * rng.normal(size=(4, 3))
        points, values = hyperparameters(bound, 5)
        given = NormalSecondStage.of(bound, mu)
        found = given.at(points, given.heights(points)).log_densities(given.whitened)
        wanted, (term,) = np.empty((4, 5)), bound.terms
        for m in range(5):
            variance = np.tile(values[f"{term.name}_scale"][m] ** 2, term.size)
            covariance = (z * variance) @ z.T + values["sigma"][m] ** 2 * np.eye(len(x))
            wanted[:, m] = [stats.multivariate_normal(x @ one, covariance).logpdf(bound.y) for one in mu]
        wanted += GaussianDensity(bound).log_prior(points, values)
        # What depends on mu alone is left out: it is the feedback that a cut does without.
        moved = (found - found[:, :1]) - (wanted - wanted[:, :1])
        np.testing.assert_allclose(moved, 0, atol=1e-8 * np.abs(wanted).max())


class Noise:
    """A generator that gives the noise it is told to, mu's and the dense weights' first."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.arrays = list(arrays)

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.arrays.pop(0).reshape(shape).copy()


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_offsets_given_the_population_have_their_exact_distribution(frame: pd.DataFrame, prior: bp.FineTuned) -> None:
    """Their mean, and, noise by noise, the root of their covariance."""
    bound = bp.Model("y ~ dose + weight", prior).bind(frame)
    x, z = offsets(bound)
    points, values = hyperparameters(bound, 1)
    mu = bound.coefficients.location + 0.7 * bound.coefficients.unit
    here, (term,) = GaussianDensity(bound).arrangement, bound.terms
    together = here.size + here.groups * here.varying
    count, noise = 1 + together, np.vstack([np.zeros(together), np.eye(together)])
    given, told = NormalSecondStage.of(bound, np.tile(mu, (count, 1))), Noise(noise[:, : here.size],
                                                                              noise[:, here.size :])
    drawn = given.weights(np.tile(points, (count, 1)), told)  # type: ignore[arg-type]
    np.testing.assert_allclose(drawn[bound.mean.name], np.tile(mu, (count, 1)), rtol=1e-9)
    scale = values[f"{term.name}_scale"][0]
    found = (drawn[f"{term.name}_z"] * scale).reshape(count, -1)
    precision = np.diag(np.tile(scale**-2.0, term.size)) + z.T @ z / values["sigma"][0] ** 2
    covariance = np.linalg.inv(precision)
    mean = covariance @ z.T @ (bound.y - x @ mu) / values["sigma"][0] ** 2
    np.testing.assert_allclose(found[0], mean, rtol=1e-8, atol=1e-8 * np.abs(mean).max())
    root = found[1:] - found[0]
    np.testing.assert_allclose(root.T @ root, covariance, rtol=1e-8, atol=1e-8 * np.abs(covariance).max())


def conditional(bound: BoundModel, values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all weights that are not eliminated, in data units, mu's first, given hyperparameters."""
    density = GaussianDensity(bound)
    found = density.factor(*density.draws(values, 1), 0)
    unit = np.concatenate([bound.mean.arguments["sigma"], *(
        np.tile(values[f"{term.name}_scale"][0], term.size) for term in bound.terms)])
    centre = np.concatenate([bound.mean.arguments["mu"], np.zeros(len(unit) - len(bound.everywhere))])
    root = np.linalg.inv(np.tril(found.lower)).T * unit[:, None]
    return centre + unit * found.mean, root @ root.T


@pytest.mark.parametrize("targets", ["Delft", ["Delft", "Cork"]])
def test_targets_out_of_stage_one_and_its_posterior_as_prior_are_the_joint_model(frame: pd.DataFrame,
                                                                                 targets: Any) -> None:
    """Stage one of the engine, updated by the targets' rows in dense algebra, beside the joint model of the engine."""
    model = bp.Model("y ~ dose + weight", bp.FineTuned("site", target=targets, on=["Intercept", "dose"]))
    bound = model.bind(frame)
    first = Stages.of(bound, bp.NUTS()).first_stage
    assert set(first.frame["site"]) == set(frame["site"]) - set(np.atleast_1d(targets))
    values = {"sigma": np.array([3.0]), "site_tuned_scale": np.array([[5.0, 0.6]])}
    mean, covariance = conditional(first, {"sigma": values["sigma"]})
    x, z = offsets(bound)
    of = bound.frame["site"].isin(np.atleast_1d(targets)).to_numpy()
    count = bound.terms[0].size
    before = np.zeros((3 + 2 * count, 3 + 2 * count))
    before[:3, :3] = covariance
    before[3:, 3:] = np.diag(np.tile([25.0, 0.36], count))
    start, design = np.append(mean, np.zeros(2 * count)), np.hstack([x, z])[of]
    gain = before @ design.T @ np.linalg.inv(design @ before @ design.T + 9.0 * np.eye(of.sum()))
    wanted = start + gain @ (bound.y[of] - design @ start), before - gain @ design @ before
    joint = bp.Model(model.formula, replace(model.prior, freeze=None)).bind(frame)
    for found, expected in zip(conditional(joint, values), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def exact(bound: BoundModel, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of theta given mu, scales of 1 and known errors, (unit, coefficient)."""
    x, z = offsets(bound)
    (term,), weight = bound.terms, bound.constants**-2.0
    to = bound.coefficients.to_data_units(term.positions)
    covariance = np.linalg.inv(np.eye(z.shape[1]) + (z.T * weight) @ z)
    d = covariance @ (z.T * weight) @ (bound.y - x @ mu)
    theta = np.tile(mu @ bound.coefficients.to_data_units(bound.everywhere), (len(x), 1))
    variance = np.zeros_like(theta)
    for row, indicator in enumerate(dense(bound)):
        moved = np.kron(indicator, to.T)
        theta[row, term.positions] += moved @ d
        variance[row, term.positions] = np.diag(moved @ covariance @ moved.T)
    return theta, variance


@pytest.mark.parametrize("target", [None, "Espoo", ("Espoo", "Cork")])
def test_a_cut_has_the_plug_ins_variance_and_that_of_its_mean_over_the_population(frame: pd.DataFrame,
                                                                                  target: Any) -> None:
    """Hyperparameters are as good as known: theta given mu is then linear in mu, with a variance that no mu moves."""
    cut, plug = (bp.fit(bp.Model("y ~ dose + weight", bp.FineTuned("site", on=["Intercept", "dose"], target=target,
                                                                   freeze=freeze, scale=fixed(1.0)),
                                 bp.Normal(sd="se")), frame, seed=seed, method=LAPLACE, progress=False)
                 for seed, freeze in enumerate(("cut", "plug-in")))
    rows = np.unique(frame["site"], return_index=True)[1]
    mean, covariance = conditional(Stages.of(cut.bound, LAPLACE).first_stage, {})
    at = np.stack([exact(cut.bound, mean + step)[0] for step in np.vstack([np.zeros(3), np.eye(3)])])[:, rows]
    slope, within = at[1:] - at[0], exact(cut.bound, mean)[1][rows]
    between = np.einsum("aik,ab,bik->ik", slope, covariance, slope)
    tuned = within > 0
    assert (between[tuned] > 0.2 * within[tuned]).any() and (within + between > 0).all()
    theta, other = (each.theta.isel(unit=rows).to_numpy()[0] for each in (cut, plug))
    error = np.sqrt(2 / len(theta))
    lacking = theta.var(axis=0, ddof=1) - other.var(axis=0, ddof=1) - between
    lacking = lacking / np.hypot(within + between, within) / error
    print(f"variance of the cut beside that of the plug-in and of its mean: z up to {np.abs(lacking).max():.2f}; the "
          f"plug-in lacks up to {(between / (within + between))[tuned].max():.0%} of a tuned coefficient's")
    assert (np.abs(lacking) < 4).all()
    assert (np.abs(theta.var(axis=0, ddof=1) / (within + between) - 1) < 4 * error).all()
    assert (np.abs(other.var(axis=0, ddof=1)[tuned] / within[tuned] - 1) < 4 * error).all()
    assert (other.var(axis=0)[~tuned] < 1e-20 * at[0][~tuned] ** 2 + 1e-20).all()
    # The plug-in's mean is that of stage one's draws, not of its distribution.
    for draws, variance in ((theta, within + between), (other, within + between)):
        assert (np.abs(draws.mean(axis=0) - at[0]) < 4 * np.sqrt(variance / len(draws))).all()


def test_hyperparameters_have_their_posterior_given_each_draw_of_the_population() -> None:
    """By quadrature over the only one; sources say so little of mu that it matters which draw that is."""
    rng = np.random.default_rng(3)
    site = np.repeat(["source", "target"], [6, 12])
    data = pd.DataFrame({"site": site, "se": 2.0, "y": np.where(site == "target", 2.0, 0.0) + rng.normal(size=18)})
    prior = bp.FineTuned("site", target="target", scale=bp.Hyperprior("HalfNormal", sigma=2))
    model = bp.Model("y ~ 1", prior, bp.Normal(sd="se"), bp.Hyperprior("Normal", sigma=3))
    posterior = bp.fit(model, data, seed=1, method=LAPLACE, progress=False)
    draws = flat(posterior.tree)
    mu, tau = draws["mu"][:, 0], draws["site_tuned_scale"][:, 0]
    source, target = (data["y"][site == label] for label in ("source", "target"))
    precision = 1 / 9 + 6 / 4
    assert abs(mu.mean() - source.sum() / 4 / precision) < 4 * np.sqrt(1 / precision / len(mu))
    assert abs(mu.var() * precision - 1) < 4 * np.sqrt(2 / len(mu))
    grid = np.linspace(1e-4, 15, 4000)
    logs = stats.norm(mu[:, None], np.sqrt(grid**2 + 4 / 12)).logpdf(target.mean())
    logs = logs + stats.halfnorm(scale=2).logpdf(grid)
    weights = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    expected = weights @ grid
    residual = (tau - expected) / np.sqrt(weights @ grid**2 - expected**2)
    assert expected.std() > 0.2
    for moved in (residual, residual * (mu - mu.mean()) / mu.std(), residual**2 - 1):
        assert abs(moved.mean()) < 4 * moved.std() / np.sqrt(len(moved))


def test_no_target_row_informs_the_population_unless_nothing_is_frozen(frame: pd.DataFrame) -> None:
    """Outcomes of the target are dealt anew to its rows: natural units, which all rows make, stay as they are."""
    of = np.flatnonzero(frame["site"] == "Bergen")
    changed = frame.copy()
    changed.loc[of, "y"] = np.sort(frame.loc[of, "y"])[::-1][np.argsort(np.argsort(frame.loc[of, "dose"]))]
    for freeze, same in (("cut", True), ("plug-in", True), (None, False)):
        prior = bp.FineTuned("site", target="Bergen", freeze=freeze)
        one, other = (flat(bp.fit(bp.Model("y ~ dose", prior), rows, seed=1, method=bp.Laplace(draws=400),
                                  progress=False).tree)["mu"] for rows in (frame, changed))
        assert np.allclose(one, other, rtol=1e-6) == same


def test_a_cut_is_between_the_population_and_the_groups_as_its_scale_is(frame: pd.DataFrame) -> None:
    def theta(scale: float) -> np.ndarray:
        prior = bp.FineTuned("site", scale=bp.Hyperprior("LogNormal", mu=np.log(scale), sigma=1e-5))
        posterior = bp.fit(bp.Model("y ~ 1", prior, bp.Normal(sd="se")), frame, seed=1, method=LAPLACE, progress=False)
        return posterior.theta.to_numpy()[0, :, :, 0]

    shrunk, apart = theta(1e-6), theta(1e6)
    np.testing.assert_allclose(shrunk, np.broadcast_to(shrunk[:, :1], shrunk.shape), rtol=1e-5)
    for site, rows in frame.groupby("site"):
        place, weight = rows.index[0], rows["se"] ** -2.0
        z = (apart[:, place].mean() - (weight * rows["y"]).sum() / weight.sum()) * np.sqrt(weight.sum() * len(apart))
        assert abs(z) < 4, site


COUNTS = pd.DataFrame({"site": np.repeat(["a", "b", "c", "d"], [12, 8, 6, 3])})
COUNTS["y"] = np.random.default_rng(4).poisson(np.exp(1 + COUNTS["site"].map({"a": 0, "b": 0.4, "c": -0.5, "d": 0.8})))


def test_stage_two_is_the_plain_program_at_one_population() -> None:
    """Also of a family that does not collapse."""
    bound = bp.Model("y ~ 1", bp.FineTuned("site", freeze="plug-in"), bp.Poisson()).bind(COUNTS)
    model = program(replace(bound, population=np.array([1.2])))
    assert [one.name for one in model.free_RVs] == ["site_scale", "site_z"]
    z = np.array([[0.3], [-1.0], [0.2], [1.5]])
    found = model.compile_logp(mode="FAST_COMPILE")({"site_scale_log__": np.log([0.7] / bound.terms[0].unit),
                                                     "site_z": z})
    rate = np.exp(1.2 + 0.7 * z[pd.factorize(COUNTS["site"])[0], 0])
    wanted = (stats.poisson(rate).logpmf(COUNTS["y"]).sum() + stats.norm.logpdf(z).sum()
              + stats.halfnorm(scale=bound.terms[0].unit).logpdf([0.7]).sum() + np.log(0.7))
    assert abs(found - wanted) < 1e-9


@pytest.mark.slow
def test_a_plug_in_of_counts_by_quadrature() -> None:
    prior = bp.FineTuned("site", freeze="plug-in", scale=fixed(0.6))
    model = bp.Model("y ~ 1", prior, bp.Poisson(), bp.Hyperprior("Normal", sigma=2))
    posterior = bp.fit(model, COUNTS, seed=1, method=bp.NUTS(draws=500, chains=2), progress=False)
    draws = flat(posterior.tree)
    assert posterior.diagnostics.population is not None and np.ptp(draws["mu"]) == 0
    mu, grid = np.linspace(-1, 3, 4001), np.linspace(-4, 4, 8001)
    first = stats.norm(0, 2).logpdf(mu) + COUNTS["y"].sum() * mu - len(COUNTS) * np.exp(mu)
    share = np.exp(first - logsumexp(first))
    exact_mean, exact_sd = share @ mu, np.sqrt(share @ mu**2 - (share @ mu) ** 2)
    population = flat(posterior.tree["population"])["mu"][:, 0]
    assert abs(draws["mu"][0, 0] - population.mean()) < 1e-12
    assert abs(population.mean() - exact_mean) < 4 * exact_sd / np.sqrt(200)
    for place, (_, rows) in enumerate(COUNTS.groupby("site")):
        eta = draws["mu"][0, 0] + grid
        logs = stats.norm(0, 0.6).logpdf(grid) + rows["y"].sum() * eta - len(rows) * np.exp(eta)
        share = np.exp(logs - logsumexp(logs))
        mean, sd = share @ grid, np.sqrt(share @ grid**2 - (share @ grid) ** 2)
        found = draws["site_effect"][:, place, 0]
        assert abs(found.mean() - mean) < 4 * sd / np.sqrt(300) and abs(found.std() / sd - 1) < 0.2


@pytest.fixture(scope="module")
def quick() -> Callable[..., bp.Posterior]:
    def fitted(data: pd.DataFrame, **options: Any) -> bp.Posterior:
        return bp.fit(bp.Model("y ~ dose", bp.FineTuned("site", **options)), data, seed=1,
                      method=bp.Laplace(draws=400), progress=False)
    return fitted


def test_predictions_at_known_groups_and_new_ones(frame: pd.DataFrame, quick: Callable[..., bp.Posterior]) -> None:
    posterior = quick(frame)
    new = pd.DataFrame({"dose": [4.0] * 4, "site": ["Cork", "Bergen", "Turku", "Turku"]})
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy()[0]
    places = [int(np.flatnonzero(frame["site"] == label)[0]) for label in ("Cork", "Bergen")]
    np.testing.assert_allclose(theta[:, :2], posterior.theta.isel(unit=places).to_numpy()[0], rtol=1e-12)
    np.testing.assert_array_equal(theta[:, 2], theta[:, 3])
    draws = flat(posterior.tree)
    # One draw of the population's groups for each draw of theirs.
    z = (theta[:, 2, 1] - draws["mu"][:, 1]) / draws["site_scale"][:, 1]
    assert stats.kstest(z, "norm").pvalue > 1e-4
    summary = posterior.theta_frame()
    assert len(summary) == 2 * len(frame) and np.isfinite(summary.select_dtypes("number")).all(axis=None)
    targeted = quick(frame, target="Cork")
    theta, mu = bp.predict(targeted, new, kind="theta").draws.to_numpy()[0], flat(targeted.tree)["mu"]
    for place in (1, 2, 3):
        np.testing.assert_allclose(theta[:, place], mu, rtol=1e-9)
    assert (np.abs(theta[:, 0] - mu) > 0).all()


@pytest.mark.parametrize("options", [{}, {"freeze": "plug-in", "on": "dose"}, {"target": ["Cork", "Delft"]}])
def test_saved_and_read_again(frame: pd.DataFrame, quick: Callable[..., bp.Posterior], tmp_path: Path,
                              options: dict[str, Any]) -> None:
    posterior = quick(frame, **options)
    posterior.save(tmp_path / "tuned.nc")
    again = bp.load(tmp_path / "tuned.nc")
    assert again.model == posterior.model and str(again.diagnostics) == str(posterior.diagnostics)
    np.testing.assert_array_equal(again.theta.to_numpy(), posterior.theta.to_numpy())
    np.testing.assert_array_equal(flat(again.tree["population"])["sigma"], flat(posterior.tree["population"])["sigma"])


def test_a_report_says_why_nothing_is_left_out(frame: pd.DataFrame, quick: Callable[..., bp.Posterior],
                                              tmp_path: Path) -> None:
    text = bp.report(quick(frame), tmp_path / "tuned.html", seed=1).read_text()
    assert "The population is frozen" in text and "population: Pareto k" in text and "Pareto k of every row" not in text


def test_what_is_simulated_does_not_depend_on_how_it_will_be_estimated(frame: pd.DataFrame) -> None:
    made = [bp.simulate(bp.Model("y ~ dose", bp.FineTuned("site", freeze=freeze)), frame, seed=3)
            for freeze in ("cut", "plug-in", None)]
    for other in made[1:]:
        pd.testing.assert_frame_equal(other.theta, made[0].theta)
        pd.testing.assert_series_equal(other.outcome, made[0].outcome)


def test_the_statement_says_what_is_frozen_and_from_which_rows() -> None:
    def last(**options: Any) -> str:
        return bp.FineTuned("site", **options).story()[-1]

    assert "all rows" in last() and "draws stand" in last() and "its mean stands" in last(freeze="plug-in")
    assert "rows of other site" in last(target="Cork") and "frozen" not in last(freeze=None)
    model = bp.Model("y ~ dose", bp.FineTuned("site", on="dose", target="Cork"))
    assert "theta_i = mu + site_tuned_effect(site_i)[dose] where site_i is 'Cork'" in repr(model)


def test_complaints_of_both_stages_are_told(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_stage, "PROPOSALS", 256)
    monkeypatch.setattr(second_stage, "AGAIN", 1)
    prior = bp.FineTuned("site")
    with pytest.warns(ConvergenceWarning, match="stage two of the cut Pareto k .* freeze='plug-in'"):
        posterior = bp.fit(bp.Model("y ~ dose", prior), frame, seed=1, method=bp.NUTS(draws=20, tune=30, chains=1),
                           progress=False)
    assert "population: one chain has no R-hat; run 4" in posterior.complaints
    assert any("the importance weights leave" in each and "; take freeze='plug-in'" in each
               for each in posterior.complaints)


@pytest.mark.parametrize("seed", [0, 1])
def test_few_groups_are_healthy_at_the_defaults(seed: int) -> None:
    """Eight groups of fifteen rows, at whose farthest populations the proposals of hyperparameters are poor."""
    rng, groups = np.random.default_rng(seed), np.repeat(np.arange(8), 15)
    x, effect = rng.normal(size=120), rng.normal(size=8)
    rows = pd.DataFrame({"x": x, "g": np.array(list("abcdefgh"))[groups],
                         "y": 1 + 2 * x + effect[groups] + 0.5 * rng.normal(size=120)})
    posterior = bp.fit(bp.Model("y ~ x", bp.FineTuned("g", on="Intercept")), rows, seed=seed, progress=False)
    assert not posterior.complaints, posterior.complaints


def test_what_is_refused(frame: pd.DataFrame, quick: Callable[..., bp.Posterior], tmp_path: Path) -> None:
    def bind(prior: Any, **options: Any) -> BoundModel:
        return bp.Model("y ~ dose", prior, **options).bind(frame)

    with pytest.raises(SpecificationError, match=r"freeze='half' must be 'cut', 'plug-in' or None"):
        bp.FineTuned("site", freeze="half")  # type: ignore[arg-type]
    with pytest.raises(SpecificationError, match="names no group"):
        bp.FineTuned("site", target=[])
    with pytest.raises(SpecificationError, match="can be negative"):
        bp.FineTuned("site", scale=bp.Hyperprior("Normal", sigma=1))
    with pytest.raises(InputError, match="no row has the target's label 'Corck' in column 'site'. Did you mean 'Cork'"):
        bind(bp.FineTuned("site", target=["Delft", "Corck"]))
    with pytest.raises(InputError, match="every group of 'site' is a target"):
        bind(bp.FineTuned("site", target=sorted(set(frame["site"]))))
    with pytest.raises(SpecificationError, match="only where nothing else varies. Take .* freeze=None"):
        bind(bp.FineTuned("site") + bp.GaussianProcess("age"))
    assert bind(bp.FineTuned("site", freeze=None) + bp.GaussianProcess("age")).second_stage is None
    with pytest.raises(SpecificationError, match="by NUTS.. or Laplace..; got ADVI"):
        bp.fit(bp.Model("y ~ dose", bp.FineTuned("site")), frame, method=bp.ADVI())
    frame.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(SpecificationError, match="two stages take rows in memory. .* freeze=None"):
        bp.Model("y ~ dose", bp.FineTuned("site")).bind(tmp_path / "rows.parquet")
    posterior = quick(frame)
    for ask in (bp.loo, bp.log_likelihood, lambda one: bp.compare([one, one.model.prior])):
        with pytest.raises((SpecificationError, NotFittedError)):
            ask(posterior)
    with pytest.raises(SpecificationError, match="loo reweights draws of a joint posterior; under FineTuned.'site'."):
        bp.loo(posterior, kind="group", by="site")
    with pytest.raises(SpecificationError, match="would inform the population that FineTuned.'site'. freezes"):
        bp.predict(posterior, given=frame.assign(site="Turku"))
