"""Outcomes that were not seen exactly: their probabilities, what is read from columns, fits, and published answers."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
from mpmath import mp, mpf
from scipy import stats

import bayes_personal as bp
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError
from bayes_personal.families.parts.base import Family
from bayes_personal.kernels import likelihoods
from bayes_personal.leaving_out.question import LeaveOutPlan

ABOVE, SEEN, BELOW = np.inf, -1.0, -2.0
KINDS: dict[str, Callable[..., Family]] = {
    "Normal": bp.Normal, "LogNormal": bp.LogNormal, "Gamma": bp.Gamma, "Weibull": bp.Weibull}
# Each family's own number, from far below to far above what is usual, in terms of its hyperparameter.
OWN = {"Normal": [0.2, 30.0], "LogNormal": [0.2, 3.0], "Gamma": [0.003, 0.18, 0.9, 7.0], "Weibull": [0.3, 8.0]}
SCIPY: dict[str, Callable[..., Any]] = {
    "Normal": lambda eta, own: stats.norm(eta, own),
    "LogNormal": lambda eta, own: stats.lognorm(own, scale=np.exp(eta)),
    "Gamma": lambda eta, own: stats.gamma(own**-2, scale=own**2 * np.exp(eta)),
    "Weibull": lambda eta, own: stats.weibull_min(own, scale=np.exp(eta))}
CASES = [(name, own) for name, numbers in OWN.items() for own in numbers]


def survival(name: str, own: mpf, y: mpf, eta: mpf) -> tuple[mpf, mpf]:
    """P(Y > y) and P(Y < y), in many digits."""
    if name == "Weibull":
        power = mp.exp(own * (mp.log(y) - eta))
        return mp.exp(-power), -mp.expm1(-power)
    if name == "Gamma":
        x = own * y * mp.exp(-eta)
        return mp.gammainc(own, x, regularized=True), mp.gammainc(own, 0, x, regularized=True)
    z = ((y if name == "Normal" else mp.log(y)) - eta) / (own * mp.sqrt(2))
    return mp.erfc(z) / 2, mp.erfc(-z) / 2


def in_many_digits(name: str, own: Any, y: float, n: float, eta: Any) -> mpf:
    """log p of what was seen, but for -log y."""
    own, at, eta = mpf(own), mpf(y), mpf(eta)
    if n in (ABOVE, BELOW):
        return mp.log(survival(name, own, at, eta)[int(n == BELOW)])
    if n > 0:
        low, high = survival(name, own, at, eta), survival(name, own, at + mpf(n), eta)
        return mp.log(low[0] - high[0] if low[0] < 0.5 else high[1] - low[1])
    r = (at if name == "Normal" else mp.log(at)) - eta
    if name == "Weibull":
        return mp.log(own) + own * r - mp.exp(own * r)
    if name == "Gamma":
        return own * mp.log(own) - mp.loggamma(own) + own * (r - mp.exp(r))
    return -mp.log(own) - (r / own) ** 2 / 2 - mp.log(2 * mp.pi) / 2


def rows(name: str, own: float, count: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes from one tail to the other, what was seen of them, and eta."""
    rng = np.random.default_rng(7)
    spread = min({"Normal": own, "LogNormal": own, "Gamma": own, "Weibull": 1 / own}[name], 8.0)
    eta, away = rng.normal(0, 2, count), 3 * spread * rng.normal(size=count)
    y = eta + away if name == "Normal" else np.exp(eta + away)
    n = np.resize([SEEN, ABOVE, BELOW, 0.5, 1e-3, 1e-7, 5.0, 0.1], count)
    unit = own if name == "Normal" else y * min(spread, 1.0)
    return y, np.where((n > 0) & (n < ABOVE), n * unit, n), eta


@pytest.mark.parametrize(("name", "own"), CASES)
def test_log_likelihoods_and_slopes_in_many_digits(name: str, own: float) -> None:
    y, n, eta = rows(name, own)
    family = KINDS[name](event="seen")
    (number,) = family.compiled_numbers({family.parameters(1.0)[0].name: own})
    code, numbers = family.compiled, np.array([number])
    value = likelihoods.log_likelihoods(code, numbers, y, n, eta[None])
    score, curvature, positive = likelihoods.slopes(code, numbers, y, n, eta[None])
    assert np.array_equal(curvature, positive) and (curvature >= 0).all()
    with mp.workdps(60):
        h = mpf(10) ** -14
        for i in range(len(y)):
            def at(move_eta: Any, move_own: Any, i: int = i) -> mpf:
                return in_many_digits(name, mpf(number) * (1 + move_own), y[i], n[i], mpf(eta[i]) + move_eta)
            below, here, above = at(-h, 0), at(0, 0), at(h, 0)
            by_own = likelihoods.own_slopes(code, numbers, y[i : i + 1], n[i : i + 1], eta[None, i : i + 1])[0] * number
            for found, wanted in ((value[i], here), (score[0, i], (above - below) / (2 * h)),
                                  (curvature[0, 0, i], -(above - 2 * here + below) / h**2),
                                  (by_own, (at(0, h) - at(0, -h)) / (2 * h))):
                assert found == pytest.approx(float(wanted), rel=1e-10, abs=1e-10), (i, n[i])


