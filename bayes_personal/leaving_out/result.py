"""The result of leave-one-out cross-validation, and the sum of those of a network's nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDDataLOO


@final
@dataclass(kw_only=True)
class ELPD(ELPDDataLOO):
    """ArviZ's result, with the question that it answers.

    Attributes
    ----------
    question : the question in words
    conditioning : "unit", "group" or "conditional"
    refits : a row for each unit or group that was refitted: its Pareto k and elpd before, elpd after with its Monte
        Carlo error and effective sample size, and the complaints of the refit's diagnostics
    mcse : Monte Carlo standard error of `elpd`
    complaints : why the result must not be trusted: complaints about the posterior, refits and integrals; empty when
        nothing speaks against it but the Pareto k of some rows
    """

    question: str
    conditioning: str
    refits: pd.DataFrame
    mcse: float
    complaints: tuple[str, ...]

    def __str__(self) -> str:
        refitted = f"\n{len(self.refits)} refitted exactly." if len(self.refits) else ""
        doubt = "\nDO NOT TRUST: " + "; ".join(self.complaints) if self.complaints else ""
        error = f"Monte Carlo error of elpd: {self.mcse:.2g}"
        return f"{self.question}\n{ELPDDataLOO.__str__(self)}{error}{refitted}{doubt}"

    def __repr__(self) -> str:
        return str(self)


def joined(results: Mapping[str, ELPD], question: str) -> ELPD:
    """Return the result for whole rows of a network, whose nodes are independent given the data.

    The log predictive density of a row is the sum over nodes; the worst Pareto k stands for the row.
    """
    parts = list(results.values())
    elpd_i: xr.DataArray = parts[0].elpd_i
    values, good = np.sum([part.elpd_i for part in parts], axis=0), min(float(part.good_k) for part in parts)
    # A k that is good with its node's own number of draws counts as good.
    k = np.max([np.where(part.pareto_k <= part.good_k, np.minimum(part.pareto_k, good), part.pareto_k)
                for part in parts], axis=0)
    refits = pd.concat([part.refits.assign(node=name) for name, part in results.items()])
    return ELPD(elpd=float(values.sum()), se=float(np.sqrt(len(values) * values.var(ddof=1))),
                p=float(sum(part.p for part in parts)), n_samples=min(part.n_samples for part in parts),
                n_data_points=len(values), scale="log", warning=bool((k > good).any()), good_k=good,
                elpd_i=elpd_i.copy(data=values), pareto_k=elpd_i.copy(data=k).rename(parts[0].pareto_k.name),
                question=question, conditioning=parts[0].conditioning, refits=refits,
                mcse=float(np.sqrt(sum(part.mcse**2 for part in parts))),
                complaints=tuple(f"{name}: {words}" for name, part in results.items() for words in part.complaints))
