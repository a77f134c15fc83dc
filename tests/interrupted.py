"""A process that interrupts itself: each case is called once to the end, and then with SIGINT at several moments.

Prints a line a case: what every call after a signal ended in.
"""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
from dask import distributed

import bayes_personal as bp

MOMENTS = 5


def cases() -> dict[str, Callable[[], object]]:
    """Every verb that takes time, by every method."""
    sleep, here = bp.load_dataset("sleepstudy"), Path(mkdtemp())
    rng = np.random.default_rng(0)
    counts = pd.DataFrame({"k": rng.poisson(3, 120), "x": rng.normal(size=120), "g": np.arange(120) % 6 + 0.5})
    normal = bp.Model("reaction ~ days", bp.PartialPooling("subject"))
    tuned = bp.Model("reaction ~ days", bp.FineTuned("subject", target=sleep["subject"].iloc[0]))
    poisson = bp.Model("k ~ x", bp.PartialPooling("g"), bp.Poisson())

    def fitted(model: bp.Model, data: pd.DataFrame, method: object) -> Callable[[], object]:
        return lambda: bp.fit(model, data, seed=1, method=method, progress=False)

    nuts = fitted(normal, sleep, bp.NUTS(draws=200))
    found: list[bp.Posterior] = []

    def posterior() -> bp.Posterior:
        if not found:
            found.append(nuts())
        return found[0]

    def on_a_cluster() -> bp.Posterior:
        """Workers read the rows, and the sums that they make are gathered."""
        sleep.to_parquet(here / "rows.parquet")
        with (distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
              distributed.Client(cluster) as client):
            return bp.fit(normal, here / "rows.parquet", seed=1, client=client, progress=False)

    priors = [bp.Population(), bp.PartialPooling("subject")]
    return {
        "nuts": nuts,
        "laplace": fitted(normal, sleep, bp.Laplace()),
        "cut": fitted(tuned, sleep, bp.Laplace()),
        "predict": lambda: bp.predict(posterior(), sleep.assign(days=12)).frame(),
        "loo": lambda: bp.loo(posterior(), progress=False),
        "group": lambda: bp.loo(posterior(), kind="group", by="subject", progress=False),
        "refit": lambda: bp.loo(posterior(), refit=bp.NUTS(draws=50), progress=False),
        "compare": lambda: bp.compare(priors, "reaction ~ days", sleep, seed=1, method=bp.NUTS(draws=100),
                                      progress=False),
        "report": lambda: bp.report(posterior(), here / "page.html", seed=1),
        "simulate": lambda: bp.simulate(normal, sleep, seed=1),
        "program": fitted(poisson, counts, bp.NUTS(draws=300, tune=300, chains=2)),
        "pymc": fitted(poisson, counts, bp.NUTS(draws=300, tune=300, chains=2, sampler="pymc")),
        "advi": fitted(poisson, counts, bp.ADVI(max_iterations=2000)),
        "cluster": on_a_cluster,
        "quadrature": lambda: bp.loo(fitted(poisson, counts, bp.NUTS(draws=100, tune=200, chains=2))(),
                                     progress=False),
    }


def interrupted(case: Callable[[], object], after: float) -> str:
    """What a call ends in that receives SIGINT after so many seconds; empty where it is done before."""
    sent = threading.Event()

    def send() -> None:
        sent.set()
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, send)
    timer.start()
    try:
        case()
        end = "returned"
        timer.cancel()
        # Sent while the call was returning, it arrives here.
        timer.join()
        time.sleep(0.05)
    except KeyboardInterrupt:
        end = "KeyboardInterrupt" if sent.is_set() else "KeyboardInterrupt out of the blue"
    except BaseException as error:
        end = repr(error)
    finally:
        timer.cancel()
    return end if sent.is_set() else ""


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    every = cases()
    for name in sys.argv[1:]:
        every[name]()
        start = time.perf_counter()
        every[name]()
        whole, ends = time.perf_counter() - start, []
        for moment in range(MOMENTS):
            after = whole * (moment + 0.5) / MOMENTS
            while not (end := interrupted(every[name], after)):
                after /= 2
            ends.append(end)
        print(name, *ends, sep="\t", flush=True)