@pytest.mark.parametrize(("name", "own"), CASES)
def test_rows_that_are_taken_out_and_rows_far_out(name: str, own: float) -> None:
    y, n, eta = rows(name, own)
    family = KINDS[name](event="seen")
    numbers = np.array(family.compiled_numbers({family.parameters(1.0)[0].name: own}))
    out = np.where(np.arange(24) % 3 == 0, 0.0, n)
    assert not likelihoods.log_likelihoods(family.compiled, numbers, 0 * y, np.zeros(24), eta[None]).any()
    kept = out != 0
    np.testing.assert_allclose(likelihoods.own_slopes(family.compiled, numbers, y, out, eta[None]),
                               likelihoods.own_slopes(family.compiled, numbers, y[kept], n[kept], eta[None, kept]))
    for far in (np.linspace(650, 2000, 24), np.linspace(-2000, -650, 24)):
        height = likelihoods.log_likelihoods(family.compiled, numbers, y, n, far[None])
        slopes = likelihoods.slopes(family.compiled, numbers, y, n, far[None])
        assert np.isfinite(height).all() and all(np.isfinite(each).all() for each in slopes)
        assert np.isfinite(likelihoods.own_slopes(family.compiled, numbers, y, n, far[None])).all()


@pytest.mark.parametrize(("name", "own"), [(name, numbers[-1]) for name, numbers in OWN.items()])
def test_the_family_and_its_program_say_the_same_as_scipy(name: str, own: float) -> None:
    y, n, eta = rows(name, own, 40)
    family, its = KINDS[name](event="seen"), SCIPY[name](eta, own)
    inner = np.where((n > 0) & (n < ABOVE), n, 0.0)
    with np.errstate(divide="ignore"):
        wanted = np.select([n == SEEN, n == ABOVE, n == BELOW], [its.logpdf(y), its.logsf(y), its.logcdf(y)],
                           np.log(np.where(its.sf(y) < 0.5, its.sf(y) - its.sf(y + inner), its.cdf(y + inner)
                                           - its.cdf(y))))
    # Scipy's differences of probabilities of narrow intervals have few digits.
    exact = (inner == 0) & np.isfinite(wanted) & (wanted > -600)
    values = {family.parameters(1.0)[0].name: np.float64(own)}
    likelihood = family.likelihood(eta[:, None], values, n, np)
    found = likelihood.log_density(y)
    np.testing.assert_allclose(found[exact], wanted[exact], rtol=1e-10, atol=1e-10)
    wide = (inner > 1e-2 * own) & np.isfinite(wanted) & (wanted > -30)
    np.testing.assert_allclose(found[wide], wanted[wide], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(likelihood.mean(), its.mean(), rtol=1e-12)

    place = pytensor.tensor.dvector("eta")
    variable = family.likelihood(place[:, None], {key: pytensor.tensor.as_tensor(value) for key, value in
                                                  values.items()}, n, pytensor.tensor)
    logp = pm.logp(variable.law.of_pymc.dist(**variable.arguments), y)
    mode = pytensor.compile.Mode(linker="py", optimizer="fast_run")
    logs, slopes = pytensor.function([place], [logp, pytensor.grad(logp.sum(), place)], mode=mode)(eta)
    np.testing.assert_allclose(logs, found, rtol=1e-12)
    np.testing.assert_allclose(slopes, likelihood.score(y), rtol=1e-12)
    drawn = pm.draw(variable.law.of_pymc.dist(n=np.float64(ABOVE), eta=np.float64(1.0), **{
        key: value for key, value in variable.arguments.items() if key not in ("n", "eta")}), 4000, random_seed=1)
    assert stats.kstest(drawn, SCIPY[name](1.0, own).cdf).pvalue > 6.3e-5


def test_what_columns_say_was_seen() -> None:
    frame = pd.DataFrame({"t": [3.0, 2.0, 5.0, 4.0], "seen": [1, 0, 1, 0], "low": [3.0, 0.0, 5.0, 2.5],
                          "high": [3.0, 2.0, np.inf, 4.0], "x": 0.0})
    by_event = bp.Model("t ~ 1", family=bp.Weibull(event="seen")).bind(frame)
    assert by_event.constants.tolist() == [SEEN, ABOVE, SEEN, ABOVE] and by_event.y.tolist() == [3.0, 2.0, 5.0, 4.0]
    for kind in (bp.Weibull, bp.Gamma, bp.LogNormal):
        bound = bp.Model("t ~ 1", family=kind(lower="low", upper="high")).bind(frame)
        assert bound.constants.tolist() == [SEEN, BELOW, ABOVE, 1.5] and bound.y.tolist() == [3.0, 2.0, 5.0, 2.5]
    normal = bp.Normal(lower="low", upper="high")
    assert bp.Model("t ~ 1", family=normal).bind(frame).constants.tolist() == [SEEN, 2.0, ABOVE, 1.5]
    frame.loc[1, "low"] = -np.inf
    assert bp.Model("t ~ 1", family=normal).bind(frame).constants.tolist() == [SEEN, BELOW, ABOVE, 1.5]
    # Rows that are to be predicted were not seen, and need no such column.
    assert normal.constants(frame[["x"]]).tolist() == [SEEN] * 4


TIMES = pd.DataFrame({"t": [3.0, 2.0, 5.0, 4.0], "seen": [1, 0, 1, 0], "low": [3.0, 0.0, 5.0, 2.5],
                      "high": [3.0, 2.0, np.inf, 4.0]}, index=list("abcd"))
EVENT, BOUNDS = {"event": "seen"}, {"lower": "low", "upper": "high"}


@pytest.mark.parametrize("kind", [bp.Weibull, bp.LogNormal, bp.Gamma, bp.Normal])
@pytest.mark.parametrize(("options", "changed", "error", "words"), [
    (EVENT, {"seen": [1, 2, 0, 3]}, InputError, ["'seen'", "values 0, 1, 2, 3", "2 of 4 rows", "'b', 'd'"]),
    (EVENT, {"seen": [1, None, 0, 1]}, InputError, ["'seen' is missing in 1 of 4", "'b'"]),
    (EVENT, {"seen": ["yes"] * 4}, InputTypeError, ["'seen'", "'yes'"]),
    ({"event": "sen"}, {}, InputError, ["no column 'sen'", "mean 'seen'"]),
    (BOUNDS, {"low": [3.0, 0.0, 5.0, 4.5]}, InputError, ["'low' is above 'high' in 1 of 4", "'d'", "swapped"]),
    (BOUNDS, {"low": [3.0, None, 5.0, 2.5]}, InputError, ["'low' is missing in 1 of 4", "'b'"]),
    (BOUNDS, {"high": [3.0, 2.0, np.inf, None]}, InputError, ["'high' is missing in 1 of 4", "'d'"]),
    (BOUNDS, {"high": ["3"] * 4}, InputTypeError, ["'high'", "'3'"]),
    (BOUNDS, {"t": [3.0, 2.5, 5.0, 4.0]}, InputError,
     ["outside 'low' and 'high' in 1 of 4", "'b'", "2.5 outside 0 and"]),
    (BOUNDS, {"low": [3.0, -np.inf, 5.0, 2.5], "high": [3.0, np.inf, np.inf, 4.0]}, InputError,
     ["both infinite in 1 of 4", "'b'", "drop"])])
def test_bad_columns_are_refused_in_words(kind: Any, options: dict, changed: dict, error: type, words: list) -> None:
    with pytest.raises(error) as caught:
        bp.Model("t ~ 1", family=kind(**options)).bind(TIMES.assign(**changed))
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("kind", [bp.Weibull, bp.LogNormal, bp.Gamma])
@pytest.mark.parametrize(("options", "changed", "words"), [
    (EVENT, {"t": [3.0, 0.0, 5.0, 4.0]}, "'t' is 0 in 1 of 4 rows .'b'."),
    (EVENT, {"t": [3.0, -2.0, 5.0, 4.0]}, "'t' is negative in 1 of 4 rows .'b'., the first -2"),
    (BOUNDS, {"low": [3.0, -1.0, 5.0, 2.5]}, "'low' is negative in 1 of 4 rows .'b'."),
    (BOUNDS, {"low": [3.0, 0.0, 5.0, 0.0], "high": [3.0, 2.0, np.inf, np.inf]}, "'low' is 0 and 'high' infinite")])
def test_times_that_are_not_positive_are_refused(kind: Any, options: dict, changed: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        bp.Model("t ~ 1", family=kind(**options)).bind(TIMES.assign(**changed))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: bp.Weibull(event="a", lower="b", upper="c"), "event='a' and bounds both"),
    (lambda: bp.Weibull(lower="b"), "need both bounds.*numpy.inf"), (lambda: bp.Gamma(event=1), "event=1 must name"),
    (lambda: bp.Normal(sd="e", event="a"), "known error, sd='e', does not go with censored")])
