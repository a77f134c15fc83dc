"""Random slopes of many groups: the package, the plain program, Bambi, statsmodels and GPBoost.

An intercept and two slopes of their own for each of 1000 groups. Columns as in `smooth`; theta is that of 25 fixed
rows' groups. Bambi, statsmodels and GPBoost are given the same rows. Bambi and GPBoost know no correlation between
the effects of a group: theirs is a smaller model. statsmodels and GPBoost maximise the restricted and the plain
likelihood, and their time is that of the estimates alone, with each group's own effects but without uncertainty:
`distance of theta` is the root mean square difference of their theta from the posterior means by NUTS, in posterior
standard deviations. Their theta, like that of a shrunken estimate by any route, should be well within one.
"""

import warnings
from typing import Any

import bambi
import gpboost
import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

import bayes_personal as bp
from benchmarks.agreement import Sampled
from benchmarks.measure import Stopwatch, fresh, medians, peak
from benchmarks.race import Measured, divergences, race, row, sample
from benchmarks.simulated import CASES, units
from benchmarks.tables import options, publish

# Rows, and how often what samples every group's effects is fitted at most.
SIZES, SMALL = [(10_000, 3), (1_000_000, 0)], [(300, 1)]
NAMES = ("Intercept", "x1", "x2")


def bambi_program(rows: int, seed: int) -> Measured:
    """Fit with Bambi's default priors, by nutpie as the plain program is."""
    frame = CASES["groups"].frame(rows)
    model = bambi.Model("y ~ x1 + x2 + (1 + x1 + x2 | g)", frame)
    model.build()
    compiled, watch, tree = sample(model.backend.model, seed, {})
    memory, draws = peak(), tree["posterior"].to_dataset()
    effects = ("1|g", "x1|g", "x2|g")
    scales = [draws[f"{effect}_sigma"].to_numpy() for effect in effects]
    some = units(frame)
    own = np.stack([draws[effect].sel(g__factor_dim=some["g"].astype(str).to_list()).to_numpy() for effect in effects],
                   axis=-1)
    common = np.stack([draws[name].to_numpy() for name in NAMES], axis=-1)
    # Within Bambi's program the predictors are centred.
    common[..., 0] -= common[..., 1:] @ frame[["x1", "x2"]].mean().to_numpy()
    theta = common[:, :, None, :] + own
    sampled = Sampled(np.stack([*scales, draws["sigma"].to_numpy()], axis=-1), theta.reshape(*theta.shape[:2], -1))
    return row(watch, compiled, memory, sampled, divergences(tree)), sampled


def mixed_lm(frame: pd.DataFrame, some: pd.DataFrame) -> np.ndarray:
    """theta at some rows by statsmodels, (unit, coefficient)."""
    found: Any = smf.mixedlm("y ~ x1 + x2", frame, groups="g", re_formula="~ x1 + x2").fit()
    own = np.array([found.random_effects[label].to_numpy() for label in some["g"]])
    return found.fe_params[list(NAMES)].to_numpy() + own


def gp_boost(frame: pd.DataFrame, some: pd.DataFrame) -> np.ndarray:
    """theta at some rows by GPBoost, (unit, coefficient)."""
    x = frame[["x1", "x2"]].to_numpy()
    model = gpboost.GPModel(group_data=frame["g"].to_numpy(str), group_rand_coef_data=x,
                            ind_effect_group_rand_coef=[1, 1], likelihood="gaussian")
    model.fit(frame["y"].to_numpy(), np.column_stack([np.ones(len(frame)), x]))
    own = np.asarray(model.predict_training_data_random_effects())
    return np.ravel(model.get_coef())[:3] + own[frame.index.get_indexer(some.index)]


ESTIMATORS = {"statsmodels": mixed_lm, "GPBoost": gp_boost}


def estimates(rows: int, name: str) -> tuple[dict[str, float], np.ndarray]:
    """What the estimates cost, and theta at the fixed rows."""
    warnings.simplefilter("ignore")
    frame = CASES["groups"].frame(rows)
    with Stopwatch() as watch:
        theta = ESTIMATORS[name](frame, units(frame))
    return {"wall, s": watch.wall, "CPU, s": watch.cpu, "peak, MB": peak()}, theta


def posterior_of_theta(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of theta at the fixed rows by the package, (unit, coefficient)."""
    case = CASES["groups"]
    frame = case.frame(rows)
    posterior = bp.fit(case.model, frame, seed=1, progress=False)
    draws = bp.predict(posterior, units(frame), kind="theta").draws.to_numpy()
    return draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))


def estimated(sizes: list[tuple[int, int]], repetitions: int) -> list[dict[str, Any]]:
    """The table of those that only estimate."""
    table = []
    for rows, _ in sizes:
        mean, sd = fresh(posterior_of_theta, rows)
        for name in ESTIMATORS:
            found = [fresh(estimates, rows, name) for _ in range(repetitions)]
            distance = np.sqrt(np.mean(((found[0][1] - mean) / sd) ** 2))
            table.append({"method": name, "rows": rows, "repetitions": repetitions,
                          **medians([cost for cost, _ in found]), "distance of theta": float(distance)})
    return table


if __name__ == "__main__":
    given = options(__doc__)
    sizes = SMALL if given.small else SIZES
    tables = race("groups", sizes, given.repetitions, {"Bambi": bambi_program})
    publish("groups", __doc__, tables | {"Estimates": estimated(sizes, given.repetitions)}, given.small)
