"""Posterior: model, data and draws; every sample's own parameters with their uncertainty."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.errors import InputTypeError, MisfitWarning, shown, warn
from bayes_personal.model.model import Model
from bayes_personal.posterior import storage
from bayes_personal.posterior.diagnostics import Diagnostics
from bayes_personal.posterior.residual_check import ResidualCheck
from bayes_personal.posterior.summary import tabulate
from bayes_personal.posterior.theta import Theta, Training
from bayes_personal.priors.parts.base import Prior
from bayes_personal.samplers.redrawn import all_draws
from bayes_personal.system.arguments import Seed, file_path, flag, seed_number
from bayes_personal.system.running import verb

if TYPE_CHECKING:
    import pymc as pm

    from bayes_personal.samplers.advi import ADVI
    from bayes_personal.samplers.laplace import Laplace
    from bayes_personal.samplers.nuts import NUTS


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
    bound: BoundModel
    tree: xr.DataTree

    @cached_property
    def pymc(self) -> "pm.Model":
        """The generative `pm.Model`, with the variables that the tree holds draws of."""
        from bayes_personal.model.program import program

        return program(self.bound)

    @cached_property
    def theta(self) -> xr.DataArray:
        """Every sample's parameters in the data's own units, (chain, draw, unit, coefficient).

        Entries are computed when they are asked for: ``theta.isel(unit=[3, 5])`` computes two rows. The whole array is
        as large as draws times rows; `theta_frame` summarises it without making it.

        The coordinate ``unit`` is the frame's index: ``theta.sel(unit=label)`` is the row of that label, or all rows
        that share it. Labels that NetCDF cannot hold stand there as text; those of a MultiIndex are its levels joined
        by a comma and a space, as in ``theta.sel(unit="Bergen, 2")``.
        """
        draws, theta = self.tree["posterior"].to_dataset(), self.computed
        return theta.array("theta", {"chain": draws.chain, "draw": draws.draw, "unit": self.bound.units,
                                     "coefficient": list(self.bound.coefficients.names)})

    def theta_frame(self) -> pd.DataFrame:
        """Tabulate the mean, sd and 5, 50, 95 % quantiles of theta: a row a row of the frame and coefficient, its index
        kept."""
        numbers = self.computed.statistics(np.arange(len(self.computed.rows)))
        return tabulate(numbers, self.bound.rows.index, self.bound.coefficients.names)

    @cached_property
    def computed(self) -> Theta:
        """The array that computes theta where it is asked for."""
        sizes, values = self.tree["posterior"].sizes, all_draws(self.bound, self.tree)
        return Theta(self.bound, values, (sizes["chain"], sizes["draw"]), Training(self.bound),
                     np.random.SeedSequence(0))

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Divergences, the worst R-hat and effective sample sizes of the draws, and where they are."""
        return Diagnostics.of(self.tree, self.bound)

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why these draws must not be trusted; empty when nothing speaks against them."""
        return self.diagnostics.complaints

    @cached_property
    def residual_check(self) -> ResidualCheck | None:
        """Whether errors are of one size in all groups and along all contexts; None where no comparison is possible, or
        the draws must not be trusted."""
        return None if self.complaints else ResidualCheck.of(self.computed)

    @property
    def misfit(self) -> str:
        """The data's evidence against the model, in words; empty where there is none."""
        return self.residual_check.words if self.residual_check else ""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write model, data and draws to one NetCDF file, whole or not at all; `load` reads it.

        The file contains the training rows: their index and every column that the model reads. Share it only where
        you may share those data.

        Raises
        ------
        FileError
            A folder that does not exist, a path that cannot be written, a full disk.
        InputTypeError
            A column, label, name or attribute that the file cannot hold.
        SpecificationError
            A prior or family of your own that does not say which columns it reads, or hides an argument.
        """
        file_path("save", path)
        storage.write(self.model, self.bound, self.tree, path)

    def __getstate__(self) -> dict[str, Any]:
        # A pickle has the same columns of the rows as a saved file; derived attributes are computed anew when needed.
        rows, bound = self.bound.rows, self.bound
        if isinstance(rows, InMemory):
            rows = replace(rows, frame=storage.read_columns(self.model, bound))
        return {"model": self.model, "bound": replace(bound, rows=rows), "tree": self.tree}

    def __repr__(self) -> str:
        sizes = self.tree["posterior"].sizes
        verdict = "DO NOT TRUST: " + "; ".join(self.complaints) if self.complaints else "diagnostics: no complaint"
        size = f"{len(self.bound.rows)} rows, {sizes['chain']} chains of {sizes['draw']} draws"
        lines = (repr(self.model), size, verdict, *([f"MISFIT: {self.misfit}"] if self.misfit else []))
        return "\n".join(lines)


@verb
def fit(model: Model, data: Any, *, seed: Seed = None, method: "NUTS | Laplace | ADVI | str | None" = None,
        progress: bool = True, client: Any = None) -> Posterior:
    """Draw from the posterior of every sample's own parameters.

    Where weights are integrated out, those of very many groups are not stored: `theta`, `predict` and all else draw
    them again from their exact conditional, always the same ones, for the groups and draws that are asked for.

    Parameters
    ----------
    model
        What is assumed.
    data
        Pandas, polars or Arrow frame, a row a unit; or the path of a Parquet file, of a folder of them, of an Arrow
        file, a pattern such as ``"rows/*.parquet"``, or a `pyarrow.dataset.Dataset` of such files, whose rows are read
        a batch at a time. Memory then holds one context column at a time, and does not grow with the number of rows
        otherwise, but for a few numbers a row where the family is not Normal. Rows in files need a family of this
        package, `NUTS()` or `Laplace()`, and a formula none of whose terms needs other rows.
    seed
        Seed of the sampler: a whole number, a `numpy.random.Generator` or a `numpy.random.SeedSequence`.
    method
        How to sample: `NUTS()`, `Laplace()` or `ADVI()`, or their names in lower case, as in ``method="laplace"``, for
        these defaults. If none is given, `NUTS()`; and `Laplace()` where the family is not Normal, the model is linear
        in Gaussian weights and its hyperparameters are at most 25; with a Normal family under a `Partition` of 400
        contexts or more and `DistanceRegularized`, and, up to 25 hyperparameters, under `MetaLearned` and where 100
        weights or more remain beside those of one set of groups, as those of a process over two contexts.
    progress
        Whether to show a progress bar.
    client
        A `dask.distributed.Client`, for rows in files: its workers, which must find the files at the same paths, sum
        over parts of the rows.

    Raises
    ------
    InputError, InputTypeError, SpecificationError
        Before anything compiles: an argument, a column, a row or an assumption that does not fit; draws, or levels of a
        column, that this machine has no memory for.

    Warns
    -----
    MisfitWarning
        Errors that are larger in some groups, or along a context, than in others: see `Posterior.residual_check`.
    """
    posterior = _fitted(model, data, seed, method, progress, client)
    if posterior.misfit:
        warn(posterior.misfit, MisfitWarning)
    return posterior


def _fitted(model: Model, data: Any, seed: Seed, method: "NUTS | Laplace | ADVI | str | None", progress: bool,
            client: Any) -> Posterior:
    """Return the posterior of `fit`, without its warning."""
    from bayes_personal.samplers.route import route

    must_be_model("fit", model, data)
    method, seed = sampler("fit", method), seed_number("fit", seed)
    flag("fit", progress=progress)
    if client is not None and not hasattr(client, "submit"):
        raise InputTypeError(f"fit: client={shown(client)} must be a dask.distributed.Client.")
    bound = model.bind(data, client=client, progress=progress)
    return Posterior(model, bound, route(bound, method).sample(seed, progress))


def must_be_model(owner: str, model: Any, data: Any) -> None:
    """Refuse an argument that is no model, and say how to make one of it."""
    if isinstance(model, Model):
        return
    if isinstance(data, Model):
        raise InputTypeError(f"{owner}: the model comes first and then the data: bp.{owner}(model, data).")
    if isinstance(model, str):
        remedy = f"A formula becomes a model by bp.Model({model!r}, prior=...)"
    elif isinstance(model, Prior):
        remedy = f"A prior becomes a model with a formula: bp.Model('outcome ~ predictors', prior={model!r})"
    elif isinstance(model, Posterior):
        remedy = "A posterior is fitted already; its model is posterior.model"
    else:
        remedy = "Make one with bp.Model('outcome ~ predictors', prior=...)"
    raise InputTypeError(f"{owner} needs a Model first; got {type(model).__name__}. {remedy}.")


def sampler(owner: str, method: Any) -> Any:
    """Return the sampler: an object, one by its name, or None."""
    from bayes_personal.samplers.advi import ADVI
    from bayes_personal.samplers.laplace import Laplace
    from bayes_personal.samplers.nuts import NUTS

    named = {"nuts": NUTS, "laplace": Laplace, "advi": ADVI}
    if isinstance(method, str) and method in named:
        return named[method]()
    if isinstance(method, type) or method is not None and not hasattr(method, "draws"):
        written = f"{method.__name__}()" if isinstance(method, type) else "NUTS()"
        raise InputTypeError(f"{owner}: method={shown(method)} does not sample. Call the class, as in "
                             f"method=bp.{written}, or name one of {', '.join(map(repr, named))}.")
    return method


def load(path: str | os.PathLike[str], *, functions: Mapping[str, Callable[..., Any]] | None = None) -> Posterior:
    """Read a posterior that `Posterior.save` wrote: the same draws, and the model bound to its training rows again.

    No file runs code, wherever it comes from. A prior or family of your own must be imported first.

    Parameters
    ----------
    path
        Path of the file.
    functions
        Functions of your own that the model's formula calls, by name, as `Model` took them. Further functions are
        ignored.

    Raises
    ------
    FileError
        A file that does not exist, is damaged, leads to other files, asks for more memory than it has bytes, or was not
        written by `save`; rows in files that have changed; a model whose class is not imported or whose functions are
        not given.
    VersionError
        A file of a format that this version does not know.

    Warns
    -----
    InputWarning
        A file of format 1, which has no checksum: damage to it may go unnoticed.
    """
    file_path("load", path)
    return Posterior(*storage.read(path, functions))
