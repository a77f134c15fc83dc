"""Tasks whose six coefficients differ along one line, four rows each: what MetaLearned is for."""

import numpy as np
import pandas as pd
from scipy import special, stats

import bayes_personal as bp

FORMULA = "y ~ x1 + x2 + x3 + x4 + x5"


def tasks(seed: int, count: int = 30, rows: int = 4) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit, and as many more of the same tasks to predict."""
    rng = np.random.default_rng(seed)
    line = rng.normal(size=6)
    theta = rng.normal(size=6) + rng.normal(size=(count, 1)) * 1.5 * line / np.linalg.norm(line)
    theta += 0.1 * rng.normal(size=theta.shape)
    made = []
    for _ in range(2):
        task = np.repeat(np.arange(count), rows)
        x = np.column_stack([np.ones(len(task)), rng.normal(size=(len(task), 5))])
        y = (x * theta[task]).sum(axis=1) + 0.5 * rng.normal(size=len(task))
        frame = pd.DataFrame(x[:, 1:], columns=[f"x{k}" for k in range(1, 6)])
        made.append(frame.assign(y=y, task=[f"t{j:02d}" for j in task]))
    return made[0], made[1]


def elpd(posterior: bp.Posterior, frame: pd.DataFrame) -> np.ndarray:
    """Log predictive density of rows that were not fitted, (unit,)."""
    mean = bp.predict(posterior, frame, kind="mean").draws.to_numpy().reshape(-1, len(frame))
    sigma = posterior.tree["posterior"]["sigma"].to_numpy().reshape(-1, 1)
    return special.logsumexp(stats.norm.logpdf(frame["y"].to_numpy(), mean, sigma), axis=0) - np.log(len(mean))