def test_nonsense_is_refused_at_construction(make: Callable[[], Family], words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        make()


@pytest.mark.parametrize("kind", KINDS.values())
def test_outcomes_that_are_all_censored_run_with_a_warning(kind: Any) -> None:
    with pytest.warns(InputWarning, match="right in all 4 rows.*how large outcomes are rests on the prior"):
        bp.Model("t ~ 1", family=kind(event="seen")).bind(TIMES.assign(seen=0))
    left = TIMES.assign(low=0.0 if kind is not bp.Normal else -np.inf, high=TIMES["t"])
    with pytest.warns(InputWarning, match="left in all 4 rows.*how small outcomes are rests on the prior"):
        bp.Model("t ~ 1", family=kind(lower="low", upper="high")).bind(left)


@cache
def watched(count: int = 96) -> pd.DataFrame:
    """Times of eight groups, watched for a while; and those that somebody looked at now and then."""
    rng = np.random.default_rng(4)
    group, x = np.resize(list("abcdefgh"), count), rng.normal(size=count)
    effect = dict(zip("abcdefgh", rng.normal(0, 0.5, 8), strict=True))
    end = np.exp(1 + 0.4 * x + np.array([effect[each] for each in group])) * rng.weibull(1.6, count)
    until = rng.exponential(8.0, count)
    # Of the first group all ends are seen but one.
    until[group == "a"], until[0] = np.inf, 0.5 * end[0]
    low = np.floor(end)
    return pd.DataFrame({"group": group, "x": x, "t": np.minimum(end, until), "seen": (end <= until).astype(int),
                         "low": np.where(end > 6, 6.0, low), "high": np.where(end > 6, np.inf, low + 1.0),
                         "middle": np.minimum(low + 0.5, 6.0)})


def model(name: str, how: str) -> bp.Model:
    options = EVENT if how == "event" else BOUNDS
    return bp.Model(f"{'t' if how == 'event' else 'middle'} ~ x", bp.PartialPooling("group"), KINDS[name](**options))


@cache
def fitted(name: str, how: str) -> bp.Posterior:
    return bp.fit(model(name, how), watched(), seed=1, progress=False)


@pytest.mark.parametrize(("name", "how"), [
    ("Weibull", "bounds"), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (
        ("LogNormal", "event"), ("Gamma", "event"), ("Normal", "bounds")))])
