"""What diagnostics find in trees whose faults are known, and where they say that it is."""

import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_personal as bp
from bayes_personal.posterior.diagnostics import UNCALIBRATED, Diagnostics, Variational

CHAINS, DRAWS = 4, 1000


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def posterior(chains: int = CHAINS) -> xr.Dataset:
    """Independent draws of a scalar, an array with labels, and a correlation matrix."""
    rng = np.random.default_rng(3)
    correlation = np.ones((chains, DRAWS, 2, 2))
    correlation[..., 0, 1] = correlation[..., 1, 0] = rng.uniform(-1, 1, (chains, DRAWS))
    names = ["Intercept", "days"]
    return xr.Dataset(
        {"sigma": (("chain", "draw"), rng.gamma(9, size=(chains, DRAWS))),
         "subject_scale": (("chain", "draw", "coefficient"), rng.normal(size=(chains, DRAWS, 2))),
         "subject_correlation": (("chain", "draw", "coefficient", "other"), correlation)},
        coords={"chain": np.arange(chains), "draw": np.arange(DRAWS), "coefficient": names, "other": names})


def diagnose(draws: xr.Dataset, **statistics: np.ndarray) -> Diagnostics:
    groups = {"posterior": draws}
    if statistics:
        groups["sample_stats"] = xr.Dataset({name: (("chain", "draw"), each) for name, each in statistics.items()},
                                            coords={"chain": draws["chain"], "draw": draws["draw"]})
    return Diagnostics.of(xr.DataTree.from_dict(groups))


def test_independent_draws_have_no_complaint() -> None:
    """Constant entries of the correlation matrix count for nothing, and raise no warning."""
    found = diagnose(posterior())
    assert found.complaints == () and (found.chains, found.draws, found.divergences) == (CHAINS, DRAWS, 0)
    # Of independent draws bulk ESS is about their number: its relative error is near sqrt(2 / chains / draws).
    assert 3000 < found.ess_bulk.value < 5000 and 1 <= found.r_hat.value < 1.01
    assert found.e_bfmi is None and found.variational is None


def test_divergences_are_counted() -> None:
    diverging = np.zeros((CHAINS, DRAWS), bool)
    diverging[1, 5] = diverging[3, 7:9] = True
    found = diagnose(posterior(), diverging=diverging)
    assert found.divergences == 3
    assert found.complaints == ("3 divergences; raise target_accept",)


@pytest.mark.parametrize("fault", ["shifted", "stuck"])
def test_a_chain_apart_is_named(fault: str) -> None:
    draws = posterior()
    draws["subject_scale"][2, :, 1] = draws["subject_scale"][2, :, 1] + 3 if fault == "shifted" else 0.5
    found = diagnose(draws)
    assert found.r_hat.where == "subject_scale[days]" and found.r_hat.value > 1.05
    assert found.ess_bulk.where == "subject_scale[days]"
    (complaint,) = (words for words in found.complaints if words.startswith("R-hat"))
    assert "subject_scale[days]" in complaint and "1.01" in complaint


def test_labels_count_constants() -> None:
    draws = posterior()
    draws["subject_correlation"][2, :, 0, 1] = draws["subject_correlation"][2, :, 0, 1] + 3
    assert diagnose(draws).r_hat.where == "subject_correlation[Intercept, days]"


def test_values_are_those_of_arviz() -> None:
    draws = posterior()[["sigma"]]
    found = diagnose(draws)
    for worst, value in ((found.r_hat, az.rhat(draws)), (found.ess_bulk, az.ess(draws, method="bulk")),
                         (found.ess_tail, az.ess(draws, method="tail", prob=(0.05, 0.95)))):
        np.testing.assert_allclose(worst.value, float(value["sigma"]), rtol=1e-12)


def test_autocorrelated_draws_are_too_few() -> None:
    """An AR(1) chain with coefficient a has (1 - a) / (1 + a) effective draws a draw for its mean."""
    draws, a, rng = posterior(), 0.96, np.random.default_rng(8)
    chain = np.zeros((CHAINS, DRAWS))
    chain[:, 0] = rng.normal(size=CHAINS) / np.sqrt(1 - a**2)
    for t in range(1, DRAWS):
        chain[:, t] = a * chain[:, t - 1] + rng.normal(size=CHAINS)
    draws["sigma"] = ("chain", "draw"), chain
    found = diagnose(draws)
    expected = CHAINS * DRAWS * (1 - a) / (1 + a)
    assert found.ess_bulk.where == "sigma" and expected / 2 < found.ess_bulk.value < 2 * expected
    assert any(words.startswith("bulk ESS") and "at least 400" in words for words in found.complaints)


def test_chains_that_never_move_apart() -> None:
    draws = posterior()
    draws["subject_scale"][:, :, 0] = np.arange(CHAINS)[:, None]
    found = diagnose(draws)
    assert found.r_hat.value == np.inf and found.ess_bulk.value == 0
    assert found.r_hat.where == found.ess_tail.where == "subject_scale[Intercept]"


def test_draws_that_are_not_finite() -> None:
    draws = posterior()
    draws["sigma"][0, 3] = np.nan
    found = diagnose(draws)
    assert found.r_hat.value == np.inf and found.r_hat.where == "sigma"
    assert len(found.complaints) == 3


