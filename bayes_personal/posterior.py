"""Posterior: model, data and draws; every sample's own parameters with their uncertainty."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from bayes_personal.bound import Bound
from bayes_personal.inference.draws import flat
from bayes_personal.inference.nuts import NUTS
from bayes_personal.model import Model
from bayes_personal.program import program
from bayes_personal.summary import summarise


@final
@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """The posterior of a model given data.

    Attributes
    ----------
    model : what was assumed
    bound : the model with its data
    tree : `xarray.DataTree` with ArviZ's groups
    """

    model: Model
    bound: Bound
    tree: xr.DataTree

    @cached_property
    def pymc(self) -> pm.Model:
        """The generative `pm.Model`, with the variables that the tree holds draws of."""
        return program(self.bound)

    @cached_property
    def theta(self) -> xr.DataArray:
        """Every sample's parameters in the data's own units, (chain, draw, unit, coefficient)."""
        draws = self.tree["posterior"].to_dataset()
        theta = self.bound.theta(flat(self.tree), self.bound.features, len(self.bound.y))
        return xr.DataArray(
            theta.reshape(draws.sizes["chain"], -1, *theta.shape[1:]), name="theta",
            dims=("chain", "draw", "unit", "coefficient"),
            coords={"chain": draws.chain, "draw": draws.draw, "unit": np.arange(len(self.bound.frame)),
                    "coefficient": list(self.bound.coefficients.names)})

    def theta_frame(self) -> pd.DataFrame:
        """Mean, sd and 5, 50, 95 % quantiles of theta: a row per row of the frame and coefficient, its index kept."""
        return summarise(self.theta, self.bound.frame.index)

    @cached_property
    def diagnostics(self) -> dict[str, float]:
        """Divergences, worst R-hat, least bulk and tail effective sample size over all sampled variables."""
        draws = self.tree["posterior"].to_dataset()
        def extreme(statistic: Any, pick: Any) -> float:
            # A correlation matrix has a constant diagonal, of which R-hat and ESS are not defined.
            return float(pick([pick(v.to_numpy()[np.isfinite(v.to_numpy())])
                               for v in statistic.data_vars.values() if np.isfinite(v.to_numpy()).any()]))
        return {"divergences": float(self.tree["sample_stats"]["diverging"].sum()),
                "r_hat": extreme(az.rhat(draws), np.max),
                "ess_bulk": extreme(az.ess(draws, method="bulk"), np.min),
                "ess_tail": extreme(az.ess(draws, method="tail"), np.min)}

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why these draws must not be trusted; empty when nothing speaks against them."""
        found, enough = self.diagnostics, 100 * self.tree["posterior"].sizes["chain"]
        checks = ((found["divergences"] > 0, f"{found['divergences']:.0f} divergences"),
                  (found["r_hat"] > 1.01, f"R-hat up to {found['r_hat']:.3f}"),
                  (found["ess_bulk"] < enough, f"bulk ESS down to {found['ess_bulk']:.0f}"),
                  (found["ess_tail"] < enough, f"tail ESS down to {found['ess_tail']:.0f}"))
        return tuple(words for failed, words in checks if failed)

    def __repr__(self) -> str:
        sizes = self.tree["posterior"].sizes
        verdict = "DO NOT TRUST: " + "; ".join(self.complaints) if self.complaints else "diagnostics: no complaint"
        return f"{self.model!r}\n{len(self.bound.y)} rows, {sizes['chain']} chains of {sizes['draw']} draws\n{verdict}"


def fit(model: Model, data: Any, *, seed: int | None = None, method: NUTS | None = None,
        progress: bool = True) -> Posterior:
    """The posterior of every sample's own parameters.

    Parameters
    ----------
    model
        What is assumed.
    data
        Pandas, polars or Arrow frame, a row a unit.
    seed
        Of the sampler.
    method
        How to sample; `NUTS()` by default.
    progress
        Whether to show a progress bar.

    Raises
    ------
    InputError, InputTypeError, SpecificationError
        Before anything compiles: a column, a row or an assumption that does not fit.
    """
    bound = model.bind(data)
    return Posterior(model, bound, (method or NUTS()).sample(bound, seed, progress))