def test_fits_are_healthy_and_rows_are_predicted_as_by_refits(name: str, how: str) -> None:
    posterior = fitted(name, how)
    assert not posterior.complaints
    result = bp.loo(posterior, refit=False, progress=False)
    constants = posterior.bound.constants
    refits = LeaveOutPlan.of(posterior, "unit", None, True).refits(True, np.random.default_rng(2))
    censored = np.flatnonzero(constants == ABOVE)[0]
    # With events, another row of the group that has one censored row.
    for row in (censored, 8):
        assert result.pareto_k.to_numpy()[row] < 0.5
        refit = refits.without(np.array([row]))
        assert abs(result.elpd_i.to_numpy()[row] - refit.elpd) < 0.05 + 4 * refit.se
    # That an end comes later than something is a probability.
    assert result.elpd_i.to_numpy()[censored] < 0


def test_methods_agree() -> None:
    posterior = fitted("Weibull", "bounds")
    other = bp.fit(model("Weibull", "bounds"), watched(), seed=2, progress=False,
                   method=bp.NUTS(draws=600, tune=300, chains=2))
    assert not other.complaints
    for name in ("mu", "shape"):
        draws = [each.tree["posterior"][name] for each in (posterior, other)]
        means, spread = [each.mean(("chain", "draw")).values for each in draws], draws[0].std(("chain", "draw")).values
        # Both have several hundred independent draws.
        assert (np.abs(means[0] - means[1]) < 4 * spread * np.sqrt(2 / 200)).all()


