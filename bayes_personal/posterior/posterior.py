"""Posterior: model, data and draws; every sample's own parameters with their uncertainty."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.errors import NotFittedError, SpecificationError
from bayes_personal.model.model import Model
from bayes_personal.posterior import storage
from bayes_personal.posterior.diagnostics import Diagnostics
from bayes_personal.posterior.residual_check import ResidualCheck
from bayes_personal.posterior.summary import tabulate
from bayes_personal.posterior.theta import Theta, Training
from bayes_personal.posterior.whole_rows import WholeRows
from bayes_personal.samplers.redrawn import all_draws
from bayes_personal.samplers.shared_divisions import SHARED
from bayes_personal.system.arguments import file_path

if TYPE_CHECKING:
    import pymc as pm


@final
@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """The posterior of a model given data.

    Attributes
    ----------
    model : what was assumed
    bound : the model with its data
    tree : `xarray.DataTree` with ArviZ's groups
    whole : of a node that has functions of context in common with other nodes of a network, their training rows
    """

    model: Model
    bound: BoundModel
    tree: xr.DataTree
    whole: WholeRows | None = None

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
        return Theta((sizes["chain"], sizes["draw"]), Training(self.bound), self.bound, values,
                     np.random.SeedSequence(0), self.whole)

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
            A prior or family of your own that does not say which columns it reads, or hides an argument; a node of a
            network that has the types of rows in common with other nodes.
        """
        file_path("save", path)
        if self.whole is not None and self.whole.chosen:
            must_not_share("save", self)
        storage.write(self.model, {"": (self.bound, self.tree)}, path)

    @property
    def in_common(self) -> str:
        """What this node of a network has in common with other nodes, in words; empty where there is nothing."""
        if not self.tree["posterior"].attrs.get(SHARED, False):
            return ""
        if self.bound.division is not None:
            return "divisions"
        return "types of rows" if self.bound.choice is not None else "network of contexts"

    def __getstate__(self) -> dict[str, Any]:
        # A pickle has the same columns of the rows as a saved file; derived attributes are computed anew when needed.
        rows, bound = self.bound.rows, self.bound
        if isinstance(rows, InMemory):
            rows = replace(rows, frame=storage.read_columns(self.model, bound))
        return {"model": self.model, "bound": replace(bound, rows=rows), "tree": self.tree, "whole": self.whole}

    def __repr__(self) -> str:
        sizes = self.tree["posterior"].sizes
        verdict = "DO NOT TRUST: " + "; ".join(self.complaints) if self.complaints else "diagnostics: no complaint"
        size = f"{len(self.bound.rows)} rows, {sizes['chain']} chains of {sizes['draw']} draws"
        lines = (repr(self.model), size, verdict, *([f"MISFIT: {self.misfit}"] if self.misfit else []))
        return "\n".join(lines)


def must_be_fitted(owner: str, value: Any) -> None:
    """Refuse what is not the posterior of a model with one outcome."""
    if not isinstance(value, Posterior):
        if hasattr(value, "orders"):
            raise NotFittedError(f"{owner} does not pool orders of a network's nodes; take the posterior of one order, "
                                 "as in posterior.orders[0], or of one of its nodes.")
        of_node = "; take that of a node, as in posterior.nodes['mek']" if hasattr(value, "nodes") else ""
        raise NotFittedError(f"{owner} needs the posterior that bp.fit returns; got {type(value).__name__}{of_node}.")


def must_not_share(owner: str, posterior: Any) -> None:
    """Refuse a node of a network by itself, where the answer is one of all nodes together."""
    if isinstance(posterior, Posterior) and posterior.in_common:
        raise SpecificationError(f"{owner}: this node of a network shares the {posterior.in_common} of "
                                 f"{posterior.model.prior!r} with the other nodes, so that {owner} takes all nodes "
                                 "together. Give it the posterior of the network.")
