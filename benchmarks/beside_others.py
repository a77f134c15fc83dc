"""Beside others: what the verbs cost on a machine that other processes keep busy.

The sleep study, 180 rows of 18 subjects who differ in intercept and slope; a verb a row, in a process in which each has
run once before. CPU seconds of that process with the threads that BLAS takes by itself, and with one by the
environment, alone and beside as many busy processes as there are cores. Threads that wait for each other spin: that
shows in the first pair of columns, and where verbs limit BLAS themselves `ratio` is 1. Medians.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import ONE_THREAD, Stopwatch, fresh, medians, neighbours
from benchmarks.tables import options, publish


def verbs() -> dict[str, float]:
    """CPU seconds of every verb, the second time."""
    import bayes_personal as bp

    sleep, formula = bp.load_dataset("sleepstudy"), "reaction ~ days"
    model = bp.Model(formula, bp.PartialPooling("subject"))
    priors = [bp.Population(), bp.PartialPooling("subject"), bp.Conditional("subject")]
    posterior = bp.fit(model, sleep, seed=1, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], Any]] = {
            "fit": lambda: bp.fit(model, sleep, seed=1, progress=False),
            "predict": lambda: bp.predict(posterior, sleep.assign(days=12)).frame(),
            "loo": lambda: bp.loo(posterior, progress=False),
            "compare": lambda: bp.compare(priors, formula, sleep, seed=1, progress=False),
            "report": lambda: bp.report(posterior, Path(folder, "sleep.html"), seed=1)}
        result = {}
        for name, call in calls.items():
            call()
            with Stopwatch() as watch:
                call()
            result[name] = watch.cpu
    return result | {"all": sum(result.values())}


def table(repetitions: int) -> list[dict[str, Any]]:
    """A row a verb."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for where, count in (("alone", 0), ("beside others", os.cpu_count() or 2)):
            for name, threads in (("", {}), (", one thread", ONE_THREAD)):
                with neighbours(count):
                    found[f"{where}{name}, CPU s"] = medians(
                        [fresh(verbs, caches=Path(folder), threads=threads) for _ in range(repetitions)])
    return [{"verb": verb} | {name: each[verb] for name, each in found.items()}
            | {"ratio": found["beside others, CPU s"][verb] / found["beside others, one thread, CPU s"][verb]}
            for verb in found["alone, CPU s"]]


if __name__ == "__main__":
    given = options(__doc__)
    publish("beside_others", __doc__, {"CPU seconds": table(given.repetitions)}, given.small)
