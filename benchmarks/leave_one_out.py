"""Leave-one-out of rough data: which estimate is what refitting without each row says?

80 rows, three coefficients that are rough functions of a context, so that theta_i leans on its own row: leverage is the
share of an observation in its own fitted value, given the posterior means of the hyperparameters. In half of the data
sets two rows are grossly wrong, and leaving them out moves the hyperparameters themselves. `refitting` fits the other
79 rows 80 times, by importance sampling and dense algebra, and is the reference: its Monte Carlo error is that of the
sum over rows, its least ESS that of p(y_i | y_-i, phi) over the draws of a refit. `conditional` smooths the weights 1 /
p(y_i | theta_i), `integrated` those of 1 / p(y_i | y_-i, phi), theta_i integrated out, and `bp.loo` also refits by
itself the rows whose Pareto k is too high, as it does by default; all three have the same 16 000 draws, for with 4000
the elpd differs by up to 0.1 between seeds. Errors are in elpd, `largest` that of a single row; `time` is in processor
seconds, that of the fit apart.
"""

import warnings
from types import ModuleType
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning
from benchmarks.measure import Stopwatch, fresh, from_tests
from benchmarks.tables import options, publish

ROWS, SEEDS, WRONG = 80, 10, (0, 2)
# Of a refit, beyond which it is done again with four times as many draws.
LARGEST_ERROR = 0.05
ESTIMATES: dict[str, dict[str, Any]] = {"conditional": {"kind": "conditional"}, "integrated": {"refit": False},
                                       "bp.loo": {}}
MODEL = bp.Model("y ~ x1 + x2", bp.GaussianProcess("c", lengthscale=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.4)))


def rough(seed: int, wrong: int) -> pd.DataFrame:
    """Three coefficients that turn with nearly every row's context; `wrong` rows are off by nine errors."""
    rng = np.random.default_rng(seed)
    c, x1, x2, e = rng.uniform(0, 10, ROWS), *rng.normal(size=(3, ROWS))
    y = np.sin(4 * c) + np.sin(3 * c + 1) * x1 + np.cos(5 * c) * x2 + 0.3 * e
    y[:wrong] += 2.8 * np.sign(e[:wrong])
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "c": c})


def refits(dense: ModuleType, posterior: bp.Posterior, rows: range) -> np.ndarray:
    """log p(y_i | y_-i) of every row, its Monte Carlo error and the effective sample size behind it, (row, 3)."""
    found = []
    for row in rows:
        result = refitted(dense, posterior.bound, row, bp.Laplace(draws=2000, proposals=8192))
        if result[1] > LARGEST_ERROR:
            result = refitted(dense, posterior.bound, row, bp.Laplace(draws=8000, proposals=16_384))
        found.append(result)
    return np.array(found)


def refitted(dense: ModuleType, bound: Any, row: int, method: bp.Laplace) -> tuple[float, float, float]:
    """The same for one row."""
    offset = bound.coefficients.predictors(bound.x, bound.everywhere) @ bound.mean.arguments["mu"]
    tree = method.sample(dense.without(bound, row), row, False)
    draws = {str(name): value.to_numpy() for name, value in tree["posterior"].data_vars.items()}

    def density(chain: int, draw: int) -> float:
        values = {name: value[chain, draw] for name, value in draws.items()}
        return np.exp(dense.left_out(bound, values, offset, covariance(dense, bound, values), row))

    chains, count = draws["sigma"].shape
    found = np.array([[density(chain, draw) for draw in range(count)] for chain in range(chains)])
    relative = az.convert_to_dataset({"v": found / found.mean()})
    kish = float(tree["importance"].attrs["ess"]) if "importance" in tree else np.inf
    error = np.hypot(float(az.mcse(relative)["v"]), float(relative["v"].std()) / np.sqrt(kish))
    return float(np.log(found.mean())), float(error), min(float(az.ess(relative, method="mean")["v"]), kish)


def covariance(dense: ModuleType, bound: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    """Of eta given the hyperparameters."""
    return sum(dense.prior_of_eta(bound, term, values) for term in (None, *bound.terms))


def leverages(dense: ModuleType, posterior: bp.Posterior) -> np.ndarray:
    """Share of y_i in its own fitted value, at the posterior means of the hyperparameters, (row,)."""
    bound, draws = posterior.bound, posterior.tree["posterior"].to_dataset().mean(("chain", "draw"))
    eta = covariance(dense, bound, {str(name): value.to_numpy() for name, value in draws.data_vars.items()})
    return np.diag(np.linalg.solve(eta + np.eye(len(eta)) * float(draws["sigma"]) ** 2, eta))


def one_set(seed: int, wrong: int, stride: int) -> dict[str, Any]:
    """The three estimates and the reference on one data set, over one in `stride` rows."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", UserWarning)
    # Refits that the tests hold leave-one-out to, without the engine's algebra.
    dense = from_tests("leave_one_out")
    posterior = bp.fit(MODEL, rough(seed, wrong), seed=seed, method=bp.NUTS(draws=4000), progress=False)
    found, seconds = {}, {}
    for name, asked in ESTIMATES.items():
        with Stopwatch() as watch:
            found[name] = bp.loo(posterior, progress=False, **asked)
        seconds[f"{name}: time, s"] = watch.cpu
    with Stopwatch() as watch:
        truth = refits(dense, posterior, range(0, ROWS, stride))
    leverage = leverages(dense, posterior)
    result: dict[str, Any] = {
        "seed": seed, "wrong rows": wrong, "complaints about the fit": len(posterior.complaints),
        "mean leverage": leverage.mean(), "largest leverage": leverage.max(),
        "refitting: elpd": truth[:, 0].sum(), "its Monte Carlo error": float(np.sqrt((truth[:, 1] ** 2).sum())),
        "its largest error of a row": truth[:, 1].max(), "its least ESS": truth[:, 2].min()}
    for name, one in found.items():
        away = one.elpd_i.to_numpy()[::stride] - truth[:, 0]
        result |= {f"{name}: error": away.sum(), f"{name}: largest": np.abs(away).max(),
                   f"{name}: high k": int((one.pareto_k > one.good_k).sum())}
    return result | {"bp.loo: refits": len(found["bp.loo"].refits), **seconds, "refitting: time, s": watch.cpu}


def summary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Root mean square and largest errors over the data sets of each kind."""
    kinds = {wrong: rows for wrong in WRONG if (rows := [row for row in found if row["wrong rows"] == wrong])}
    return [{"wrong rows": wrong, "estimate": name,
             "rms error of elpd": float(np.sqrt(np.mean([row[f"{name}: error"] ** 2 for row in rows]))),
             "largest error of elpd": float(max(abs(row[f"{name}: error"]) for row in rows)),
             "largest error of a row": float(max(row[f"{name}: largest"] for row in rows)),
             "rows with high k": sum(row[f"{name}: high k"] for row in rows),
             "refits": sum(row["bp.loo: refits"] for row in rows) if name == "bp.loo" else 0}
            for wrong, rows in kinds.items() for name in ESTIMATES]


if __name__ == "__main__":
    given = options(__doc__, repetitions=SEEDS)
    stride = 20 if given.small else 1
    found: list[dict[str, Any]] = []
    for wrong in WRONG:
        for seed in range(given.repetitions):
            found.append(fresh(one_set, seed, wrong, stride))
            # A data set takes minutes: what is known is kept.
            publish("leave_one_out", __doc__, {"Over all sets": summary(found), "Set by set": found}, given.small)
