"""The engine's density is that of the plain programs in models/, at random points, Jacobian included.

Each case says which values of the plain program's variables mean the same as the engine's. The Jacobian of that map is
taken by a complex step, so that it needs no formula of its own.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from conftest import ROOT, explicit, plain, split, width
from scipy.interpolate import CubicSpline

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.families import Family, Normal
from bayes_personal.priors.gaussian_process import orders
from bayes_personal.priors.parts.base import Prior
from bayes_personal.priors.parts.pieces import weights

NOT_A_METHOD = {"__init__", "base", "divided", "features", "gate", "in_context", "levels", "markov", "spline"}
METHODS = sorted(path.stem for path in (ROOT / "bayes_personal" / "priors").glob("*.py")
                 if path.stem not in NOT_A_METHOD)
STEP = 1e-30


@dataclass
class Case:
    """One use of one method.

    Attributes
    ----------
    arguments : those of the plain program beside outcome and predictors
    same : the plain program's variables, on PyMC's sampler scale, from the engine's values
    """

    stem: str
    prior: Prior
    arguments: Callable[[BoundModel], tuple[list, dict]]
    same: Callable[[BoundModel, Mapping[str, Any]], dict[str, Any]]
    family: Family = Normal()


def codes(bound: BoundModel) -> np.ndarray:
    return pd.factorize(bound.frame["site"], sort=True)[0]


def effect(bound: BoundModel, values: Mapping[str, Any]) -> Any:
    (term,) = bound.terms
    return weights(term, values, values[f"{term.name}_z"], np)


def population(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"mu": values["mu_centered"], "sigma_log__": np.log(values["sigma"])}


def conditional(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    theta = bound.coefficients.location + effect(bound, values)
    return {"theta": theta, "sigma_log__": np.log(values["sigma"])}


def partial_pooling(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    scale, root = bound.terms[0].scales(values, np)
    covariance_root = scale[0][:, None] * root
    packed = [np.log(covariance_root[i, i]) if i == j else covariance_root[i, j]
              for i in range(len(root)) for j in range(i + 1)]
    return population(bound, values) | {"root_cholesky-cov-packed__": np.array(packed),
                                        "z": values[f"{bound.terms[0].name}_z"]}


def varying_scale(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    same = partial_pooling(bound, {**values, "sigma": 1.0})
    return {name: value for name, value in same.items() if name != "sigma_log__"}


def uncorrelated(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    return population(bound, values) | {"scale_log__": np.log(values["site_scale"]), "z": values["site_z"]}


def meta_learned(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    return population(bound, values) | {
        "scale_log__": np.log(values["site_scale"]), "amplitude_log__": np.log(values["site_amplitude"]),
        "shrink_logodds__": np.log(values["site_shrink"]) - np.log1p(-values["site_shrink"]),
        "loading": values["site_loading"], "d": effect(bound, values)}


def sparse(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    logs = {f"{name}_log__": np.log(values[f"sparse_{name}"]) for name in ("overall", "slab", "local")}
    return logs | {"mu": values["mu_centered"][0], "z": values["sparse_z"][0], "sigma_log__": np.log(values["sigma"])}


def transfer(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    return population(bound, values) | {"overall_log__": np.log(values["site_target_overall"]),
                                        "local_log__": np.log(values["site_target_local"]),
                                        "z": values["site_target_z"][0]}


def invariant(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    return population(bound, values) | {"overall_log__": np.log(values["site_overall"]),
                                        "local_log__": np.log(values["site_local"]), "z": values["site_z"]}


def fine_tuned(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    (term,) = bound.terms
    return population(bound, values) | {"scale_log__": np.log(values[f"{term.name}_scale"]),
                                        "z": values[f"{term.name}_z"]}


def mixture(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    (field,) = bound.nonlinear
    name = field.name
    gate = ({"g_log__": np.log(values[f"{name}_gate"])} if not field.contexts else
            {"b": values[f"{name}_level_gate"], "G": values[f"{name}_slope_gate"]})
    return gate | {"a": bound.coefficients.location + values[f"{name}_component"],
                   "sigma_log__": np.log(values["sigma"])}


def gated(bound: BoundModel) -> tuple[list, dict]:
    return [3, bound.features[0].matrix], {}


def repulsive(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    name = bound.nonlinear[0].name
    return population(bound, values) | {
        **{f"{each}_log__": np.log(values[f"{name}_{each}"]) for each in ("scale", "length", "metric")},
        "a": values[f"{name}_component"], "b": values[f"{name}_level_gate"], "G": values[f"{name}_slope_gate"]}


def apart(bound: BoundModel) -> tuple[list, dict]:
    (field,) = bound.nonlinear
    return [field.branches, bound.features[0].matrix, field.owner, field.prior.strength], {}


def network(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    (field,) = bound.nonlinear
    name = field.name
    result = population(bound, values) | {
        "scale_log__": np.log(values[f"{name}_scale"]), "steepness_log__": np.log(values[f"{name}_steepness"]),
        "W1": values[f"{name}_first_layer"], "b": values[f"{name}_offset_layer"],
        "W2": values[f"{name}_second_layer"]}
    if field.prior.archetypes is None:
        return result
    return result | {"sharpness_log__": np.log(values[f"{name}_sharpness"]), "a": values[f"{name}_component"]}


def in_context(bound: BoundModel) -> tuple[list, dict]:
    prior = bound.nonlinear[0].prior
    return [bound.features[0].matrix, len(prior.contexts), prior.hidden, prior.archetypes], {}
def places(bound: BoundModel) -> tuple[list, dict]:
    (prior,) = (term.prior for term in bound.terms)
    return [np.unique(bound.frame[prior.order], return_inverse=True)[1]], {"increments": prior.increments}


def total_variation(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    name = bound.terms[0].name
    return population(bound, values) | {"scale_log__": np.log(values[f"{name}_scale"]),
                                        "local_log__": np.log(values[f"{name}_local"]), "z": values[f"{name}_z"]}


def along(bound: BoundModel) -> tuple[list, dict]:
    piece = bound.division
    t, place = np.unique(bound.frame[piece.prior.order], return_inverse=True)
    return [place, t, piece.positions], {}


def partition(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    name = bound.division.name
    return population(bound, values) | {"scale_log__": np.log(values[f"{name}_scale"]),
                                        "expected_log__": np.log(values[f"{name}_expected"])}


def halved(bound: BoundModel) -> tuple[list, dict]:
    return [bound.division.codes, bound.division.depth], {}


def tree_partition(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    name, split = bound.division.name, values[f"{bound.division.name}_split"]
    return population(bound, values) | {"scale_log__": np.log(values[f"{name}_scale"]),
                                        "split_logodds__": np.log(split) - np.log1p(-split)}


def linear_arguments(bound: BoundModel) -> tuple[list, dict]:
    (term,) = bound.terms
    readings = [one.at(bound.frame) for one in term.contexts]
    owner = np.repeat(np.arange(len(readings)), [values.shape[1] for values in readings])
    place = {one.name: int(np.flatnonzero(owner == m)[0]) for m, one in enumerate(term.contexts)}
    splines = [(place[name], spline.knots) for name, spline in term.splines.items()]
    return [np.concatenate(readings, axis=1), owner], {"splines": splines}


def linear_varying(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    (term,) = bound.terms
    start = sum(len(one.labels) for one in term.contexts)
    result = population(bound, values) | {"scale_log__": np.log(values[f"{term.name}_scale"]),
                                          "z": values[f"{term.name}_z"][:start].T}
    for s, spline in enumerate(term.splines.values()):
        # The wiggle's second derivatives at the inner knots, for smooth = 1.
        second = CubicSpline(spline.knots, spline.directions, bc_type="natural")(spline.knots, 2)[1:-1]
        result[f"smooth_{s}_log__"] = np.log(values[f"{term.name}_smooth"][s])
        result[f"second_{s}"] = (second @ values[f"{term.name}_z"][start : start + spline.size]).T
        start += spline.size
    return result


def smooth_arguments(bound: BoundModel) -> tuple[list, dict]:
    (term,) = bound.terms
    spread = np.array([one.spread[0] for one in term.contexts])
    lengthscale = term.parameters()[1].arguments
    kernel = {"matern52": pm.gp.cov.Matern52, "matern32": pm.gp.cov.Matern32,
              "squared_exponential": pm.gp.cov.ExpQuad}[term.prior.kernel]
    context = bound.frame[list(term.prior.contexts)].to_numpy(float)
    return [context - context.mean(axis=0)], {
        "m": [box.size + 1 for box in term.boxes], "L": list(spread * [box.length for box in term.boxes]),
        "alpha": lengthscale["alpha"], "beta": lengthscale["beta"], "kernel": kernel}


def gaussian_process(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    (term,) = bound.terms
    # PyMC counts the cosines of two contexts with the first context fastest, the engine with the last.
    order = np.lexsort(orders(term.boxes).T)
    return population(bound, values) | {
        "scale_log__": np.log(values[f"{term.name}_scale"]),
        "lengthscale_log__": np.log(values[f"{term.name}_lengthscale"]),
        "z": values[f"{term.name}_z"][order]}


def near_arguments(bound: BoundModel) -> tuple[list, dict]:
    (field,) = bound.nonlinear
    return [bound.features[0].matrix[:, 0].astype(int), field.points], {
        "neighbors": field.prior.neighbors, "power": field.prior.power}


def analytic_cholesky(matrix: Any) -> Any:
    """L with L L' = matrix, as a function that a complex step goes through: NumPy's would conjugate."""
    lower = np.zeros_like(matrix)
    for j in range(len(matrix)):
        column = matrix[j:, j] - lower[j:, :j] @ lower[j, :j]
        lower[j:, j] = column / np.sqrt(column[0])
    return lower


def distance_regularized(bound: BoundModel, values: Mapping[str, Any]) -> dict[str, Any]:
    (field,) = bound.nonlinear
    name, metric = field.name, field.metric(values, np)
    plain = field.weights(metric, np)
    local = {"local_log__": np.log(values[f"{name}_local"])} if field.prior.power == 1 else {}
    precision = field.precision(values[f"{name}_anchor"], plain / np.exp(local.get("local_log__", 0.0)), np)
    flat = np.linalg.inv(field.precision(values[f"{name}_anchor"], plain, np))
    variance = field.share @ np.diag(flat) - field.share @ flat @ field.share
    root = analytic_cholesky(np.linalg.inv(precision)) / np.sqrt(variance)
    theta = values[bound.mean.name] + root @ values[f"{name}_z"] * values[f"{name}_scale"]
    logs = np.log(metric) - np.log(metric).mean()
    return population(bound, values) | local | {
        "scale_log__": np.log(values[f"{name}_scale"]), "anchor_log__": np.log(values[f"{name}_anchor"])} | (
        {"metric_simplex__": logs[:-1]} if field.learned else {}) | {
        f"theta_{k}": theta[:, k] for k in range(theta.shape[1])}


def nothing(bound: BoundModel) -> tuple[list, dict]:
    return [], {}


def by_group(bound: BoundModel) -> tuple[list, dict]:
    return [codes(bound)], {}


CASES = [
    Case("population", bp.Population(), nothing, population),
    Case("conditional", bp.Conditional("site"), by_group, conditional),
    Case("partial_pooling", bp.PartialPooling("site"), by_group, partial_pooling),
    Case("partial_pooling", bp.PartialPooling("site", correlated=False),
         lambda bound: ([codes(bound)], {"correlated": False}), uncorrelated),
    Case("varying_scale", bp.PartialPooling("site"), by_group, varying_scale, Normal(sigma=bp.Varying())),
    Case("categorical", bp.PartialPooling("site"), lambda bound: ([codes(bound), 4], {}), varying_scale,
         bp.Categorical()),
    Case("meta_learned", bp.MetaLearned("site", rank=2), lambda bound: ([codes(bound), 2], {}), meta_learned),
    Case("transfer", bp.Transfer("site", "Cork"),
         lambda bound: ([(bound.frame["site"] == "Cork").to_numpy(float)], {}), transfer),
    Case("invariant", bp.Invariant("site"), by_group, invariant),
    Case("sparse", bp.Sparse(), nothing, sparse),
    Case("fine_tuned", bp.FineTuned("site"), by_group, fine_tuned),
    Case("fine_tuned", bp.FineTuned("site", target=["Delft", "Cork"], freeze=None),
         lambda bound: ([bound.frame["site"].map({"Delft": 0, "Cork": 1}).fillna(-1).to_numpy(int)], {}), fine_tuned),
    Case("mixture", bp.Mixture(3), lambda bound: ([3], {}), mixture),
    Case("mixture", bp.Mixture(3, gate=["age", "sex"]), gated, mixture),
    Case("repulsive", bp.Repulsive("age"), apart, repulsive),
    Case("repulsive", bp.Repulsive("sex", "age", archetypes=3, strength=0.7), apart, repulsive),
    Case("contextualized", bp.Contextualized("age", "sex", hidden=4), in_context, network),
    Case("contextualized", bp.Contextualized("age", "height", hidden=4, archetypes=3), in_context, network),
    Case("total_variation", bp.TotalVariation("decade"), places, total_variation),
    Case("total_variation", bp.TotalVariation("decade", "horseshoe"), places, total_variation),
    Case("partition", bp.Partition("decade"), along, partition),
    Case("partition", bp.Partition("decade", on=["dose", "weight"]), along, partition),
    Case("tree_partition", bp.TreePartition("age", "height", depth=2), halved, tree_partition),
    Case("distance_regularized", bp.DistanceRegularized("decade"), near_arguments, distance_regularized),
    Case("distance_regularized", bp.DistanceRegularized("age", "sex", neighbors=4), near_arguments,
         distance_regularized),
    Case("distance_regularized", bp.DistanceRegularized("age", "height", power=1, neighbors=2), near_arguments,
         distance_regularized),
    Case("linear_varying", bp.LinearVarying("age", "sex"), linear_arguments, linear_varying),
    Case("linear_varying", bp.LinearVarying("age", "height", basis="spline", df=7), linear_arguments, linear_varying),
    Case("gaussian_process", bp.GaussianProcess("age"), smooth_arguments, gaussian_process),
    Case("gaussian_process", bp.GaussianProcess("age", kernel="squared_exponential"), smooth_arguments,
         gaussian_process),
    Case("gaussian_process", bp.GaussianProcess("age", kernel="squared_exponential", shortest=0.3), smooth_arguments,
         gaussian_process),
    Case("gaussian_process", bp.GaussianProcess("age", "height", kernel="matern32"), smooth_arguments,
         gaussian_process),
]


@pytest.mark.parametrize("stem", METHODS)
def test_every_method_has_a_specification_and_a_test(stem: str) -> None:
    assert callable(plain(stem).model)
    assert stem in {case.stem for case in CASES}, f"models/{stem}.py is not tested: add its case to CASES"


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.py")), ids=lambda path: path.stem)
def test_a_specification_is_short_and_plain(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 60
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"numpy", "pymc"}
    assert "~" in (ast.get_docstring(tree) or ""), "the docstring tells no generative story"


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.prior))
def test_the_engine_has_the_density_of_the_plain_program(frame: pd.DataFrame, case: Case) -> None:
    frame = frame.assign(decade=10 * (frame["age"] // 10))
    if case.family == bp.Categorical():
        frame = frame.assign(y=pd.qcut(frame["y"], 4, labels=list("badc")))
    bound = bp.Model("y ~ dose + weight", prior=case.prior, family=case.family).bind(frame)
    x, of_mean = bound.x - bound.coefficients.center, bound.design.predictor == 0
    arguments, options = case.arguments(bound)
    model = plain(case.stem).model
    if "sd" in signature(model).parameters:
        options["sd"] = bound.y.std()
    program = model(bound.y, x[:, of_mean], *arguments, location=bound.coefficients.location[of_mean],
                    unit=bound.coefficients.unit[of_mean], **options)
    wanted, engine = program.compile_logp(mode="FAST_COMPILE"), explicit(bound)
    start, count = program.initial_point(), width(bound)
    rng = np.random.default_rng(7)
    for _ in range(20):
        u = rng.normal(0, 0.7, count)
        stepped = [case.same(bound, split(bound, row)[0]) for row in u + STEP * 1j * np.eye(count)]
        assert {name: np.shape(value) for name, value in stepped[0].items()} == {
            name: np.shape(value) for name, value in start.items()}
        moved = np.array([np.concatenate([np.ravel(one[name]) for name in start]) for one in stepped]).imag / STEP
        sign, jacobian = np.linalg.slogdet(moved)
        point = {name: np.array(value.real) for name, value in stepped[0].items()}
        assert sign != 0
        np.testing.assert_allclose(engine(u), float(wanted(point)) + jacobian, rtol=0, atol=1e-8)
