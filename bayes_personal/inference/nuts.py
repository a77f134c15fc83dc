"""NUTS: the default way to a posterior."""

from dataclasses import dataclass
from typing import final

import pymc as pm
import xarray as xr

from bayes_personal.errors import SpecificationError


@final
@dataclass(frozen=True)
class NUTS:
    """The no-U-turn sampler on the explicit model.

    Parameters
    ----------
    draws, chains, tune
        Kept draws a chain, chains, and adaptation draws a chain.
    target_accept
        Acceptance that the step size adapts to; nearer to 1 where there are divergences.
    sampler
        "nutpie", or "pymc" for PyMC's own.

    References
    ----------
    Hoffman and Gelman (2014), JMLR 15:1593. Betancourt (2017), doi:10.48550/arXiv.1701.02434.
    """

    draws: int = 1000
    chains: int = 4
    tune: int = 1000
    target_accept: float = 0.9
    sampler: str = "nutpie"

    def __post_init__(self) -> None:
        if self.draws < 4 or self.chains < 1 or self.tune < 1:
            raise SpecificationError(f"{self!r}: need at least 4 draws, 1 chain and 1 tuning draw.")
        if not 0 < self.target_accept < 1:
            raise SpecificationError(f"NUTS: target_accept={self.target_accept!r} must lie between 0 and 1.")
        if self.sampler not in ("nutpie", "pymc"):
            raise SpecificationError(f"NUTS: sampler={self.sampler!r} must be 'nutpie' or 'pymc'.")

    def sample(self, program: pm.Model, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw from the posterior of `program`."""
        with program:
            return pm.sample(draws=self.draws, tune=self.tune, chains=self.chains, target_accept=self.target_accept,
                             nuts_sampler=self.sampler, random_seed=seed, progressbar=progress, quiet=not progress)
