"""What do coefficients that vary over a map cost, and their leave-one-out, beside geographically weighted regression?

`georgia`: 159 counties of Georgia, four coefficients over x and y. `simulated`: five coefficients over two contexts.
Both at the defaults, so that rows are fewer than weights in the first and many more in the second. GWR and MGWR of
`mgwr` give estimates of the coefficients at the rows, with local standard errors and without a prediction error of rows
left out; MGWR has a bandwidth for each coefficient, as the process has a length-scale. Processor seconds, after a first
call of each; `elpd` is that of `loo`.
"""

import tempfile
import warnings
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from benchmarks.measure import Stopwatch, fresh, peak
from benchmarks.tables import options, publish

FORMULA = "percent_bachelor ~ percent_rural + percent_poverty + percent_black"
SMALL, ROWS = (400,), (400, 3000)


def simulated(rows: int, seed: int) -> pd.DataFrame:
    """Five coefficients that are smooth in two contexts, one of them constant."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, rows))
    x = rng.normal(size=(rows, 4))
    theta = np.stack([np.sin(2 * a) + b, np.cos(2 * b) * a, 0.5 * a * b + 1, np.exp(-3 * (a**2 + b**2)),
                      np.full(rows, -0.5)], axis=1)
    y = theta[:, 0] + (theta[:, 1:] * x).sum(axis=1) + 0.7 * rng.normal(size=rows)
    return pd.DataFrame({"y": y, "a": a, "b": b, **{f"x{k}": x[:, k] for k in range(4)}})


def process(model: bp.Model, frame: pd.DataFrame, seed: int) -> dict[str, Any]:
    """A fit and its leave-one-out at the defaults, after others of a few rows that compile."""
    warnings.simplefilter("ignore")
    timed = Stopwatch()
    bp.loo(bp.fit(model, frame.iloc[:120], seed=seed, progress=False), progress=False)
    before = peak()
    with timed:
        posterior = bp.fit(model, frame, seed=seed, progress=False)
    row: dict[str, Any] = {"fit, s": timed.cpu, "peak, MB": max(peak(), before)}
    with timed:
        elpd = bp.loo(posterior, progress=False)
    return row | {"loo, s": timed.cpu, "elpd": float(elpd.elpd), "refits": len(elpd.refits),
                  "complaints": len(posterior.complaints)}


def over_georgia(seed: int) -> dict[str, Any]:
    """The package on the counties of Georgia."""
    return process(bp.Model(FORMULA, bp.GaussianProcess("x", "y")), bp.load_dataset("georgia"), seed)


def over_simulated(rows: int, seed: int) -> dict[str, Any]:
    """The package on simulated rows."""
    model = bp.Model("y ~ x0 + x1 + x2 + x3", bp.GaussianProcess("a", "b"))
    return process(model, simulated(rows, seed), seed)


def weighted_regression(several: bool) -> dict[str, Any]:
    """GWR, or MGWR, of the counties of Georgia; the bandwidths are searched for, as users do."""
    from mgwr.gwr import GWR, MGWR
    from mgwr.sel_bw import Sel_BW

    warnings.simplefilter("ignore")
    data = bp.load_dataset("georgia")
    outcome, *predictors = FORMULA.replace("~", "+").replace(" ", "").split("+")
    read = data[[outcome, *predictors]]
    standardised = (read - read.mean()) / read.std()
    y, x = standardised[[outcome]].to_numpy(), standardised[predictors].to_numpy()
    coordinates = data[["x", "y"]].to_numpy()

    def fitted() -> None:
        """Search for bandwidths and fit."""
        search = Sel_BW(coordinates, y, x, multi=several)
        bandwidth = search.search(multi_bw_min=[2]) if several else search.search()
        (MGWR(coordinates, y, x, search) if several else GWR(coordinates, y, x, bandwidth)).fit()
    if not several:
        fitted()
    timed = Stopwatch()
    with timed:
        fitted()
    return {"fit, s": timed.cpu, "peak, MB": peak()}


def middle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over repetitions."""
    return {name: median(row[name] for row in rows) for name in rows[0]}


if __name__ == "__main__":
    given = options(__doc__)
    seeds = range(1, given.repetitions + 1)
    with tempfile.TemporaryDirectory() as folder:
        run = partial(fresh, caches=Path(folder))
        georgia = [{"method": "GaussianProcess(x, y)", **middle([run(over_georgia, seed) for seed in seeds])},
                   *({"method": name, **middle([run(weighted_regression, several) for _ in seeds])}
                     for name, several in (("GWR", False), ("MGWR", True)))]
        many = [{"rows": rows, **middle([run(over_simulated, rows, seed) for seed in seeds])}
                for rows in (SMALL if given.small else ROWS)]
    publish("maps", __doc__, {"Georgia": georgia, "Simulated": many}, given.small)
