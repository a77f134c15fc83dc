"""Partition: hyperparameters, step functions, prediction between and beyond contexts, leave-one-out, refusals."""

from itertools import product

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from calibration import assert_healthy
from partitions import Enumerated, normal_segment
from scipy import integrate, stats
from scipy.special import expit

import bayes_personal as bp
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.errors import InputWarning, NotFittedError, SpecificationError
from bayes_personal.hyperpriors.conjugate import BetaConjugate, Conjugate, GammaConjugate, NormalConjugate
from bayes_personal.leaving_out.refit import MarginalRefits
from bayes_personal.priors.divisions import sums
from bayes_personal.samplers.draws import tree

GAMMA = bp.Hyperprior("Gamma", alpha=1.0, beta=1.0)
WIDE = bp.Hyperprior("HalfNormal", sigma=2.0, relative=True)


def steps(seed: int, contexts: int = 12, rows: int = 2, slope: bool = True) -> pd.DataFrame:
    """An intercept that jumps by 2 after 40 % of the contexts, a slope that does not; contexts at unequal gaps."""
    rng, place = np.random.default_rng(seed), np.repeat(np.arange(contexts), rows)
    t, x = np.cumsum(rng.gamma(2, 1, contexts))[place], rng.normal(2, 1, len(place))
    y = np.where(place < 0.4 * contexts, 0.0, 2.0) + 0.8 * x * slope + 0.5 * rng.normal(size=len(place))
    return pd.DataFrame({"t": t, "x": x, "y": y})


def at_one_point(model: bp.Model, frame: pd.DataFrame, draws: int, **fixed: float) -> bp.Posterior:
    """Draws of change points and levels at one value of the hyperparameters: 0 on the sampler's scale, or as given."""
    bound = model.bind(frame)
    density = DivisionDensity(bound)
    values = density.values(np.zeros((draws, density.size)))
    values |= {name: np.full_like(values[name], value) for name, value in fixed.items()}
    values |= density.draw_rest(values, draws, np.random.default_rng(1))
    return bp.Posterior(model, bound, tree(bound, values, 2))


@pytest.mark.parametrize(("family", "outcome"), [(bp.Poisson("e"), [3, 0, 7, 5]), (bp.Binomial("n"), [1, 2, 6, 0]),
                                                 (bp.Bernoulli(), [0, 1, 1, 1])])
def test_counts_are_summed_over_all_partitions(family: bp.families.Family, outcome: list[int]) -> None:
    """Against quadrature over theta of every segment of every partition of three contexts."""
    frame = pd.DataFrame({"y": outcome, "t": [0.0, 1.0, 1.0, 4.0], "e": [1.0, 2.0, 0.5, 3.0], "n": [4, 5, 9, 3]})
    bound = bp.Model("y ~ 1", bp.Partition("t"), family).bind(frame)
    density = DivisionDensity(bound)
    scale, expected, mu = 0.7, 1.3, 0.4
    point = density.points({"mu": np.array([mu]), "changes_t_scale": np.array([scale]),
                            "changes_t_expected": np.array(expected)})
    prior = density.log_prior(point, density.values(point))
    if isinstance(family, bp.Poisson):
        def law(d: float) -> float:
            return stats.gamma.pdf(np.exp(d), scale**-2, scale=scale**2) * np.exp(d)

        def one(i: int, theta: float) -> float:
            return stats.poisson.pmf(outcome[i], frame["e"][i] * np.exp(theta))
    else:
        shapes = (1 + np.exp(mu)) / scale**2, (1 + np.exp(-mu)) / scale**2
        trials = frame["n"] if isinstance(family, bp.Binomial) else np.ones(4)

        def law(d: float) -> float:
            return stats.beta.pdf(expit(mu + d), *shapes) * expit(mu + d) * expit(-mu - d)

        def one(i: int, theta: float) -> float:
            return stats.binom.pmf(outcome[i], trials[i], expit(theta))

    def segment(rows: list[int]) -> float:
        return integrate.quad(lambda d: law(d) * np.prod([one(i, mu + d) for i in rows]), -15, 15, limit=200,
                              epsabs=0, epsrel=1e-11, points=[-2, 0, 2])[0]

    stay, total = np.exp(-expected * np.array([0.25, 0.75])), 0.0
    for changes in product([False, True], repeat=2):
        place = np.cumsum([0, *changes])[[0, 1, 1, 2]]
        total += np.prod(np.where(changes, 1 - stay, stay)) * np.prod(
            [segment([i for i in range(4) if place[i] == k]) for k in range(place.max() + 1)])
    np.testing.assert_allclose(density.value(point) - prior, np.log(total), rtol=0, atol=1e-9)


