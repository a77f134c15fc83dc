"""The result of leave-one-out cross-validation, the sum of those of a network's nodes, and the pool of its orders."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDDataLOO
from scipy.special import logsumexp


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
    values = np.sum([part.elpd_i for part in parts], axis=0)
    refits = pd.concat([part.refits.assign(node=name) for name, part in results.items()])
    return of_parts(results, values, sum(part.p for part in parts), np.sqrt(sum(part.mcse**2 for part in parts)),
                    refits, question)


def pooled(results: Mapping[str, ELPD]) -> ELPD:
    """Return the result for an equal mixture of models, from their own results, as those of several orders of nodes.

    The predictive density of a row is the mean of those of the models; the worst Pareto k stands for the row. The Monte
    Carlo error counts the draws of the models as independent and their errors as equal in all rows: what model k adds
    to it is its own error times the root mean square of its share in the density of a row. The effective number of
    parameters is the mean of those of the models.
    """
    parts = list(results.values())
    each = np.stack([part.elpd_i.to_numpy() for part in parts])
    values = logsumexp(each, axis=0) - np.log(len(parts))
    shares = (np.exp(each - logsumexp(each, axis=0)) ** 2).mean(axis=1)
    mcse = np.sqrt(sum(share * part.mcse**2 for share, part in zip(shares, parts, strict=True)))
    refits = pd.concat([part.refits.assign(order=name) for name, part in results.items()])
    return of_parts({f"order {name}": part for name, part in results.items()}, values,
                    np.mean([part.p for part in parts]), mcse, refits,
                    f"{parts[0].question} The density is the mean of those of {len(parts)} orders of the nodes.")


def of_parts(results: Mapping[str, ELPD], values: np.ndarray, p: Any, mcse: Any, refits: pd.DataFrame,
             question: str) -> ELPD:
    """Return the result with these values of the rows, with the worst Pareto k and all complaints of its parts."""
    parts = list(results.values())
    elpd_i: xr.DataArray = parts[0].elpd_i
    good = min(float(part.good_k) for part in parts)
    # A k that is good with its own part's number of draws counts as good.
    k = np.max([np.where(part.pareto_k <= part.good_k, np.minimum(part.pareto_k, good), part.pareto_k)
                for part in parts], axis=0)
    return ELPD(elpd=float(values.sum()), se=float(np.sqrt(len(values) * values.var(ddof=1))), p=float(p),
                n_samples=min(part.n_samples for part in parts), n_data_points=len(values), scale="log",
                warning=bool((k > good).any()), good_k=good, elpd_i=elpd_i.copy(data=values),
                pareto_k=elpd_i.copy(data=k).rename(parts[0].pareto_k.name), question=question,
                conditioning=parts[0].conditioning, refits=refits, mcse=float(mcse),
                complaints=tuple(f"{name}: {words}" for name, part in results.items() for words in part.complaints))
