"""Random use of the package: frames, models and verbs in any order, which raise only errors of the package's own."""

import contextlib
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import bayes_personal as bp
from bayes_personal.errors import BayesPersonalError

SEEDS = st.integers(0, 3)
NAMES = {"x": ["x", "mu", "dose [mg]", "mean"], "group": ["site", "sigma", "coefficient", "index"],
         "time": ["day", "unit", "tau", "sd"]}
FORMULAS = ["{y} ~ {x}", "{y} ~ 1", "{y} ~ 0 + {x}", "{y} ~ {x} + I({x}**2)", "{y} ~ log({x})", "{y} ~ {group}",
            "{y} ~ {x}:{group}", "{y} ~ C({group})*{x}", "{y} ~ {x} + {time}", "{y} ~ bs({x}, df=4)", "{y} ~ {y}",
            "log({y}) ~ {x}", "{y} - {x} ~ 1", "{y} ~ {x} + ({x}|{group})", "{y} ~ offset({x})", "{y}", "~ {x}",
            "{y} ~ open({x})", "{y} ~ scale({x})", "{y} ~ nowhere"]
GAUSSIAN = [bp.Normal(), bp.Normal(sd="error")]
EXPLICIT = [bp.StudentT(), bp.Bernoulli(), bp.Binomial("trials"), bp.Poisson(), bp.NegativeBinomial("error")]
QUICK = [bp.Laplace(draws=20), bp.NUTS(draws=20, tune=40, chains=2)]
METHODS = [*QUICK, bp.NUTS(draws=8, tune=40, chains=1, collapse=False), bp.ADVI(draws=20, max_iterations=50), "laplace"]


def quoted(name: str) -> str:
    """A column's name as formulas write it."""
    return name if name.isidentifier() else f"`{name}`"


def odd_numbers(kind: str, rows: int, rng: np.random.Generator) -> Any:
    """A numeric column that is out of the ordinary."""
    values = rng.normal(size=rows)
    return {"constant": np.full(rows, 3.0), "ties": values.round(), "huge": values * 1e12, "tiny": values * 1e-12,
            "far": values + 1e9, "whole": rng.integers(0, 9, rows), "text": [f"{value:.1f}" for value in values],
            "missing": np.where(rng.random(rows) < 0.2, np.nan, values),
            "infinite": np.where(rng.random(rows) < 0.2, np.inf, values),
            "nullable": pd.array(rng.integers(0, 5, rows), dtype="Int64"),
            "single": values.astype("float32"), "boolean": values > 0}[kind]


def odd_labels(kind: str, rows: int, rng: np.random.Generator) -> Any:
    """A column of labels that is out of the ordinary."""
    codes = rng.integers(0, 4, rows)
    return {"whole": codes, "category": pd.Categorical.from_codes(codes, [1, 2, 3, 4, 5]),
            "ordered": pd.Categorical.from_codes(codes, list("abcde"), ordered=True), "boolean": codes > 1,
            "dates": pd.Timestamp("2024-02-28") + pd.to_timedelta(codes, unit="D"), "alike": ["s1"] * rows,
            "missing": [None if code == 0 else f"s{code}" for code in codes],
            "own": [f"row {i}" for i in range(rows)]}[kind]


ODD_NUMBERS = ["constant", "ties", "huge", "tiny", "far", "whole", "text", "missing", "infinite", "nullable", "single",
               "boolean"]
ODD_LABELS = ["whole", "category", "ordered", "boolean", "dates", "alike", "missing", "own"]


