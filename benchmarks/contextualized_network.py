"""One fit of contextualized-ml in an environment of its own, which has neither the package nor the other benchmarks.

`python contextualized_network.py ROWS.npz ANSWER.npz BOOTSTRAPS` reads y, x, c and new contexts, and writes theta
there, (row, coefficient) with the intercept first, with the seconds of the fit.
"""

import logging
import sys
import time
import warnings

import numpy as np
import torch
from contextualized.easy import ContextualizedRegressor

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.manual_seed(1)
    with np.load(sys.argv[1]) as rows:
        y, x, c, new = (rows[name].astype(np.float32) for name in ("y", "x", "c", "new"))
    wall, cpu = time.perf_counter(), time.process_time()
    model = ContextualizedRegressor(n_bootstraps=int(sys.argv[3]))
    model.fit(c, x, y[:, None], max_epochs=200)
    seconds = np.array([time.perf_counter() - wall, time.process_time() - cpu])
    slopes, intercepts = model.predict_params(new)
    theta = np.concatenate([intercepts.reshape(len(new), 1), slopes.reshape(len(new), -1)], axis=1)
    np.savez(sys.argv[2], theta=theta, seconds=seconds)
