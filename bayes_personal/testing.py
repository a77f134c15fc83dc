"""Checks that a prior or a family of your own keeps the laws that all models keep.

Enters: laws that hold for every model, whatever its prior, family and method.
"""

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.columns import table
from bayes_personal.densities.integrated import integrated
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.errors import InputTypeError, InputWarning, SpecificationError
from bayes_personal.families import Normal
from bayes_personal.families.parts.base import Family
from bayes_personal.leaving_out.elpd import loo
from bayes_personal.model.model import Model
from bayes_personal.model.program import program
from bayes_personal.model.specification import decode, encode
from bayes_personal.pages.report import report
from bayes_personal.posterior.fitting import fit, load
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors.parts.base import Prior
from bayes_personal.priors.population import Population
from bayes_personal.questions.prediction import predict
from bayes_personal.questions.simulation import simulate
from bayes_personal.samplers.nuts import NUTS

# Distances from the middle, in the sampler's units, at which densities are evaluated.
REACHES = (1.0, 10.0, 30.0, 100.0, 800.0)
# Few draws: enough for leaving out, and too few for conclusions.
QUICK = NUTS(draws=60, tune=150, chains=2)


def check_prior(prior: Prior, frame: Any, *, formula: str = "y ~ x", family: Family | None = None,
                method: Any = QUICK, seed: int = 1) -> None:
    """Check that a prior keeps the laws of all priors.

    A data set is simulated from the model, and then: the prior is read back from a file as it was written; a row has
    the same features at any position and in any selection of rows; order and labels of rows change nothing; the
    generative program has a finite density and gradient and no potentials; the density of the hyperparameters, where
    all else integrates out, never raises, agrees with its own value and gradient and with the program; and from a fit
    rows can be predicted and left out, and it can be saved, loaded and reported.

    Parameters
    ----------
    prior
        The prior to check.
    frame
        Pandas, polars or Arrow frame with the predictors and the prior's columns, 20 rows or more; the outcome is
        simulated.
    formula
        Names an outcome that is simulated, and predictors of the frame.
    family
        By default `Normal()`.
    method
        How to sample; by default NUTS with few draws.
    seed
        Seed of all random numbers.

    Raises
    ------
    AssertionError
        A law that is broken, in words.
    InputTypeError
        An argument that is no prior.
    BayesPersonalError
        Any error of a model: a column that is missing, a family that the prior does not take.

    Examples
    --------
    >>> import bayes_personal as bp
    >>> from bayes_personal.testing import check_prior
    >>> check_prior(bp.PartialPooling("subject"), bp.load_dataset("sleepstudy"), formula="reaction ~ days")
    """
    if not isinstance(prior, Prior):
        raise InputTypeError(f"check_prior: need a prior, an object that derives from bp.priors.Prior; got {prior!r}.")
    check_model(Model(formula, prior, family or Normal()), frame, method=method, seed=seed)


def check_family(family: Family, frame: Any, *, formula: str = "y ~ x", prior: Prior | None = None,
                 method: Any = QUICK, seed: int = 1) -> None:
    """Check that a family keeps the laws of all families.

    Beside the laws of `check_prior`, the outcomes that the family draws have the mean that it states, lie in its
    support and have a finite density there, whose derivatives by the linear predictor are those that it states.

    Parameters
    ----------
    family
        The family to check.
    frame
        As in `check_prior`, with the family's columns.
    formula, method, seed
        As in `check_prior`.
    prior
        By default `Population()`.

    Raises
    ------
    AssertionError
        A law that is broken, in words.
    InputTypeError
        An argument that is no family.
    BayesPersonalError
        Any error of a model.
    """
    if not isinstance(family, Family):
        raise InputTypeError(f"check_family: need a family, an object that derives from bp.families.Family; "
                             f"got {family!r}.")
    model = Model(formula, prior or Population(), family)
    data, values = simulated(model, frame, seed)
    _check_likelihood(model.bind(data), values, np.random.default_rng(seed))
    check_model(model, frame, method=method, seed=seed)


