"""The effective number of parameters: theta_i integrated out of both densities, whatever the prior and family."""


import numpy as np
import pandas as pd
import pytest
from leave_one_out import on_a_grid, prior_of_eta
from scipy.special import logsumexp

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.marginal import given_weights
from bayes_personal.priors.parts.base import Prior


def regression(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    return frame.assign(y=1 + frame["a"] - frame["b"] + rng.normal(size=rows))


def test_it_is_about_the_coefficients_and_the_error_of_a_regression() -> None:
    """Its expectation over errors is 6 but for terms in 1 / N; one set has a standard deviation of about 0.5."""
    found = []
    for seed in range(4):
        posterior = bp.fit(bp.Model("y ~ a + b + c + d"), regression(400, np.random.default_rng(seed)), seed=1,
                           method=bp.Laplace(), progress=False)
        assert not posterior.complaints
        found.append(bp.loo(posterior, progress=False).p)
    assert abs(np.mean(found) - 6) < 4 * 0.5 / 2 and np.std(found) < 1.2, found


@pytest.mark.parametrize("kind", ["unit", "group"])
@pytest.mark.parametrize("prior", [bp.Population(), bp.Conditional("site")], ids=repr)
def test_known_errors_have_a_closed_form(prior: Prior, kind: str, frame: pd.DataFrame) -> None:
    """Without hyperparameters log p(y_g | y) and log p(y_g | y_-g) are those of one joint normal each."""
    posterior = bp.fit(bp.Model("y ~ dose", prior, bp.Normal(sd="se")), frame, seed=1, progress=False,
                       method=bp.NUTS(draws=50, chains=2))
    bound = posterior.bound
    centre = bound.coefficients.predictors(bound.x, bound.everywhere) @ bound.coefficients.location
    covariance, error = prior_of_eta(bound, bound.terms[0] if bound.terms else None, {}), np.diag(bound.constants**2)
    sets = [np.array([row]) for row in range(len(frame))] if kind == "unit" else [
        np.flatnonzero(frame["sex"] == label) for label in frame["sex"].unique()]
    wanted = 0.0
    for rows in sets:
        for sign, kept in ((1, np.arange(len(frame))), (-1, np.setdiff1d(np.arange(len(frame)), rows))):
            gain = np.linalg.solve((covariance + error)[np.ix_(kept, kept)], covariance[np.ix_(kept, rows)]).T
            spread = (covariance + error)[np.ix_(rows, rows)] - gain @ covariance[np.ix_(kept, rows)]
            away = bound.y[rows] - centre[rows] - gain @ (bound.y - centre)[kept]
            wanted += sign * -0.5 * (away @ np.linalg.solve(spread, away) + np.linalg.slogdet(spread)[1])
    found = bp.loo(posterior, kind=kind, by="sex" if kind == "group" else None, progress=False)
    assert found.p == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("prior", [bp.PartialPooling("site"), bp.DistanceRegularized("age")], ids=repr)
def test_the_closed_form_is_the_average_over_the_weights(prior: Prior, frame: pd.DataFrame) -> None:
    """Of one draw of the hyperparameters, many times over, with weights that are drawn given it."""
    bound = bp.Model("y ~ dose", prior).bind(frame)
    density, rng = marginal_density(bound), np.random.default_rng(3)
    values = {each.name: np.repeat(each.draw(rng)[None], 4000, axis=0) for each in bound.parameters}
    drawn = values | density.draw_rest(values, 4000, rng)
    drawn |= bound.derived(drawn, np)
    (batch,) = bound.rows.batches()
    first = {name: value[:1] for name, value in values.items()}
    exact = np.exp(density.left_out_and_in(first, 1)(batch).left_in[0])
    each = np.exp(given_weights(bound, drawn, 4000, batch))
    assert (np.abs(each.mean(axis=0) - exact) < 4.5 * each.std(axis=0) / np.sqrt(4000)).all()


@pytest.mark.parametrize(("kind", "by"), [("unit", None), ("group", "g")])
def test_counts_with_groups_against_exact_sums(kind: str, by: str | None) -> None:
    frame = pd.DataFrame({"y": [0, 1, 0, 3, 2, 5, 1, 1, 0, 9, 6, 4], "g": np.repeat(list("abcd"), 3)})
    posterior, grid = on_a_grid(bp.Poisson(), frame, draws=2000)
    sets = [np.array([row]) for row in range(12)] if kind == "unit" else np.arange(12).reshape(4, 3)
    wanted = sum(logsumexp(type(grid)(twice(grid.bound, rows)).posterior) - logsumexp(grid.posterior)
                 - grid.left_out(rows) for rows in sets)
    found = bp.loo(posterior, kind=kind, by=by, progress=False)
    assert found.p == pytest.approx(wanted, abs=0.15) and wanted > 2.5


def twice(bound: BoundModel, rows: np.ndarray) -> BoundModel:
    """The model with some of the rows once more."""
    return bound.with_rows(np.append(np.arange(len(bound.y)), rows))
