"""Radon in Minnesota, by the package and by the explicit program `models/radon.py`."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm

import bayes_personal as bp

MODEL = bp.Model("log_radon ~ floor + uranium", bp.PartialPooling("county", on=["Intercept", "floor"]))
PROGRAM = Path(__file__).parents[1] / "models" / "radon.py"


def columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns as the program takes them, counties numbered in the order of their names."""
    numeric = {name: frame[name].to_numpy(float) for name in ("log_radon", "floor", "uranium")}
    return numeric | {"county": np.unique(frame["county"], return_inverse=True)[1]}


def explicit_program(frame: pd.DataFrame) -> pm.Model:
    """The explicit program of these data."""
    spec = importlib.util.spec_from_file_location("models.radon", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.model(**columns(frame))
