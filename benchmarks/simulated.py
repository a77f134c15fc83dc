"""Data sets of any size whose coefficients vary, and the model that each is made for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

import bayes_personal as bp

GROUPS, UNITS = 1000, 25


def smooth(rows: int) -> pd.DataFrame:
    """Three coefficients, each a curve over one context with its own smoothness."""
    rng = np.random.default_rng(1)
    c, x1, x2, e = rng.uniform(0, 10, rows), *rng.normal(size=(3, rows))
    y = np.sin(c) + np.sin(0.6 * c) * x1 + np.cos(1.5 * c) / (1 + 0.2 * c) * x2 + e
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "c": c})


def linear(rows: int) -> pd.DataFrame:
    """Three coefficients, each linear in five contexts, of which two matter."""
    rng = np.random.default_rng(2)
    c, x1, x2, e = rng.normal(size=(5, rows)), *rng.normal(size=(3, rows))
    y = 1 + 0.5 * c[0] + (0.8 - 0.4 * c[0] + 0.2 * c[1]) * x1 + (0.3 * c[1] - 0.5) * x2 + e
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2} | {f"c{q}": each for q, each in enumerate(c)})


def groups(rows: int) -> pd.DataFrame:
    """Groups with their own intercept and two slopes, which correlate: 1000 groups, or one for every ten rows."""
    rng = np.random.default_rng(3)
    count = min(GROUPS, rows // 10)
    root = np.array([[0.8, 0, 0], [0.2, 0.4, 0], [-0.1, 0.1, 0.3]])
    theta = np.array([1.0, 0.5, -0.5]) + rng.normal(size=(count, 3)) @ root.T
    g, x1, x2, e = np.arange(rows) % count, *rng.normal(size=(3, rows))
    y = theta[g, 0] + theta[g, 1] * x1 + theta[g, 2] * x2 + e
    labels = pd.Categorical.from_codes(g, [f"g{j}" for j in range(count)])
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "g": labels})


@final
@dataclass(frozen=True)
class Case:
    """A model and its data.

    Attributes
    ----------
    stem : of the plain program in models/ that states the same
    model : the model
    frame : its data, of any number of rows
    hyper : the hyperparameters that are compared, as the posterior names them
    """

    stem: str
    model: bp.Model
    frame: Callable[[int], pd.DataFrame]
    hyper: tuple[str, ...]


# 98 % of it between 0.75 and 7.5, for contexts from 0 to 10. Beyond 10, PyMC's squared exponential underflows and its
# gradient is not a number: a plain program whose posterior has such length-scales diverges there and is biased.
LENGTHSCALE = bp.Hyperprior("InverseGamma", alpha=4.6, beta=8.3)
CONTEXTS = tuple(f"c{q}" for q in range(5))
CASES = {
    "smooth": Case("gaussian_process",
                   bp.Model("y ~ x1 + x2", bp.GaussianProcess("c", kernel="squared_exponential",
                                                                lengthscale=LENGTHSCALE)), smooth,
                   ("gp_c_scale", "gp_c_lengthscale", "sigma")),
    "linear": Case("linear_varying", bp.Model("y ~ x1 + x2", bp.LinearVarying(*CONTEXTS)), linear,
                   (f"linear_{'_'.join(CONTEXTS)}_scale", "sigma")),
    "groups": Case("partial_pooling", bp.Model("y ~ x1 + x2", bp.PartialPooling("g")), groups,
                   ("g_scale", "g_correlation", "sigma")),
}


def units(frame: pd.DataFrame) -> pd.DataFrame:
    """The fixed rows at which theta is compared."""
    return frame.iloc[np.linspace(0, len(frame) - 1, UNITS).astype(int)]
