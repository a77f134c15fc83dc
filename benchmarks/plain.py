"""The plain programs of models/ on the data of a bound model, and theta at some rows from their draws.

What follows of theta here is written from the programs alone, without the engine.
"""

import importlib.util
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from benchmarks.measure import ROOT


def program(stem: str, bound: BoundModel) -> pm.Model:
    """The program models/STEM.py with the data and hyperpriors of the bound model."""
    spec = importlib.util.spec_from_file_location(f"models.{stem}", ROOT / "models" / f"{stem}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context, options = ARGUMENTS[stem](bound)
    return module.model(bound.y, bound.x - bound.coefficients.center, *context, sd=bound.y.std(),
                        location=bound.coefficients.location, unit=bound.coefficients.unit, **options)


def start(stem: str, bound: BoundModel) -> dict[str, np.ndarray]:
    """Where a chain must be told to start: nutpie finds no start by itself for the packed root of a covariance."""
    if stem != "partial_pooling":
        return {}
    unit = bound.coefficients.unit
    return {"root": np.diag(unit)[np.tril_indices(len(unit))]}


def hyper(stem: str, draws: xr.Dataset) -> np.ndarray:
    """Hyperparameters in the order of the engine's, (chain, draw, number)."""
    names = {"gaussian_process": ("scale", "lengthscale"), "linear_varying": ("scale",),
             "partial_pooling": ("root_stds", "root_corr")}[stem]
    return columns(draws, (*names, "sigma"))


def columns(draws: xr.Dataset, names: tuple[str, ...]) -> np.ndarray:
    """Variables side by side, of a correlation matrix what lies below its diagonal, (chain, draw, number)."""
    parts = []
    for name in names:
        value = draws[name].to_numpy()
        if name.endswith(("_corr", "_correlation")):
            value = value[:, :, *np.tril_indices(value.shape[-1], -1)]
        parts.append(value.reshape(*value.shape[:2], -1))
    return np.concatenate(parts, axis=-1)


def theta(stem: str, bound: BoundModel, draws: xr.Dataset, rows: pd.DataFrame) -> np.ndarray:
    """theta at rows in data units, (chain, draw, unit * coefficient)."""
    values = {str(name): value.to_numpy() for name, value in draws.data_vars.items()}
    result = values["mu"][:, :, None, :] + DEVIATIONS[stem](bound, values, rows)
    result[..., 0] -= result[..., 1:] @ bound.coefficients.center[1:]
    return result.reshape(*result.shape[:2], -1)


def smooth_arguments(bound: BoundModel) -> tuple[list, dict]:
    (term,) = bound.terms
    (box,), (context,) = term.boxes, term.contexts
    lengthscale = term.parameters()[1].arguments
    c = bound.frame[context.name].to_numpy(float)[:, None]
    return [c - c.mean()], {"m": [box.size + 1], "L": [box.length * context.spread[0]], "alpha": lengthscale["alpha"],
                            "beta": lengthscale["beta"], "kernel": pm.gp.cov.ExpQuad}


def smooth_deviation(bound: BoundModel, values: dict[str, np.ndarray], rows: pd.DataFrame) -> np.ndarray:
    """Cosines about the middle of the range, their heights the root of the squared exponential's spectral density."""
    (term,) = bound.terms
    (box,), (context,) = term.boxes, term.contexts
    everywhere, c = (frame[context.name].to_numpy(float) for frame in (bound.frame, rows))
    length, middle = box.length * context.spread[0], (everywhere.min() + everywhere.max()) / 2
    frequency = np.arange(1, box.size + 1) * np.pi / (2 * length)
    variance = (np.cos(frequency[:, None] * (everywhere - middle + length)) ** 2).mean(axis=1)
    height = np.exp(-0.25 * (values["lengthscale"][..., 0][..., None] * frequency) ** 2)
    height /= np.sqrt((height**2 * variance).sum(axis=-1))[..., None]
    weight = height * np.swapaxes(values["z"], -1, -2) * values["scale"][..., None]
    return np.swapaxes(weight @ np.cos(frequency[:, None] * (c - middle + length)), -1, -2)


def linear_arguments(bound: BoundModel) -> tuple[list, dict]:
    (term,) = bound.terms
    c = bound.frame[list(term.prior.contexts)].to_numpy(float)
    return [(c - c.mean(axis=0)) / c.std(axis=0), np.arange(c.shape[1])], {}


def linear_deviation(bound: BoundModel, values: dict[str, np.ndarray], rows: pd.DataFrame) -> np.ndarray:
    names = list(bound.terms[0].prior.contexts)
    everywhere, c = (frame[names].to_numpy(float) for frame in (bound.frame, rows))
    slopes = values["scale"] * np.swapaxes(values["z"], -1, -2)
    return (c - everywhere.mean(axis=0)) / everywhere.std(axis=0) @ slopes


def groups_arguments(bound: BoundModel) -> tuple[list, dict]:
    return [bound.frame[bound.terms[0].prior.by].cat.codes.to_numpy(int)], {}


def groups_deviation(bound: BoundModel, values: dict[str, np.ndarray], rows: pd.DataFrame) -> np.ndarray:
    group = rows[bound.terms[0].prior.by].cat.codes.to_numpy(int)
    root = values["root_stds"][..., None] * np.linalg.cholesky(values["root_corr"])
    return values["z"][:, :, group] @ np.swapaxes(root, -1, -2)


ARGUMENTS: dict[str, Any] = {"gaussian_process": smooth_arguments, "linear_varying": linear_arguments,
                             "partial_pooling": groups_arguments}
DEVIATIONS: dict[str, Any] = {"gaussian_process": smooth_deviation, "linear_varying": linear_deviation,
                              "partial_pooling": groups_deviation}