@pytest.mark.slow
def test_a_first_look_by_variational_inference() -> None:
    posterior = fitted("Weibull", "bounds")
    quick = bp.fit(model("Weibull", "bounds"), watched(), seed=2, progress=False, method=bp.ADVI())
    gap = quick.tree["posterior"]["mu"].mean(("chain", "draw")) - posterior.tree["posterior"]["mu"].mean(
        ("chain", "draw"))
    assert (np.abs(gap) < posterior.tree["posterior"]["mu"].std(("chain", "draw"))).all()


def test_predictions_simulations_and_files(tmp_path: Path) -> None:
    posterior = fitted("Weibull", "bounds")
    new = watched()[["group", "x"]].head(3)
    drawn = bp.predict(posterior, new, kind="outcome", seed=1).draws.to_numpy()
    values, theta = posterior.tree["posterior"], bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy()
    eta = theta[..., 0] + theta[..., 1] * new["x"].to_numpy()
    # Where their parameters are those of the same draw, times are uniform on the scale of their distribution.
    uniform = stats.weibull_min(values["shape"].to_numpy()[..., None], scale=np.exp(eta)).cdf(drawn)
    assert stats.kstest(uniform[..., 0].ravel(), "uniform").pvalue > 6.3e-5
    posterior.save(tmp_path / "times.nc")
    loaded = bp.load(tmp_path / "times.nc")
    assert loaded.model == posterior.model and np.array_equal(loaded.bound.constants, posterior.bound.constants)
    again = bp.predict(loaded, new, kind="outcome", seed=1).draws.to_numpy()
    np.testing.assert_array_equal(again, drawn)
    made = bp.simulate(posterior.model, watched(), seed=3).frame
    assert (made["low"] == made["middle"]).all() and (made["high"] == made["middle"]).all()
    assert (posterior.model.bind(made).constants == SEEN).all()
    made = bp.simulate(model("Gamma", "event"), watched(), seed=3).frame
    assert (made["seen"] == 1).all()


# Weeks that mice lived in four groups, of those seen to die and, negative, of those censored then: Grieve (1987) in
# Dellaportas and Smith (1993), doi:10.2307/2986189.
MICE = [[12, 1, 21, 25, 11, 26, 27, 30, 13, 12, 21, 20, 23, 25, 23, 29, 35, -40, 31, 36],
        [32, 27, 23, 12, 18, -40, -40, 38, 29, 30, -40, 32, -40, -40, -40, -40, 25, 30, 37, 27],
        [22, 26, -10, 28, 19, 15, 12, 35, 35, 10, 22, 18, -24, 12, -40, -40, 31, 24, 37, 29],
        [27, 18, 22, 13, 18, 29, 28, -20, 16, 22, 26, 19, -29, -10, 17, 28, 26, 12, 17, 26]]
# The answers of MultiBUGS, posterior mean and standard deviation, from its page of the example "Mice: Weibull
# regression": the shape, and log hazard ratios to the first group.
PUBLISHED = {"r": (2.98, 0.3134), "vehicle": (-1.15, 0.3713), "test": (-0.3499, 0.3436), "positive": (0.3255, 0.3439)}


def test_the_published_answers_for_mice() -> None:
    groups = ("irradiated", "vehicle", "test", "positive")
    frame = pd.DataFrame([(group, abs(week), int(week > 0)) for group, weeks in zip(groups, MICE, strict=True)
                          for week in weeks], columns=["group", "weeks", "died"])
    # BUGS has log hazards beta = -r theta, flat, and r, flat: a flat theta has r^-4 times that density.
    family = bp.Weibull(shape=bp.Hyperprior("Gamma", alpha=5.0, beta=0.001), event="died")
    wide = bp.Hyperprior("Normal", mu=0.0, sigma=30.0)
    posterior = bp.fit(bp.Model("weeks ~ 1", bp.Conditional("group", mean=wide), family), frame, seed=1, progress=False)
    assert not posterior.complaints
    theta = posterior.theta.sel(coefficient="Intercept")
    shape = posterior.tree["posterior"]["shape"]
    by_group = {group: theta.isel(unit=20 * place) for place, group in enumerate(groups)}
    found = {"r": shape} | {group: -shape * (by_group[group] - by_group["irradiated"]) for group in groups[1:]}
    for name, (mean, sd) in PUBLISHED.items():
        assert abs(float(found[name].mean()) - mean) < 0.5 * sd, (name, float(found[name].mean()))
        assert 0.75 < float(found[name].std()) / sd < 1.33, name