@st.composite
def frames(draw: Any) -> tuple[pd.DataFrame, dict[str, str]]:
    """A frame of up to 30 rows of which one column or the index may be odd; its columns' names by their role."""
    rows, rng = draw(st.sampled_from([12, 20, 30, 30, 30, 8, 3, 2, 1, 0])), np.random.default_rng(draw(SEEDS))
    names = {role: draw(st.sampled_from([choices[0]] * 3 + choices[1:])) for role, choices in NAMES.items()}
    outcome = {"measured": rng.normal(5, 2, rows), "counted": rng.poisson(2.0, rows), "boolean": rng.random(rows) < 0.4}
    columns = {"y": outcome[draw(st.sampled_from(list(outcome)))], "x": rng.normal(size=rows),
               "group": [f"s{code}" for code in rng.integers(0, 4, rows)], "time": rng.gamma(3.0, 1.0, rows)}
    odd = draw(st.sampled_from(["none"] * 4 + [*columns, "index"]))
    if odd == "group":
        columns[odd] = odd_labels(draw(st.sampled_from(ODD_LABELS)), rows, rng)
    elif odd in columns:
        columns[odd] = odd_numbers(draw(st.sampled_from(ODD_NUMBERS)), rows, rng)
    names["y"] = draw(st.sampled_from(["y", "y", "my outcome", "µ"]))
    frame = pd.DataFrame({names[role]: values for role, values in columns.items()}
                         | {"error": rng.uniform(0.5, 2.0, rows), "trials": np.full(rows, 9)})
    if odd == "index":
        frame.index = draw(st.sampled_from([
            pd.Index(np.arange(rows)[::-1]), pd.Index(np.arange(rows) // 2), pd.date_range("2024-01-01", periods=rows),
            pd.MultiIndex.from_arrays([np.arange(rows) // 3, np.arange(rows) % 3], names=["a", "b"]),
            pd.Index(np.arange(rows), name=names["group"]), pd.Index([f"row {i}" for i in range(rows)])]))
    return frame, {role: quoted(name) for role, name in names.items()}


@st.composite
def priors(draw: Any, names: dict[str, str]) -> Any:
    """Any prior, on columns that exist or, now and then, on one that does not; or a sum of two."""
    group, time, x = (names[role].strip("`") for role in ("group", "time", "x"))
    group = draw(st.sampled_from([group] * 12 + ["nowhere", time]))
    time = draw(st.sampled_from([time] * 12 + ["nowhere", group, x]))
    target = draw(st.sampled_from(["s1", "s9", 1, np.int64(1), True]))
    every: list[Callable[[], Any]] = [
        bp.Population, lambda: bp.Conditional(group), lambda: bp.PartialPooling(group),
        lambda: bp.PartialPooling(group, on=["Intercept"]), lambda: bp.Invariant(group),
        lambda: bp.MetaLearned(group, rank=1), lambda: bp.Transfer(group, target),
        lambda: bp.FineTuned(group, freeze="plug-in"), lambda: bp.FineTuned(group),
        lambda: bp.FineTuned(group, target=target, freeze=None), lambda: bp.Mixture(2),
        lambda: bp.Mixture(2, gate=time), lambda: bp.Repulsive(time, archetypes=2), lambda: bp.LinearVarying(time),
        lambda: bp.LinearVarying(time, basis="spline"), lambda: bp.GaussianProcess(time),
        lambda: bp.DistanceRegularized(time, neighbors=2), lambda: bp.Partition(time),
        lambda: bp.TreePartition(time, group), lambda: bp.Contextualized(time, hidden=2),
        lambda: bp.TotalVariation(time), bp.Sparse, lambda: bp.Sparse(on=[x])]
    first = draw(st.sampled_from(every))()
    return first + draw(st.sampled_from(every))() if draw(st.integers(0, 5)) == 0 else first


class RandomUse(RuleBasedStateMachine):
    """A person who tries everything. `explicit` says whether models that must be compiled, which is slow, are tried."""

    explicit = True

    @initialize(made=frames())
    def start(self, made: tuple[pd.DataFrame, dict[str, str]]) -> None:
        self.frame, self.names = made
        self.model: bp.Model | None = None
        self.posterior: bp.Posterior | None = None
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def asked(self, question: Callable[[], Any]) -> Any:
        """The answer; None where the package refuses in words of its own."""
        with warnings.catch_warnings(), contextlib.suppress(BayesPersonalError):
            warnings.simplefilter("ignore", UserWarning)
            # What NumPy warns of is a fault.
            warnings.simplefilter("error", RuntimeWarning)
            return question()
        return None

    @rule(data=st.data(), formula=st.sampled_from(FORMULAS[:2] * 12 + FORMULAS))
    def state(self, data: Any, formula: str) -> None:
        families = GAUSSIAN + EXPLICIT if self.explicit else GAUSSIAN
        family = data.draw(st.sampled_from(families))
        self.model = self.asked(lambda: bp.Model(formula.format(**self.names), data.draw(priors(self.names)), family))
        assert self.model is None or "~" in repr(self.model)

    @precondition(lambda self: self.model is not None)
    @rule(data=st.data(), seed=SEEDS)
    def fit(self, data: Any, seed: int) -> None:
        method = data.draw(st.sampled_from(METHODS if self.explicit else QUICK))
        model = self.model
        self.posterior = self.asked(lambda: bp.fit(model, self.frame, seed=seed, method=method, progress=False))

    @precondition(lambda self: self.model is not None)
    @rule(seed=SEEDS)
    def simulate(self, seed: int) -> None:
        made = self.asked(lambda: bp.simulate(self.model, self.frame, seed=seed))
        assert made is None or made.frame.index.equals(self.frame.index)

    @precondition(lambda self: self.posterior is not None)
    @rule(data=st.data(), kind=st.sampled_from(["theta", "mean", "outcome"]), fresh=st.booleans(), given=st.booleans())
    def predict(self, data: Any, kind: Any, fresh: bool, given: bool) -> None:
        new = data.draw(frames())[0] if fresh else self.frame
        new = new.set_axis(list(self.frame.columns), axis=1) if fresh else new
        few = new.head(2) if given else None
        predicted = self.asked(lambda: bp.predict(self.posterior, new, kind=kind, given=few, seed=1))
        if predicted is not None:
            assert len(predicted.index) == len(new)
            self.asked(predicted.frame)

    @precondition(lambda self: self.posterior is not None)
    @rule(kind=st.sampled_from(["unit", "unit", "group", "conditional"]), refit=st.booleans())
    def loo(self, kind: Any, refit: bool) -> None:
        by = self.names["group"].strip("`") if kind == "group" else None
        left_out = self.asked(lambda: bp.loo(self.posterior, kind=kind, by=by, refit=refit, progress=False))
        assert left_out is None or "elpd" in str(left_out)

    @precondition(lambda self: self.posterior is not None)
    @rule()
    def save_and_load(self) -> None:
        path = Path(self.folder.name) / "posterior.nc"
        before = self.posterior
        assert before is not None
        if self.asked(lambda: before.save(path) or True):
            self.posterior = bp.load(path)
            assert repr(self.posterior) == repr(before)
            pd.testing.assert_frame_equal(self.posterior.theta_frame(), before.theta_frame(), check_exact=True)

    @precondition(lambda self: self.posterior is not None)
    @rule(verb=st.sampled_from(["borrowed", "changes", "invariance", "responsibilities", "log_likelihood"]))
    def ask(self, verb: str) -> None:
        self.asked(lambda: getattr(bp, verb)(self.posterior))

    @precondition(lambda self: self.posterior is not None)
    @rule()
    def report(self) -> None:
        self.asked(lambda: bp.report(self.posterior, Path(self.folder.name) / "report.html", seed=1))

    @precondition(lambda self: self.model is not None)
    @rule(data=st.data())
    def compare(self, data: Any) -> None:
        both = [self.model.prior, data.draw(priors(self.names))]
        table = self.asked(lambda: bp.compare(both, self.model.formula, self.frame, family=self.model.family,
                                              method=bp.Laplace(draws=20), seed=1, progress=False))
        assert table is None or len(table) == 2

    @invariant()
    def speaks(self) -> None:
        if getattr(self, "posterior", None) is not None:
            assert repr(self.posterior)
            theta = self.posterior.theta_frame()
            assert np.isfinite(theta.select_dtypes("number").to_numpy()).all() or self.posterior.complaints
