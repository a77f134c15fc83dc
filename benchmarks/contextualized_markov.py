"""One fit of contextualized-ml's Markov networks in an environment of its own, without the package and the benchmarks.

`python contextualized_markov.py ROWS.npz ANSWER.npz BOOTSTRAPS` reads x, c and new contexts, and writes the precision
matrices there, (context, node, node).
"""

import logging
import sys
import warnings

import numpy as np
import torch
from contextualized.easy import ContextualizedMarkovNetworks

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.manual_seed(1)
    with np.load(sys.argv[1]) as rows:
        x, c, new = (rows[name].astype(np.float32) for name in ("x", "c", "new"))
    model = ContextualizedMarkovNetworks(n_bootstraps=int(sys.argv[3]))
    model.fit(c, x, max_epochs=200)
    np.savez(sys.argv[2], precision=model.predict_precisions(new, individual_preds=False))
