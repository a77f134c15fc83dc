"""Leave-one-out of families that are not Normal, theta_i integrated out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from test_linearised import FAMILIES, PRIORS, frame

import bayes_personal as bp
from bayes_personal.densities.linearised import left_out
from bayes_personal.densities.linearised.left_out import LeftOutRows
from bayes_personal.errors import SpecificationError
from bayes_personal.kernels import likelihoods
from bayes_personal.leaving_out.question import LeaveOutPlan
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.samplers.redrawn import all_draws


def fitted(family: str, prior: str, **arguments: Any) -> Posterior:
    model = bp.Model(f"{family} ~ x", PRIORS[prior], FAMILIES[family])
    return bp.fit(model, frame(**arguments), seed=1, method=bp.Laplace(draws=400), progress=False)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prior", ["intercepts", "own scales"])
def test_a_row_given_its_group(family: str, prior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The integral over the group's weights with the row, divided by that without."""
    monkeypatch.setattr(left_out, "ORDERS", {1: 41, 2: 41})
    posterior = fitted(family, prior)
    bound = posterior.bound
    values = {name: value[:3] for name, value in all_draws(bound, posterior.tree).items()}
    rows = LeftOutRows.of(bound, values, 3)
    ((_, densities),), groups, gaussian = rows.parts(), rows.density.groups, rows.density.gaussian
    assert groups is not None
    scaling, _ = gaussian.draws(values, 3)
    eta = groups.eta(gaussian.arrangement.natural_weights(values, 3))
    for draw in range(3):
        own, scales = rows.own[draw], groups.scales(scaling, draw)
        with_all = groups.log_integrals(own, scales, eta[draw], 41).sum()
        for row in (0, 11, 59):
            without = replace(groups, n=groups.n.copy(), y=groups.y.copy(), precision=groups.precision.copy())
            at = groups.tiles.slots[0][row], groups.tiles.slots[1][row]
            without.n[at], without.y[at], without.precision[:, :, *at] = 0.0, 0.0, 0.0
            constant = groups.rows.constants[row] + family_rest(rows, draw, row)
            wanted = with_all - without.log_integrals(own, scales, eta[draw], 41).sum() + constant
            assert densities.left_out[draw, row] == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("family", ["Bernoulli", "NegativeBinomial"])
@pytest.mark.parametrize("prior", ["slopes", "own scales", "crossed", "smooth"])
def test_some_rows_are_left_out_as_all_are(family: str, prior: str) -> None:
    posterior = fitted(family, prior)
    values = {name: value[:5] for name, value in all_draws(posterior.bound, posterior.tree).items()}
    rows = LeftOutRows.of(posterior.bound, values, 5)
    ((_, of_all),) = rows.parts()
    for places in (np.array([59, 0, 11]), np.array([7])):
        np.testing.assert_allclose(rows.few(places), of_all.left_out[:, places], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prior", ["slopes", "own scales", "smooth"])
def test_rows_are_left_out_a_part_at_a_time(prior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Groups are beside others in a part, and so their nodes lie elsewhere, and whether fewer nodes are enough is tried
    # at other draws: many nodes do not depend on it.
    monkeypatch.setattr(left_out, "ORDERS", {2: 25})
    monkeypatch.setattr(left_out, "FEWER_NODES", ())
    posterior = fitted("NegativeBinomial", prior)
    values = {name: value[:40] for name, value in all_draws(posterior.bound, posterior.tree).items()}
    rows = LeftOutRows.of(posterior.bound, values, 40)
    ((places, of_all),) = rows.parts()
    monkeypatch.setattr(left_out, "NUMBERS", 40 * 17)
    parts = list(rows.parts())
    assert len(parts) > 2
    assert np.array_equal(np.sort(np.concatenate([some for some, _ in parts])), places)
    for some, densities in parts:
        for side, whole in zip(densities, of_all, strict=True):
            np.testing.assert_allclose(side, whole[..., some], rtol=1e-6, atol=1e-6)


def family_rest(rows: LeftOutRows, draw: int, row: int) -> float:
    y = rows.density.rows.outcomes[0][[row]]
    return float(likelihoods.rests(rows.density.rows.code, rows.own[draw], y)[0])


@pytest.mark.parametrize(("family", "prior"), [("Bernoulli", "smooth"), ("Poisson", "smooth"), ("StudentT", "smooth"),
                                               ("NegativeBinomial", "slopes"), ("Binomial", "crossed")])
def test_rows_are_predicted_as_by_refits(family: str, prior: str) -> None:
    posterior = fitted(family, prior, seed=5, rows=120, even=True)
    result = bp.loo(posterior, refit=False, progress=False)
    good = np.flatnonzero(result.pareto_k.to_numpy() < 0.5)
    chosen = good[np.argsort(result.elpd_i.to_numpy()[good])[[0, 1, len(good) // 2]]]
    plan = LeaveOutPlan.of(posterior, "unit", None, True)
    refits = plan.refits(True, np.random.default_rng(2))
    trusted = {row: refit for row in chosen if not (refit := refits.without(np.array([row]))).complaints}
    assert len(trusted) > 1
    for row, refit in trusted.items():
        assert abs(result.elpd_i.to_numpy()[row] - refit.elpd) < 0.1 + 4 * refit.se


def test_a_second_equal_outcome() -> None:
    """It is likelier given the first one: the effective number of parameters is positive."""
    result = bp.loo(fitted("Poisson", "slopes"), refit=False, progress=False)
    assert result.p > 1.0


def test_the_plan_approximates_where_it_can() -> None:
    posterior = fitted("Bernoulli", "smooth")
    assert LeaveOutPlan.of(posterior, "unit", None, True).approximated is not None
    assert LeaveOutPlan.of(posterior, "conditional", None, True).approximated is None


def test_groups_are_left_out_of_a_population_as_integrals_say() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.binomial(1, 0.3, 60), "g": np.arange(60) % 4})
    model = bp.Model("y ~ 1", bp.Population(), bp.Bernoulli(), bp.Hyperprior("Normal", mu=0, sigma=1))
    posterior = bp.fit(model, data, seed=1, progress=False)
    found = bp.loo(posterior, kind="group", by="g", progress=False)

    def log_evidence(y: np.ndarray) -> float:
        return float(np.log(quad(lambda mu: np.exp((y * mu - np.logaddexp(0, mu)).sum()) * norm.pdf(mu), -6, 6)[0]))

    y, g = data["y"].to_numpy(), data["g"].to_numpy()
    for group in range(4):
        wanted = log_evidence(y) - log_evidence(y[g != group])
        assert abs(float(found.elpd_i[group]) - wanted) < 4 * found.refits["se"][group] < 0.1
    with pytest.raises(SpecificationError, match=r"refit=bp.NUTS\(\)"):
        bp.loo(posterior, kind="group", by="g", refit=False, progress=False)


def test_rows_of_a_population_are_refitted() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": np.append(rng.normal(size=40), 4.0), "y": np.append(rng.poisson(3, 40), 80)})
    posterior = bp.fit(bp.Model("y ~ x", bp.Population(), bp.Poisson()), data, seed=1, progress=False)
    found = bp.loo(posterior, progress=False)
    assert list(found.refits.index) == [40] and not found.complaints and not found.warning
