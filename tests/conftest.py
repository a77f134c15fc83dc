"""Small data with every kind of column, the programs of models/, and explicit programs as densities of one point."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg.lapack  # noqa: F401 (loads its own BLAS, which is limited below)
from scipy import sparse
from threadpoolctl import threadpool_limits

from bayes_personal.binding.bound import BoundModel
from bayes_personal.model.program import program

# As fits do it. The workers of a test run share the processors, where threads of BLAS would wait for each other.
threadpool_limits(1, user_api="blas")

ROOT = Path(__file__).parents[1]
SUFFIX = {"positive": "_log__", "real": "_standardised__", "unit interval": "_logodds__"}


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """Forty patients of five unequal sites: outcome, its standard error, two predictors, three contexts."""
    rng = np.random.default_rng(20)
    rows = 40
    site = np.repeat(["Bergen", "Aarhus", "Delft", "Cork", "Espoo"], [14, 10, 8, 5, 3])
    dose, weight, age = rng.gamma(4, 2, rows), rng.normal(70, 9, rows), rng.uniform(20, 80, rows)
    height, sex = rng.normal(170, 8, rows), rng.choice(["female", "male"], rows)
    own = pd.Series(rng.normal(0, 1, 5), index=pd.unique(site))[site].to_numpy()
    y = 120 + 4 * own + (2 + 0.04 * (age - 50) + 0.5 * own) * dose - 0.3 * weight + rng.normal(0, 3, rows)
    return pd.DataFrame({"y": y, "se": rng.uniform(1, 4, rows), "dose": dose, "weight": weight, "site": site,
                         "age": age, "height": height, "sex": sex})


def dense(matrix: Any) -> np.ndarray:
    """A matrix of features, in whatever form it is held, as an array."""
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def width(bound: BoundModel) -> int:
    """How many numbers a point of the explicit program is."""
    mean = bound.mean.size if bound.mean else 0
    weights = sum(one.matrix.shape[1] * len(term.positions)
                  for term, one in zip(bound.terms, bound.features, strict=False))
    fields = sum(len(field.labels) * len(field.positions) for field in bound.gaussian_functions)
    return sum(parameter.size for parameter in bound.parameters) + mean + weights + fields


def split(bound: BoundModel, point: np.ndarray) -> tuple[dict, dict]:
    """A point (..., width) on the sampler's scale as values of the variables, and as PyMC names its parts.

    Hyperparameters come first, as in the collapsed density; then the mean, each term's weights and each field's values.
    """
    values, named, start = {}, {}, 0
    for parameter in (*bound.parameters, *([bound.mean] if bound.mean else [])):
        part = point[..., start : start + parameter.size]
        values[parameter.name] = parameter.value(part)
        named[parameter.name + SUFFIX[parameter.support]] = part.reshape((*part.shape[:-1], *parameter.shape))
        start += parameter.size
    for term, one in zip(bound.terms, bound.features, strict=False):
        shape = one.matrix.shape[1], len(term.positions)
        part = point[..., start : start + shape[0] * shape[1]]
        values[f"{term.name}_z"] = named[f"{term.name}_z"] = part.reshape((*part.shape[:-1], *shape))
        start += shape[0] * shape[1]
    for field in bound.gaussian_functions:
        shape = len(field.labels), len(field.positions)
        part = point[..., start : start + shape[0] * shape[1]]
        values[f"{field.name}_z"] = named[f"{field.name}_z"] = part.reshape((*part.shape[:-1], *shape))
        start += shape[0] * shape[1]
    return values, named


def explicit(bound: BoundModel) -> Callable[[np.ndarray], float]:
    """The log density of the explicit program at one point."""
    # Compiling for speed costs seconds a program; these are evaluated a few times.
    log_density = program(bound).compile_logp(mode="FAST_COMPILE")
    return lambda point: float(log_density(split(bound, point)[1]))


def affine(bound: BoundModel, values: dict) -> tuple[np.ndarray, np.ndarray]:
    """eta = offset + A z for whitened weights z, the mean's first: read off the model's own eta, a weight at a time."""
    mean, shapes = bound.mean, [(term.name, one.matrix.shape[1], len(term.positions))
                                for term, one in zip(bound.terms, bound.features, strict=False)]
    shared = mean.size if mean else 0
    size = shared + sum(features * varying for _, features, varying in shapes)
    z = np.vstack([np.zeros(size), np.eye(size)])
    moved, start = dict(values), shared
    if mean:
        moved[mean.name] = mean.arguments["mu"] + mean.arguments["sigma"] * z[:, :shared]
    for name, features, varying in shapes:
        moved[f"{name}_z"] = z[:, start : start + features * varying].reshape(-1, features, varying)
        start += features * varying
    eta = bound.single(bound.eta(moved, np))
    return eta[0], (eta[1:] - eta[0]).T


def weights_given(bound: BoundModel, values: dict) -> tuple[np.ndarray, np.ndarray]:
    """Mean and precision of the whitened weights, the mean's first, given a Normal outcome and the hyperparameters."""
    offset, loading = affine(bound, values)
    scaled = loading / (bound.constants * values.get("sigma", 1.0))[:, None] ** 2
    precision = np.eye(loading.shape[1]) + scaled.T @ loading
    return np.linalg.solve(precision, scaled.T @ (bound.y - offset)), precision


class Silent:
    """A generator of no noise: what is drawn from a Normal is its mean."""

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)


def plain(stem: str) -> ModuleType:
    """A program of models/."""
    path = ROOT / "models" / f"{stem}.py"
    assert path.exists(), f"priors/{stem}.py has no executable specification: write models/{stem}.py"
    spec = importlib.util.spec_from_file_location(stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
