"""The first result: seconds from a frame to a posterior in a fresh process, and for the second one.

The sleep study, 180 rows of 18 subjects who differ in intercept and slope. `cold` starts with nothing compiled, as
after an installation; `warm` is another fresh process that finds what the first one left behind; `again` is the second
fit in that process. `importing` is apart: it ends when the rows have been read. A package that puts imports off until
they are needed pays for them in its first fit, so that the sums of both are what compares. `Bernoulli` is whether a
reaction took more than 300 ms. Wall seconds, medians.
"""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Stopwatch, fresh, medians
from benchmarks.tables import options, publish


def engine(method: str, family: str = "Normal", formula: str = "reaction ~ days") -> dict[str, float]:
    """The package."""
    with Stopwatch() as importing:
        import bayes_personal as bp
        frame = sleep()
    model = bp.Model(formula, prior=bp.PartialPooling("subject"), family=getattr(bp, family)())
    chosen = {"NUTS": bp.NUTS(), "Laplace": bp.Laplace()}[method]
    return importing_and(importing, lambda seed: bp.fit(model, frame, seed=seed, method=chosen, progress=False))


def bambi() -> dict[str, float]:
    """Bambi with its defaults, but for a sampler as quick as the others': nutpie."""
    with Stopwatch() as importing:
        import bambi
        frame = sleep()

    def fit(seed: int) -> Any:
        model = bambi.Model("reaction ~ days + (days | subject)", frame)
        return model.fit(inference_method="nutpie", random_seed=seed, chains=4, progressbar=False)

    return importing_and(importing, fit)


def plain_program() -> dict[str, float]:
    """models/partial_pooling.py as a person writes it, and nutpie."""
    with Stopwatch() as importing:
        import nutpie  # noqa: F401
        import pymc  # noqa: F401
        frame = sleep()
    import bayes_personal as bp
    from benchmarks import plain
    from benchmarks.race import sample

    bound = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject")).bind(
        frame.assign(subject=frame["subject"].astype("category")))

    def fit(seed: int) -> Any:
        return sample(plain.program("partial_pooling", bound), seed, plain.start("partial_pooling", bound))

    return importing_and(importing, fit)


def sleep() -> Any:
    """The rows, read without the package."""
    import pandas as pd

    from benchmarks.measure import ROOT
    return pd.read_csv(ROOT / "bayes_personal" / "data" / "examples" / "sleepstudy.csv", dtype={"subject": str})


def importing_and(importing: Stopwatch, fit: Any) -> dict[str, float]:
    """Seconds of importing, of the first fit and of the second."""
    with Stopwatch() as first:
        fit(1)
    with Stopwatch() as second:
        fit(2)
    return {"importing, s": importing.wall, "first, s": first.wall, "again, s": second.wall}


RIVALS = {"bayes_personal, NUTS": (engine, "NUTS"), "bayes_personal, Laplace": (engine, "Laplace"),
          "bayes_personal, Bernoulli": (engine, "Laplace", "Bernoulli", "I(reaction > 300) ~ days"),
          "plain PyMC": (plain_program,), "Bambi": (bambi,)}


def table(repetitions: int) -> list[dict[str, Any]]:
    """Cold and warm, repetition by repetition: each has a folder of its own for what compilers leave."""
    rows = []
    for name, (work, *arguments) in RIVALS.items():
        found = []
        for _ in range(repetitions):
            with tempfile.TemporaryDirectory() as folder:
                cold, warm = (fresh(work, *arguments, caches=Path(folder)) for _ in range(2))
            found.append({"importing, s": warm["importing, s"], "cold, s": cold["first, s"],
                          "warm, s": warm["first, s"], "again, s": warm["again, s"],
                          "importing and warm, s": warm["importing, s"] + warm["first, s"]})
        rows.append({"method": name, "repetitions": repetitions} | medians(found))
    return rows


if __name__ == "__main__":
    given = options(__doc__)
    publish("first_result", __doc__, {"Seconds": table(given.repetitions)}, given.small)