def check_model(model: Model, frame: Any, *, method: Any = QUICK, seed: int = 1, compiled: bool = True) -> None:
    """Check that a model keeps the laws of all models, as `check_prior` says; unless `compiled`, without the generative
    program, which takes most of the time to compile."""
    data, values = simulated(model, frame, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        bound = model.bind(data)
        _check_description(model)
        _check_features(bound)
        _check_order(model, data, values)
        if compiled:
            _check_program(bound, seed)
        density = integrated(bound)
        if density is not None:
            check_density(density, seed)
        check_fit(model, data, method, seed)


def simulated(model: Model, frame: Any, seed: int) -> tuple[pd.DataFrame, Mapping[str, np.ndarray]]:
    """Draw a data set from the model, and parameters once more from its prior, on the scale of these data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        rows = table(frame)
        data = simulate(model, rows.drop(columns=[model.outcome], errors="ignore"), seed=seed).frame
        # Hyperpriors in units of the outcome now have these data's units.
        return data, simulate(model, data, seed=seed + 1).values


def _check_description(model: Model) -> None:
    for part in (model.prior, model.family):
        assert decode(encode(part)) == part, f"{part!r} does not equal what is read back from a file"
    for text in (*model.prior.story(), *model.family.story()):
        assert text and "\n" not in text, f"{text!r} of a story is not one line"


def _check_features(bound: BoundModel) -> None:
    frame = bound.frame
    for piece, features in zip(bound.pieces, bound.features, strict=True):
        prior, matrix = f"{piece.prior!r}", _dense(features.matrix)
        assert len(matrix) == len(frame), f"{prior}: {len(matrix)} rows of features for {len(frame)} rows"
        backwards = _dense(piece.at(frame.iloc[::-1]).matrix)[::-1]
        assert np.array_equal(matrix, backwards), f"{prior}: a row's features change with the rows beside it"
        alone = _dense(piece.at(frame.iloc[[0]]).matrix)
        assert np.array_equal(matrix[:1], alone), f"{prior}: a training row that stands alone has other features"


def _check_order(model: Model, data: pd.DataFrame, values: Mapping[str, np.ndarray]) -> None:
    """Check that neither order nor labels of the rows change the likelihood."""
    order = np.random.default_rng(0).permutation(len(data))
    shuffled = data.iloc[order].set_axis([f"row {place}" for place in range(len(data))])
    totals = [_log_likelihood(model.bind(frame), values) for frame in (data, shuffled)]
    assert np.allclose(*totals, rtol=1e-9), (
        f"{model.prior!r}: the log likelihood of the same rows in another order is {totals[1]} and not {totals[0]}")


def _log_likelihood(bound: BoundModel, values: Mapping[str, np.ndarray]) -> float:
    """Return the log likelihood of all rows at one value of all variables."""
    theta = bound.theta({**values, **bound.derived(dict(values), np)}, bound.features, len(bound.rows))
    branches = bound.branches(values, bound.features, bound.x, np)
    log_likelihood = bound.log_likelihood(bound.y, bound.eta_of(theta, bound.x), bound.family_values(values, 0),
                                 bound.constants, branches)
    return float(np.sum(log_likelihood))


def _check_program(bound: BoundModel, seed: int) -> None:
    model = program(bound)
    assert not model.potentials, "a potential is left out when PyMC samples forward: state a distribution in its place"
    outputs: Any = [model.logp(), model.dlogp()]
    function = model.compile_fn(outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    start, rng = model.initial_point(), np.random.default_rng(seed)
    for spread in (0.0, 0.5):
        point = {name: value + spread * rng.standard_normal(np.shape(value)) for name, value in start.items()}
        value, slope = function(point)
        assert np.isfinite(value) and np.isfinite(slope).all(), (
            f"the log density of the program is {value}, and {np.isfinite(slope).mean():.0%} of its gradient finite, "
            f"{spread} units from where samplers start")


def check_density(density: MarginalDensity, seed: int = 1) -> None:
    """Check that a density of hyperparameters never raises, and agrees with its own value and gradient.

    Raises
    ------
    AssertionError
        A law that is broken, in words.
    """
    rng, step = np.random.default_rng(seed), 1e-4
    for reach in REACHES:
        for point in (*rng.uniform(-reach, reach, (4, density.size)), *reach * np.eye(density.size)):
            value, gradient = density.log_density(point)
            assert np.isfinite(gradient).all(), f"a gradient of {gradient} at {point}"
            assert np.isfinite(value) or value == -np.inf and not gradient.any(), f"a log density of {value} at {point}"
            alone = density.value(point)
            assert not np.isnan(alone) and (value == -np.inf or np.isclose(alone, value, rtol=1e-8)), (
                f"the value {alone} without a gradient, and {value} with it, at {point}")
    for point in rng.uniform(-1, 1, (3, density.size)):
        value, gradient = density.log_density(point)
        differences = [[(density.value(point + h * axis) - density.value(point - h * axis)) / (2 * h)
                        for axis in np.eye(density.size)] for h in (step, 2 * step)]
        numeric = (4 * np.array(differences[0]) - np.array(differences[1])) / 3
        assert np.allclose(gradient, numeric, rtol=1e-5, atol=1e-5 * (1 + np.abs(numeric).max())), (
            f"a gradient of {gradient} where differences are {numeric}, at {point}")


def check_fit(model: Model, data: pd.DataFrame, method: Any, seed: int) -> Posterior:
    """Check that a model can be fitted, and its rows predicted and left out; and that it is saved, loaded and reported.

    Raises
    ------
    AssertionError
        A law that is broken, in words.
    """
    posterior = fit(model, data, seed=seed, method=method, progress=False)
    for name, draws in posterior.tree["posterior"].data_vars.items():
        assert not np.isnan(draws.to_numpy()).all(), f"{name} has no number in any draw"
    theta = posterior.theta.to_numpy()
    assert np.isfinite(theta).all(), "theta is not finite in every draw"
    predicted = predict(posterior, data, kind="theta", seed=seed).draws.to_numpy()
    if posterior.bound.choice is None:
        assert np.allclose(theta, predicted, rtol=1e-8), "theta of training rows is another when they are predicted"
    for kind in ("mean", "outcome"):
        draws = predict(posterior, data.iloc[:5], kind=kind, seed=seed).draws.to_numpy()
        numbers = posterior.bound.family.numbered(draws) if kind == "outcome" else draws
        assert np.isfinite(numbers).all(), f"predict(kind={kind!r}) is not finite in every draw"
    elpd = None
    if posterior.bound.second_stage is None:
        elpd = loo(posterior, refit=False, progress=False)
        assert np.isfinite(elpd.elpd_i).all(), "elpd is not finite in every row"
    with tempfile.TemporaryDirectory() as folder:
        file, page = Path(folder) / "posterior.nc", Path(folder) / "report.html"
        posterior.save(file)
        loaded = load(file)
        assert np.array_equal(loaded.theta.to_numpy(), theta), "theta of a loaded posterior is another"
        assert repr(loaded) == repr(posterior), "a loaded posterior shows itself otherwise"
        report(posterior, page, elpd=elpd, seed=seed)
        assert page.stat().st_size, "the report is empty"
    return posterior


def _check_likelihood(bound: BoundModel, values: Mapping[str, Any], rng: np.random.Generator) -> None:
    family, family_values = bound.family, {name: np.asarray(value)[..., None] for name, value in
                                 bound.family_values(values, 0).items()}
    products = bound.coefficients.predictors(bound.x, bound.everywhere) * bound.coefficients.location
    eta = bound.coefficients.total(products, bound.everywhere, np)
    eta = eta + bound.unit * np.linspace(-1, 1, len(eta))[:, None]
    likelihood = family.likelihood(eta, family_values, bound.constants, np)
    draws = np.stack([likelihood.draw(rng, bound.y.shape) for _ in range(4000)])
    assert np.isfinite(draws).all(), f"{family!r} draws outcomes that are no numbers"
    if likelihood.support == "count":
        assert (draws == np.round(draws)).all() and (draws >= 0).all(), f"{family!r} draws what are no counts"
    elif likelihood.support == "positive":
        assert (draws >= 0).all(), f"{family!r} draws negative outcomes"
    assert np.isfinite(likelihood.log_density(draws[:20])).all(), f"outcomes that {family!r} draws have no density"
    try:
        expected = likelihood.mean()
    except SpecificationError:
        expected = None
    if expected is not None:
        # Four standard errors for a single row, and as rare an alarm for all rows together.
        error = draws.std(axis=0) / np.sqrt(len(draws))
        is_far = np.abs(draws.mean(axis=0) - expected) > -ndtri(ndtr(-4) / len(error)) * error + 1e-9
        assert not is_far.any(), (f"{family!r}: the mean of drawn outcomes is {draws.mean(axis=0)[is_far][:3]}, and "
                                  f"the family says {np.broadcast_to(expected, is_far.shape)[is_far][:3]}")
    if likelihood.law.derivatives is not None:
        def log_density(shift: float) -> np.ndarray:
            moved = eta + shift * np.eye(1, eta.shape[-1])
            return family.likelihood(moved, family_values, bound.constants, np).log_density(draws[0])

        (slope, slope_error), (second, second_error) = _derivatives(log_density, 1e-3 * bound.unit)
        assert (np.abs(likelihood.score(draws[0]) - slope) <= slope_error).all(), (
            f"{family!r}: the score is not the derivative of the log density by the linear predictor")
        assert (np.abs(likelihood.curvature(draws[0]) + second) <= second_error).all(), (
            f"{family!r}: the curvature is not minus the second derivative of the log density")


def _derivatives(function: Callable[[float], np.ndarray], step: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the first and the second derivative at 0 by differences, each with a bound of its error.

    Three steps show how much differences leave out of the Taylor series, and tiny ones how far values are rounded.
    """
    values = {place: function(place * step) for place in (-4, -2, -1, 0, 1, 2, 4)}
    first = [(values[place] - values[-place]) / (2 * place * step) for place in (1, 2, 4)]
    second = [(values[place] - 2 * values[0] + values[-place]) / (place * step) ** 2 for place in (1, 2, 4)]
    rounding = np.ptp([function(1e-7 * step * place) for place in range(20)], axis=0)
    return [(at[0], np.ptp(at, axis=0) + 8 * rounding / step**order) for order, at in enumerate((first, second), 1)]


def _dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)