@pytest.mark.parametrize("law", [NormalConjugate(), GammaConjugate(), BetaConjugate()], ids=repr)
def test_levels_have_about_the_standard_deviation_that_their_scale_says(law: Conjugate) -> None:
    drawn = law.deviations(np.array(0.5), np.array(0.1), (200_000,), np.random.default_rng(1))
    np.testing.assert_allclose(drawn.std(), 0.1, rtol=0.02)
    assert abs(drawn.mean()) < 0.02


@pytest.mark.parametrize("model", [bp.Model("y ~ x", bp.Partition("t")), bp.Model("y ~ x", bp.Partition("t", on="x")),
                                   bp.Model("y ~ x", bp.Partition("t", shortest=3))], ids=lambda m: repr(m.prior))
def test_gradient(model: bp.Model) -> None:
    density, h = DivisionDensity(model.bind(steps(1))), 1e-6
    for point in np.random.default_rng(2).normal(0, 0.7, (5, density.size)):
        value, slope = density.log_density(point)
        assert value == pytest.approx(density.value(point), abs=1e-10)
        difference = [(density.value(point + h * e) - density.value(point - h * e)) / (2 * h)
                      for e in np.eye(density.size)]
        np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-5)


def test_units_and_direction_of_the_context_do_not_matter() -> None:
    frame, model = steps(2), bp.Model("y ~ x", bp.Partition("t"))
    days = pd.Timestamp("2020-01-01") - pd.to_timedelta(1000 * frame["t"].round(3), unit="D")
    plain, other = (DivisionDensity(model.bind(frame.assign(t=each))) for each in (frame["t"].round(3), days))
    for point in np.random.default_rng(3).normal(0, 0.7, (5, plain.size)):
        assert other.value(point) == pytest.approx(plain.value(point), abs=1e-8)


