"""Every prior with every family at the defaults: does the fit complain, what do it and its leave-one-out cost?

`pairs`: 400 rows in 40 groups with intercepts of their own, two contexts, and a slope that is a wave over one of them.
`fields`: the priors whose functions are summed out, chained along an order or neural networks, with 400 and with 5000
such rows. Seconds are processor seconds, the median over data sets; the first of them compiles what no other process
has compiled, and so does a median of one data set. `complaints` counts fits, and results of `loo`, that complain.
`refused` says why two do not fit together. A process that has not answered after its limit is stopped, and the row says
so. What has been measured stands in `every_pair_data_sets.csv`, and is not measured again.
"""

import signal
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from benchmarks.families import FAMILIES, ROWS, plain
from benchmarks.measure import Stopwatch, fresh
from benchmarks.tables import RESULTS, options, publish

FIELDS: dict[str, bp.priors.Prior] = {
    "TotalVariation": bp.TotalVariation("c"), "Mixture": bp.Mixture(3), "Repulsive": bp.Repulsive("c"),
    "DistanceRegularized": bp.DistanceRegularized("c", "d"), "Contextualized": bp.Contextualized("c", "d")}
PRIORS: dict[str, bp.priors.Prior] = FIELDS | {
    "Partition": bp.Partition("c"), "TreePartition": bp.TreePartition("c", "d"),
    "PartialPooling": bp.PartialPooling("g"), "Conditional": bp.Conditional("g"), "Invariant": bp.Invariant("h"),
    "MetaLearned": bp.MetaLearned("g"), "Transfer": bp.Transfer("g", "g0"),
    "FineTuned": bp.FineTuned("g"), "LinearVarying": bp.LinearVarying("c", "d"),
    "GaussianProcess": bp.GaussianProcess("c"), "Sparse": bp.Sparse(), "Population": bp.Population()}
LARGE, FIELD_FAMILIES = 5000, ("Normal", "Poisson")
# Processor seconds for all data sets of a pair together.
LIMIT = {ROWS: 600, LARGE: 1800}
# How a process ends that has used up its seconds.
STOPPED = (-signal.SIGXCPU, -signal.SIGKILL)
SETS = RESULTS / "every_pair_data_sets.csv"
COLUMNS = ["prior", "family", "rows", "seed", "fit, s", "loo, s", "engine", "complaint", "complaint of loo", "refits",
           "refused"]


def measured(prior: str, family: str, rows: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Fit a pair to data sets and leave their rows out."""
    warnings.simplefilter("ignore")
    model, result = bp.Model("y ~ x", PRIORS[prior], FAMILIES[family]), []
    for seed in seeds:
        frame, row = plain(family, seed, rows), {"prior": prior, "family": family, "rows": rows, "seed": seed}
        try:
            with Stopwatch() as watch:
                posterior = bp.fit(model, frame, seed=seed, progress=False)
        except SpecificationError as error:
            return [*result, row | {"refused": str(error)}]
        row |= {"fit, s": watch.cpu, "complaint": "; ".join(posterior.complaints),
                "engine": posterior.diagnostics.engine.split(":")[0].split(" of")[0]}
        try:
            with Stopwatch() as watch:
                elpd = bp.loo(posterior, seed=seed, progress=False)
        except SpecificationError as error:
            row["complaint of loo"] = f"refused: {error}"
        else:
            row |= {"loo, s": watch.cpu, "refits": len(elpd.refits),
                    "complaint of loo": "; ".join(set(elpd.complaints) - set(posterior.complaints))}
        result.append(row)
    return result


def pairs(rows: int) -> list[tuple[str, str]]:
    """Pairs that are tried with so many rows."""
    if rows == LARGE:
        return [(prior, family) for prior in FIELDS for family in FIELD_FAMILIES]
    return [(prior, family) for family in FAMILIES for prior in PRIORS]


def table(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a pair: medians, and how many complain."""
    result = []
    for (prior, family, rows), own in found.groupby(["prior", "family", "rows"], sort=False):
        text = own[["complaint", "complaint of loo", "refused"]].fillna("")
        row = {"prior": prior, "family": family, "rows": int(rows), "data sets": len(own)}
        for name in ("fit, s", "loo, s", "refits"):
            row[name] = None if own[name].isna().all() else float(own[name].median())
        words = [each for name in text for each in text[name] if each]
        result.append(row | {"engine": own["engine"].fillna("").iloc[0],
                             "complaints": int((text["complaint"] != "").sum()),
                             "of loo": int((text["complaint of loo"] != "").sum()),
                             "the first": words[0] if words else ""})
    return result


if __name__ == "__main__":
    given = options(__doc__, ("pairs", "fields"))
    found = pd.read_csv(SETS) if SETS.exists() and not given.small else pd.DataFrame(columns=COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        for part in given.parts or ("pairs", "fields"):
            size = ROWS if part == "pairs" else LARGE
            for prior, family in [("PartialPooling", "Gamma")] if given.small else pairs(size):
                own = found[(found["prior"] == prior) & (found["family"] == family) & (found["rows"] == size)]
                seeds = sorted(set(range(1, given.repetitions + 1)) - set(own["seed"]))
                if not seeds or own["refused"].notna().any():
                    continue
                try:
                    new = fresh(measured, prior, family, size, seeds, caches=Path(folder), limit=LIMIT[size])
                except subprocess.CalledProcessError as error:
                    if error.returncode not in STOPPED:
                        raise
                    new = [{"prior": prior, "family": family, "rows": size, "seed": seeds[0],
                            "refused": f"stopped after {LIMIT[size]} processor seconds"}]
                rows = pd.DataFrame(new).reindex(columns=COLUMNS)
                found = pd.concat([found, rows], ignore_index=True) if len(found) else rows
                if not given.small:
                    found.to_csv(SETS, index=False)
    publish("every_pair", __doc__, {"Every pair": table(found)}, given.small)