def test_energy() -> None:
    """E-BFMI is the mean squared step of the energy over its variance: 2 when independent, small for a walk."""
    rng = np.random.default_rng(2)
    energy = rng.normal(size=(CHAINS, DRAWS))
    assert diagnose(posterior(), energy=energy).e_bfmi.value > 1.5
    energy[1] = np.cumsum(rng.normal(size=DRAWS))
    found = diagnose(posterior(), energy=energy)
    assert found.e_bfmi.where == "chain 1"
    np.testing.assert_allclose(found.e_bfmi.value, np.mean(np.diff(energy[1]) ** 2) / np.var(energy[1], ddof=1),
                               rtol=1e-12)
    (complaint,) = found.complaints
    assert complaint.startswith("E-BFMI") and "chain 1" in complaint and "at least 0.3" in complaint


@pytest.mark.parametrize("name", ["noise_scale", "noise_level", "early_start", "wind_high", "wealth_component", "a_z"])
def test_no_name_keeps_a_variable_from_being_diagnosed(name: str) -> None:
    draws = posterior().assign({name: posterior()["sigma"] + 50 * xr.DataArray(np.arange(CHAINS), dims="chain")})
    assert diagnose(draws).r_hat.where == name and any(name in words for words in diagnose(draws).complaints)


# What each chain numbers or signs as it likes, and what others say again: nothing else of these models.
UNDIAGNOSED = {
    bp.Population(): set(),
    bp.PartialPooling("site"): {"partial", "z"},
    bp.PartialPooling("site", on="dose"): {"z"},
    bp.PartialPooling("site", correlated=False): {"z"},
    bp.Conditional("site"): {"z"},
    bp.LinearVarying("age"): {"z"},
    bp.GaussianProcess("age"): {"z"},
    bp.TotalVariation("age"): {"z"},
    bp.Transfer("site", target="Cork"): {"z"},
    bp.Sparse(): {"z"},
    bp.MetaLearned("site", rank=1): {"loading", "z"},
    bp.DistanceRegularized("age"): {"z"},
    bp.Mixture(2): {"component", "gate"},
    bp.Mixture(2, gate="age"): {"component", "level_gate", "slope_gate"},
    bp.Repulsive("age", archetypes=2): {"component", "level_gate", "slope_gate"},
    bp.Contextualized("age"): {"first_layer", "offset_layer", "second_layer"},
    bp.Partition("age"): {"start", "level"},
    bp.TreePartition("age", "weight"): {"low", "high", "level"},
}


@pytest.mark.parametrize("prior", UNDIAGNOSED, ids=repr)
def test_every_hyperparameter_that_means_something_is_diagnosed(prior, frame: pd.DataFrame) -> None:
    bound = bp.Model("y ~ dose", prior).bind(frame)
    expected = {f"{piece.name}_{kind}" for piece in bound.pieces for kind in UNDIAGNOSED[prior]}
    assert bound.undiagnosed(collapsed=False) == expected and expected <= set(bound.dims)
    stuck = np.arange(CHAINS)[:, None] + np.random.default_rng(1).normal(0, 0.1, (CHAINS, 50))
    for name in bound.dims:
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset({name: (("chain", "draw"), stuck)})})
        assert (Diagnostics.of(tree, bound).r_hat is None) == (name in expected), name


def test_weights_that_no_chain_moved_are_left_out(frame: pd.DataFrame) -> None:
    """A hyperparameter of one's own may end as theirs do."""
    bound = bp.Model("y ~ dose", bp.PartialPooling("site")).bind(frame)
    draws = posterior()
    for name in ("site_effect", "site_z", "treatment_effect"):
        draws[name] = draws["sigma"] + 50 * xr.DataArray(np.arange(CHAINS), dims="chain")
    draws.attrs["collapsed"] = 1
    assert Diagnostics.of(xr.DataTree.from_dict({"posterior": draws}), bound).r_hat.where == "treatment_effect"
    where = Diagnostics.of(xr.DataTree.from_dict({"posterior": draws.drop_vars("treatment_effect")}), bound).r_hat.where
    assert where not in ("site_effect", "site_weight")
    draws.attrs.clear()
    assert Diagnostics.of(xr.DataTree.from_dict({"posterior": draws}), bound).r_hat.where in (
        "site_effect", "site_weight", "treatment_effect")


def test_constants_alone() -> None:
    draws = posterior()[["subject_correlation"]].isel(other=[0], coefficient=[0])
    found = diagnose(draws)
    assert found.r_hat is found.ess_bulk is found.ess_tail is None and found.complaints == ()


def test_one_chain() -> None:
    found = diagnose(posterior(chains=1))
    assert found.r_hat is None and found.ess_bulk is not None
    assert found.complaints == ("one chain has no R-hat; run 4",)


def variational(pareto_k: float, converged: bool) -> Diagnostics:
    fit = xr.Dataset(attrs={"pareto_k": pareto_k, "converged": int(converged), "iterations": 700})
    return Diagnostics.of(xr.DataTree.from_dict({"posterior": posterior(chains=1), "variational": fit}))


def test_variational_fit() -> None:
    good, bad = variational(0.5, True), variational(0.9, False)
    assert good.variational == Variational(0.5, True, 700) and good.r_hat is None and good.ess_bulk is None
    assert good.complaints == (UNCALIBRATED,)
    assert bad.complaints[0] == good.complaints[0] and len(bad.complaints) == 3
    assert "700 iterations" in bad.complaints[1] and "0.90" in bad.complaints[2]
    assert len(variational(np.nan, True).complaints) == 2


def test_in_words() -> None:
    words = str(diagnose(posterior(), diverging=np.ones((CHAINS, DRAWS), bool)))
    assert words.startswith("4 chains of 1000 draws, 4000 divergences\nworst R-hat 1.00")
    assert "Pareto k 0.90" in str(variational(0.9, False))