def test_without_changes_all_rows_share_their_parameters() -> None:
    """The limit in which it is a population with theta ~ Normal(mu, scale)."""
    bound = bp.Model("y ~ x", bp.Partition("t")).bind(steps(3))
    density = DivisionDensity(bound)
    point = density.points({name: np.asarray(value) for name, value in {
        "mu_centered": [1.0, 0.5], "changes_t_scale": [0.6, 0.3], "changes_t_expected": 1e-30,
        "sigma": 0.7}.items()})
    x = bound.coefficients.predictors(bound.x, bound.everywhere)
    wanted = stats.multivariate_normal(x @ [1.0, 0.5], (x * [0.36, 0.09]) @ x.T + 0.49 * np.eye(len(x))).logpdf(bound.y)
    assert density.value(point) - density.log_prior(point, density.values(point)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("shortest", [1, 3])
def test_draws_are_step_functions_of_the_context(shortest: int) -> None:
    frame = steps(4).sample(frac=1, random_state=1)
    posterior = at_one_point(bp.Model("y ~ x", bp.Partition("t", on="Intercept", shortest=shortest)), frame, 400,
                             changes_t_expected=4.0)
    draws, piece = posterior.tree["posterior"].to_dataset(), posterior.bound.division
    start = draws["changes_t_start"].to_numpy().reshape(400, -1)
    assert (start[:, 0] == -np.inf).all() and (start[:, :-1] <= start[:, 1:]).all()
    changed = piece.changed(start)
    assert (changed.sum(axis=1) == draws["changes_t_number"].to_numpy().ravel()).all() and changed.sum() > 400
    theta = posterior.theta.to_numpy().reshape(400, len(frame), 2)
    ordered = theta[:, np.argsort(frame["t"].to_numpy(), kind="stable")][:, ::2]
    assert ((np.diff(ordered[..., 0], axis=1) != 0) == changed[:, 1:]).all()
    np.testing.assert_array_equal(np.ptp(theta[..., 1], axis=1), 0.0)
    if shortest > 1:
        lengths = [np.diff(np.flatnonzero(one)) for one in np.insert(changed[:, 1:], 0, True, axis=1)]
        assert min(each.min(initial=shortest) for each in lengths) >= shortest


@pytest.mark.parametrize("shortest", [1, 3])
def test_probabilities_of_changes_are_sums_over_every_partition(shortest: int) -> None:
    rng = np.random.default_rng(3)
    t = np.cumsum(rng.uniform(0.2, 2, 9))[rng.integers(0, 9, 14)]
    frame = pd.DataFrame({"t": t, "y": 3 + 2 * (t > np.median(t)) + rng.normal(0, 0.7, 14)})
    with pytest.warns(InputWarning, match="distinct values"):
        posterior = at_one_point(bp.Model("y ~ 1", bp.Partition("t", shortest=shortest)), frame, 30,
                                 changes_t_expected=2.5)
    at = {name: float(value[0, 0].squeeze()) for name, value in posterior.tree["posterior"].data_vars.items()
          if name in ("sigma", "mu", "changes_t_scale")}
    contexts, places = np.unique(t, return_inverse=True)
    hazards = -np.expm1(-2.5 * np.diff(contexts, prepend=-np.inf) / np.ptp(t))
    segment = normal_segment(np.ones((14, 1)), frame["y"].to_numpy(), np.ones(14), at["sigma"],
                             np.array([at["changes_t_scale"]]), np.array([at["mu"]]))
    truth = Enumerated(places, hazards, segment, shortest).change_probability[1:]
    found = bp.changes(posterior)
    assert truth.max() > 0.1
    np.testing.assert_allclose(found["probability"], truth, atol=1e-10)
    np.testing.assert_array_equal(found["context"], contexts[1:])
    np.testing.assert_array_equal(found["after"], contexts[:-1])


def test_prediction_between_and_beyond_contexts() -> None:
    """How often a new place shares the parameters of its neighbours, against the closed form; places agree jointly."""
    frame, rate = steps(5, contexts=6), 2.0
    posterior = at_one_point(bp.Model("y ~ x", bp.Partition("t")), frame, 20_000, changes_t_expected=rate)
    t = np.unique(frame["t"])
    a, b = t[1] + 0.3 * (t[2] - t[1]), t[1] + 0.8 * (t[2] - t[1])
    new = pd.DataFrame({"t": [t[1], a, b, t[2], t[-1], t[-1] + 1, t[0], t[0] - 1], "x": 0.0})
    with pytest.warns(InputWarning, match="2 of 8 rows have a 't' outside the training range"):
        theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy().reshape(20_000, 8, 2)[..., 0]

    def level(i: int, j: int) -> np.ndarray:
        return theta[:, i] == theta[:, j]

    changed, per = ~level(0, 3), rate / (t[-1] - t[0])
    before, after = per * (a - t[1]), per * (t[2] - a)
    whole = -np.expm1(-before - after)
    wanted = {(1, 0): np.exp(-before) * -np.expm1(-after) / whole, (1, 3): -np.expm1(-before) * np.exp(-after) / whole}
    for (i, j), share in wanted.items():
        found = level(i, j)[changed]
        assert abs(found.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(found))
    assert level(1, 0)[~changed].all() and level(2, 0)[~changed].all()
    # The two new places of one gap are on one path: the later is not back at the earlier level once that has changed.
    assert not (level(2, 0) & ~level(1, 0)).any() and (level(1, 2) & ~level(1, 0) & ~level(1, 3)).any()
    for i, j in ((4, 5), (6, 7)):
        assert abs(level(i, j).mean() - np.exp(-per)) < 4 * np.sqrt(np.exp(-per) / 20_000)
    # Where in a gap a change lies is drawn anew with another seed; what training contexts have is not.
    again = bp.predict(posterior, new.iloc[:4], kind="theta", seed=2).draws.to_numpy().reshape(20_000, 4, 2)[..., 0]
    np.testing.assert_array_equal(again[:, [0, 3]], theta[:, [0, 3]])
    assert (again[:, 1] == again[:, 0])[~changed].all() and not np.array_equal(again[:, 1], theta[:, 1])


def test_a_segment_that_may_not_be_short_has_one_change_in_a_gap() -> None:
    """Anywhere in the gap alike, so that a new place has its first level with the share of the gap that follows it."""
    frame = steps(5, contexts=6)
    posterior = at_one_point(bp.Model("y ~ x", bp.Partition("t", shortest=2)), frame, 20_000, changes_t_expected=2.0)
    t = np.unique(frame["t"])
    new = pd.DataFrame({"t": [t[1], t[1] + 0.3 * (t[2] - t[1]), t[1] + 0.8 * (t[2] - t[1]), t[2]], "x": 0.0})
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy().reshape(20_000, 4, 2)[..., 0]
    changed = theta[:, 0] != theta[:, 3]
    first, second = ((theta[:, i] == theta[:, 0])[changed] for i in (1, 2))
    assert ((theta[:, 1:3] == theta[:, [0]]) | (theta[:, 1:3] == theta[:, [3]])).all() and not (second & ~first).any()
    for found, share in ((first, 0.7), (second, 0.2)):
        assert abs(found.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(found))


@pytest.mark.parametrize("family", [bp.Normal(), bp.Poisson()])
def test_a_billion_expected_changes_ask_for_no_more_segments_than_contexts(family: bp.families.Family) -> None:
    """Where data do not speak against it a heavy tail puts any number of changes between two contexts."""
    frame = steps(5, contexts=6).assign(y=lambda rows: np.round(np.exp(rows["y"] - rows["y"].min())) % 50)
    posterior = at_one_point(bp.Model("y ~ 1", bp.Partition("t"), family), frame, 50, changes_t_expected=1e9)
    draws = posterior.tree["posterior"].to_dataset()
    assert draws["changes_t_start"].shape[-1] == 6 and (draws["changes_t_number"] == 5).all()
    t = np.unique(frame["t"])
    new = pd.DataFrame({"t": [t[0] - 1, t[2], (t[2] + t[3]) / 2, t[-1] + 1]})
    with pytest.warns(InputWarning, match="outside the training range"):
        theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy().reshape(50, 4)
    assert np.isfinite(theta).all()
    # All of them have segments of their own.
    assert not np.isin(theta[:, [0, 2, 3]], posterior.theta.to_numpy()).any()
    many = bp.Hyperprior("LogNormal", mu=np.log(1e9), sigma=1e-3)
    made = bp.simulate(bp.Model("y ~ 1", bp.Partition("t", changes=many), family), frame, seed=1)
    assert made.values["changes_t_start"].shape == (6,)


def test_simulated_changes_come_at_the_rate_that_is_expected() -> None:
    model = bp.Model("y ~ x", bp.Partition("t", changes=bp.Hyperprior("LogNormal", mu=np.log(3.0), sigma=1e-6)))
    made = [bp.simulate(model, steps(6), seed=seed) for seed in range(400)]
    t = np.unique(steps(6)["t"])
    # Several changes in one gap cannot be told from one.
    chance = -np.expm1(-3 * np.diff(t) / (t[-1] - t[0]))
    drawn = np.array([one.values["changes_t_number"] for one in made])
    assert abs(drawn.mean() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum() / 400)
    assert all(one.theta.groupby(one.frame["t"]).nunique().to_numpy().max() == 1 for one in made[:20])


def test_the_program_draws_forward() -> None:
    with bp.Model("y ~ x", bp.Partition("t")).pymc(steps(7)) as program:
        drawn = pm.draw(program["y"], 50, random_seed=1)
    assert drawn.shape == (50, 24) and np.isfinite(drawn).all() and drawn.std() > 0


def test_leave_one_out_is_the_ratio_of_evidences(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = steps(8)
    posterior = at_one_point(bp.Model("y ~ x", bp.Partition("t")), frame, 4000)
    density, values = DivisionDensity(posterior.bound), {
        name: each.to_numpy().reshape(4000, *each.shape[2:]) for name, each in
        posterior.tree["posterior"].data_vars.items()}
    (batch,) = posterior.bound.rows.batches()
    exact = density.leave_one_out({name: each[:1] for name, each in values.items()}, 1, batch)[0]
    rest = [density.without(density.contribution(batch, np.array([i]))) for i in range(24)]
    point = density.points({name: np.asarray(each[0]) for name, each in values.items()})
    np.testing.assert_allclose(exact, [density.value(point) - one.value(point) for one in rest], rtol=0, atol=1e-9)
    # From draws of the partition: 1 / p is averaged.
    monkeypatch.setattr(sums, "FEW", 0)
    ratio = np.exp(exact - density.leave_one_out(values, 4000, batch))
    error = ratio.std(axis=0, ddof=1) / np.sqrt(4000)
    assert (np.abs(ratio.mean(axis=0) - 1) < 4 * error).all()
    # A row of which draws of partitions say too little is worked out from a few draws of the hyperparameters.
    refits, row = MarginalRefits(density, np.random.default_rng(1), None, values, 2), np.array([9])
    found = refits.without(density.contribution(batch, row))
    assert found.elpd == pytest.approx(exact[9], abs=1e-8)


def test_groups_are_left_out_together() -> None:
    frame = steps(9).assign(half=lambda frame: np.where(frame.index < 12, "early", "late"))
    posterior = at_one_point(bp.Model("y ~ x", bp.Partition("t")), frame, 30)
    density = DivisionDensity(posterior.bound)
    point = np.zeros(density.size)
    (batch,) = posterior.bound.rows.batches()
    wanted = density.value(point) - density.without(density.contribution(batch, np.arange(12))).value(point)
    found = bp.loo(posterior, kind="group", by="half", refit=False, progress=False)
    assert float(found.elpd_i[0]) == pytest.approx(wanted, abs=1e-6)


@pytest.fixture(scope="module")
def nile() -> bp.Posterior:
    """The flow of the Nile under hyperpriors for which reference values are known."""
    model = bp.Model("volume ~ 1", bp.Partition("year", scale=WIDE, changes=GAMMA), bp.Normal(sigma=WIDE),
                     bp.Hyperprior("Normal", mu=0.0, sigma=2.0, relative=True))
    return bp.fit(model, bp.load_dataset("nile"), seed=1, progress=False)


def test_the_flow_of_the_nile(nile: bp.Posterior) -> None:
    """Against an importance sampler of 2617 effective draws that shares no code with this."""
    assert_healthy(nile)
    found = bp.changes(nile).set_index("context")["probability"]
    effective = min(float(az.ess(nile.tree["posterior"]["changes_year_number"])), 4000)

    def error(p: float) -> float:
        return np.sqrt(p * (1 - p) * (1 / effective + 1 / 2617))

    for year, share in {1899: 0.749, 1898: 0.128, 1897: 0.064, 1900: 0.057}.items():
        assert abs(found[year] - share) < 4 * error(share), year
    number = nile.tree["posterior"]["changes_year_number"].to_numpy().ravel()
    for count, share in {1: 0.737, 2: 0.184, 3: 0.055}.items():
        assert abs((number == count).mean() - share) < 4 * error(share), count
    theta = nile.theta_frame().set_index(nile.bound.frame["year"].to_numpy()[nile.theta_frame().index])
    for year, mean, sd in ((1890, 1093.7, 27.5), (1910, 850.5, 18.0)):
        assert abs(theta["mean"][year] - mean) < 4 * sd * np.sqrt(1 / effective + 1 / 2617)
        assert theta["sd"][year] == pytest.approx(sd, rel=0.1)
    assert nile.tree["posterior"]["sigma"].mean().item() == pytest.approx(130.0, abs=1.5)


def test_probabilities_of_changes_are_the_expectation_of_drawn_changes(nile: bp.Posterior) -> None:
    start = nile.tree["posterior"]["changes_year_start"].to_numpy()
    drawn = nile.bound.division.changed(start.reshape(-1, start.shape[-1]))[:, 1:]
    chance = bp.changes(nile)["probability"].to_numpy()
    assert ((chance > 0) & (chance < 1)).all() and 1 < chance.sum() < 3
    # Given the hyperparameters draws are independent, and vary no more than those of one probability; on this scale
    # the counts of a few draws are nearly normal.
    drawn_angle, angle = (np.arcsin(np.sqrt(each)) for each in (drawn.mean(axis=0), chance))
    assert 2 * np.sqrt(len(drawn)) * np.abs(drawn_angle - angle).max() < 4


def test_importance_sampling_agrees(nile: bp.Posterior) -> None:
    other = bp.fit(nile.model, nile.bound.frame, seed=2, method=bp.Laplace(fallback=False), progress=False)
    assert not other.complaints
    for name in ("sigma", "mu", "changes_year_number"):
        one, two = (each.tree["posterior"][name].to_numpy().ravel() for each in (nile, other))
        effective = min(float(np.min(az.ess(nile.tree["posterior"][name]))), 4000)
        error = one.std() * np.sqrt(1 / effective + 1 / other.tree["importance"].attrs["ess"])
        assert abs(one.mean() - two.mean()) < 4 * error, name


def test_a_posterior_is_kept(nile: bp.Posterior, tmp_path) -> None:
    nile.save(tmp_path / "nile.nc")
    again = bp.load(tmp_path / "nile.nc")
    pd.testing.assert_frame_equal(again.theta_frame(), nile.theta_frame())
    pd.testing.assert_frame_equal(bp.changes(again), bp.changes(nile))


@pytest.mark.parametrize("prior", [bp.Partition("t"), bp.TreePartition("t")], ids=repr)
@pytest.mark.parametrize("family", [bp.Poisson(), bp.Binomial("n"), bp.Bernoulli()], ids=repr)
def test_counts_are_fitted_left_out_saved_and_predicted(prior: bp.priors.Prior, family: bp.families.Family,
                                                        tmp_path) -> None:
    """A small slice of `slow/test_partition_counts.py`, with few events and no change."""
    frame = pd.DataFrame({"t": np.arange(12), "n": 10, "y": np.eye(12, dtype=int)[4] + np.eye(12, dtype=int)[9]})
    posterior = bp.fit(bp.Model("y ~ 1", prior, family), frame, seed=1, progress=False,
                       method=bp.NUTS(draws=300, tune=200))
    # Chains of 300 draws.
    assert_healthy(posterior, r_hat=1.02)
    assert np.isfinite(bp.loo(posterior, progress=False).elpd_i).all()
    posterior.save(tmp_path / "counts.nc")
    again, between = bp.load(tmp_path / "counts.nc"), frame.iloc[:-1].assign(t=np.arange(11) + 0.5)
    one, two = (bp.predict(each, between, seed=1).frame() for each in (posterior, again))
    pd.testing.assert_frame_equal(one, two)
    assert np.isfinite(one.to_numpy(float)).all()


@pytest.mark.parametrize("prior", [bp.Partition("t"), bp.TreePartition("t")], ids=repr)
def test_a_model_states_the_law_of_its_own_family(prior: bp.priors.Prior) -> None:
    laws = {"Normal": "~ Normal(0, ", "Poisson": "~ log Gamma(", "Bernoulli": "~ logit Beta("}
    for name, family in (("Normal", bp.Normal()), ("Poisson", bp.Poisson()), ("Bernoulli", bp.Bernoulli())):
        story = repr(bp.Model("y ~ 1", prior, family)).splitlines()
        (line,) = [line for line in story if "d[" in line and " ~ " in line]
        assert laws[name] in line and sum(law in line for law in laws.values()) == 1 and "(Poisson)" not in line


def test_what_does_not_fit_is_refused() -> None:
    frame = steps(10).assign(count=lambda frame: np.arange(len(frame)), kind=lambda frame: ["a", "b"] * 12)
    for make, words in (
            (lambda: bp.Model("y ~ x", bp.Partition("t"), bp.StudentT(sigma=bp.Varying())).bind(frame),
             "one linear predictor"),
            (lambda: bp.Model("y ~ x", bp.Partition("kind")).bind(frame), "need an order"),
            (lambda: bp.Model("y ~ x", bp.Partition("t") + bp.PartialPooling("kind")).bind(frame), "alone"),
            (lambda: bp.Partition("t", changes=bp.Hyperprior("Normal", sigma=1)), "can be negative"),
            (lambda: bp.Partition("t", shortest=0), "shortest=0"),
            (lambda: bp.fit(bp.Model("y ~ x", bp.Partition("t")), frame, method=bp.NUTS(collapse=False)),
             "always summed out"),
            (lambda: bp.fit(bp.Model("y ~ x", bp.Partition("t")), frame, method=bp.ADVI()), "summed out"),
            (lambda: bp.changes(unfit(frame)), "Partition")):
        with pytest.raises(SpecificationError, match=words):
            make()
    with pytest.raises(NotFittedError, match="changes needs the posterior"):
        bp.changes(frame)


def unfit(frame: pd.DataFrame) -> bp.Posterior:
    """A posterior of another model."""
    return bp.fit(bp.Model("y ~ x"), frame, method=bp.Laplace(draws=30), seed=1, progress=False)
