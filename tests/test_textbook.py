"""Generalised linear mixed models of the BUGS manual, at the defaults: healthy draws and the published means.

The data, in `data/bugs_*.json`, and the posterior means are those of the examples Surgical, Epil and Salm of BUGS,
volume I (Spiegelhalter, Thomas, Best and Gilks 1996). So are those of Pumps, where log rates are Normal here and rates
are Gamma there. `data/cbpp.json`, serological incidence in herds of zebu cattle, and the estimates are those of lme4
(Bates, Maechler, Bolker and Walker 2015, doi:10.18637/jss.v067.i01).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp

DATA = Path(__file__).parent / "data"
SUBJECT, VISIT = bp.PartialPooling("subject", on="Intercept"), bp.PartialPooling("visit", on="Intercept")
SEEDS = pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))])


def surgical() -> pd.DataFrame:
    found = json.loads((DATA / "bugs_surgical.json").read_text())
    return pd.DataFrame({"deaths": found["r"], "operations": found["n"], "hospital": list("ABCDEFGHIJKL")})


def epil() -> pd.DataFrame:
    found = json.loads((DATA / "bugs_epil.json").read_text())
    visits = found["T"]
    of_subject = pd.DataFrame({"subject": range(found["N"]), "treated": found["Trt"], "base": found["log_Base4"],
                               "age": found["log_Age"], "treated_base": found["BT"]})
    rows = of_subject.loc[of_subject.index.repeat(visits)].reset_index(drop=True)
    return rows.assign(y=np.ravel(found["y"]), last=np.tile(found["V4"], found["N"]),
                       visit=np.arange(len(rows)))


def salm() -> pd.DataFrame:
    """Revertant colonies on three plates at each of six doses of quinoline."""
    found = json.loads((DATA / "bugs_salm.json").read_text())
    rows = pd.DataFrame({"dose": np.repeat(found["x"], found["Nplates"]), "colonies": np.ravel(found["y"])})
    return rows.assign(plate=[f"plate {i}" for i in range(len(rows))])


def must_be_right(posterior: bp.Posterior, published: dict[str, float]) -> None:
    """Healthy, and every published mean within half a posterior standard deviation."""
    assert not posterior.complaints, posterior.complaints
    mu = posterior.tree["posterior"]["mu"]
    for name, value in published.items():
        draws = mu.sel(coefficient=name)
        assert abs(float(draws.mean()) - value) < 0.5 * float(draws.std()), name


def fitted_surgical(seed: int) -> bp.Posterior:
    model = bp.Model("deaths ~ 1", bp.PartialPooling("hospital"), bp.Binomial(trials="operations"))
    return bp.fit(model, surgical(), seed=seed, progress=False)


def test_surgical() -> None:
    posterior = fitted_surgical(1)
    must_be_right(posterior, {"Intercept": -2.558})
    assert posterior.diagnostics.importance.ess > 1000
    named = {one.name for one in (*posterior.pymc.free_RVs, *posterior.pymc.deterministics)}
    assert named == set(posterior.tree["posterior"].data_vars)


@SEEDS
def test_surgical_at_every_seed(seed: int) -> None:
    must_be_right(fitted_surgical(seed), {"Intercept": -2.558})


@SEEDS
@pytest.mark.parametrize(("prior", "published"), [
    (SUBJECT, {"base": 0.886, "treated": -0.948, "treated_base": 0.341, "age": 0.484, "last": -0.167}),
    (SUBJECT + VISIT, {"base": 0.874, "treated": -0.961, "treated_base": 0.355, "age": 0.480, "last": -0.101}),
], ids=["subjects", "subjects and visits"])
def test_epil(prior: bp.priors.Prior, published: dict[str, float], seed: int) -> None:
    model = bp.Model("y ~ base + treated + treated_base + age + last", prior, bp.Poisson())
    must_be_right(bp.fit(model, epil(), seed=seed, progress=False), published)


@SEEDS
def test_salm(seed: int) -> None:
    model = bp.Model("colonies ~ log(dose + 10) + dose", bp.PartialPooling("plate", on="Intercept"), bp.Poisson())
    posterior = bp.fit(model, salm(), seed=seed, progress=False)
    must_be_right(posterior, {"Intercept": 2.174, "log(dose + 10)": 0.313, "dose": -0.00101})


@SEEDS
def test_cbpp(seed: int) -> None:
    """The estimates of `glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), family = binomial)`."""
    data = pd.DataFrame(json.loads((DATA / "cbpp.json").read_text())).astype({"period": "category"})
    model = bp.Model("incidence ~ period", bp.PartialPooling("herd", on="Intercept"), bp.Binomial(trials="size"))
    posterior = bp.fit(model, data, seed=seed, progress=False)
    must_be_right(posterior, {"Intercept": -1.3983, "period[T.2]": -0.9919, "period[T.3]": -1.1282,
                              "period[T.4]": -1.5797})


@SEEDS
def test_pumps(seed: int) -> None:
    found = json.loads((DATA / "bugs_pump.json").read_text())
    data = pd.DataFrame({"failures": found["x"], "time": found["t"], "pump": list("ABCDEFGHIJ")})
    model = bp.Model("failures ~ 1", bp.PartialPooling("pump"), bp.Poisson(exposure="time"))
    posterior = bp.fit(model, data, seed=seed, progress=False)
    must_be_right(posterior, {})
    rates = np.exp(posterior.theta.sel(coefficient="Intercept"))
    published = [0.0598, 0.102, 0.0891, 0.116, 0.602, 0.609, 0.90, 0.90, 1.59, 1.99]
    z = (rates.mean(("chain", "draw")) - published) / rates.std(("chain", "draw"))
    assert np.abs(z).max() < 0.5, z


@SEEDS
@pytest.mark.parametrize("size", [3, 30, 1000])
def test_counts_of_any_size(size: int, seed: int) -> None:
    truth = np.random.default_rng(5).normal(0, 0.7, 14)
    frame = pd.DataFrame({"g": np.repeat(range(14), 3)})
    frame["count"] = np.random.default_rng(6).poisson(size * np.exp(truth[frame["g"]]))
    model = bp.Model("count ~ 1", bp.PartialPooling("g"), bp.Poisson())
    must_be_right(bp.fit(model, frame, seed=seed, progress=False), {})


@SEEDS
@pytest.mark.parametrize("trials", [20, 1000, 10_000])
def test_trials_of_any_number(trials: int, seed: int) -> None:
    truth = np.random.default_rng(5).normal(0, 0.7, 14)
    frame = pd.DataFrame({"g": range(14), "trials": trials})
    frame["successes"] = np.random.default_rng(6).binomial(trials, 1 / (1 + np.exp(-truth)))
    model = bp.Model("successes ~ 1", bp.PartialPooling("g"), bp.Binomial("trials"))
    must_be_right(bp.fit(model, frame, seed=seed, progress=False), {})


@SEEDS
@pytest.mark.parametrize("size", [3, 30, 300])
def test_crossed_intercepts_of_counts(size: int, seed: int) -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(0, 0.5, 20), rng.normal(0, 0.4, 8)
    frame = pd.DataFrame([(i, j) for i in range(20) for j in range(8)], columns=["a", "b"])
    frame["count"] = rng.poisson(size * np.exp(a[frame["a"]] + b[frame["b"]]))
    model = bp.Model("count ~ 1", bp.PartialPooling("a") + bp.PartialPooling("b"), bp.Poisson())
    must_be_right(bp.fit(model, frame, seed=seed, progress=False), {})
