"""What verbs are given is checked before anything is done, and errors say what to write."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_personal as bp
from bayes_personal.errors import BayesPersonalError, InputError, InputTypeError
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.system.arguments import seed_number

QUICK = bp.NUTS(draws=25, tune=25, chains=2)
MODEL, PRIOR = bp.Model("y ~ x"), bp.PartialPooling("g")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame({"y": rng.normal(size=12), "x": rng.normal(size=12), "g": list("abc") * 4})


@pytest.fixture(scope="module")
def posterior(frame: pd.DataFrame) -> Posterior:
    return bp.fit(MODEL, frame, seed=1, progress=False, method=QUICK)


WRONG = {
    "formula for a model": (lambda p, f: bp.fit("y ~ x", f), ["got str", "bp.Model('y ~ x', prior=...)"]),
    "swapped": (lambda p, f: bp.fit(f, MODEL), ["bp.fit(model, data)"]),
    "swapped in simulate": (lambda p, f: bp.simulate(f, MODEL), ["bp.simulate(model, data)"]),
    "prior for a model": (lambda p, f: bp.fit(PRIOR, f), ["prior=PartialPooling('g')"]),
    "posterior for a model": (lambda p, f: bp.fit(p, f), ["fitted already", "posterior.model"]),
    "array for a model": (lambda p, f: bp.fit(np.zeros(3), f), ["ndarray", "bp.Model("]),
    "list for data": (lambda p, f: bp.fit(MODEL, [1, 2]), ["frame", "list"]),
    "no such method": (lambda p, f: bp.fit(MODEL, f, method="mcmc"), ["'mcmc'", "'nuts', 'laplace', 'gibbs', 'advi'"]),
    "class for a method": (lambda p, f: bp.fit(MODEL, f, method=bp.NUTS), ["method=bp.NUTS()"]),
    "number for a method": (lambda p, f: bp.compare([bp.Population(), PRIOR], "y ~ x", f, method=3), ["method=3"]),
    "progress as text": (lambda p, f: bp.fit(MODEL, f, progress="no"), ["progress='no'", "True or False"]),
    "client as text": (lambda p, f: bp.fit(MODEL, f, client="tcp://host"), ["client='tcp://host'", "Client"]),
    "no path": (lambda p, f: p.save(None), ["path", "None"]),
    "no path to load": (lambda p, f: bp.load(None), ["path", "None"]),
    "no path of a page": (lambda p, f: bp.report(p, None), ["path", "None"]),
    "long path": (lambda p, f: bp.load("x" * 300), ["does not exist"]),
    "text for a prior": (lambda p, f: PRIOR + "h", ["'h'", "only priors add"]),
    "text before a prior": (lambda p, f: "h" + PRIOR, ["'h'", "only priors add"]),
    "replicates as text": (lambda p, f: bp.plot_predictive(p, draws="a"), ["draws='a'", "whole number"]),
    "groups as text": (lambda p, f: bp.plot_theta(p, limit="a"), ["limit='a'", "whole number"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_answered_with_what_to_write(case: str, posterior: Posterior, frame: pd.DataFrame) -> None:
    go, words = WRONG[case]
    with pytest.raises(BayesPersonalError) as caught:
        go(posterior, frame)
    for word in words:
        assert word in str(caught.value), f"no {word!r} in: {caught.value}"


CONFUSED = {
    "sd": lambda p, data: bp.Normal(sd=data),
    "group": lambda p, data: bp.PartialPooling(data),
    "scale": lambda p, data: bp.PartialPooling("g", scale=data),
    "freeze": lambda p, data: bp.FineTuned("g", freeze=data),
    "increments": lambda p, data: bp.TotalVariation("x", increments=data),
    "network": lambda p, data: bp.Contextualized("x", network=data),
    "basis": lambda p, data: bp.LinearVarying("x", basis=data),
    "kernel": lambda p, data: bp.GaussianProcess("x", kernel=data),
    "power": lambda p, data: bp.DistanceRegularized("x", power=data),
    "sum": lambda p, data: PRIOR + data,
    "formula": lambda p, data: bp.Model(data),
    "prior": lambda p, data: bp.Model("y ~ x", data),
    "functions": lambda p, data: bp.Model("y ~ x", functions=data),
    "distribution": lambda p, data: bp.Hyperprior(data),
    "parameter": lambda p, data: bp.Hyperprior("Normal", mu=data, sigma=1),
    "draws": lambda p, data: bp.NUTS(draws=data),
    "sampler": lambda p, data: bp.NUTS(sampler=data),
    "covariance": lambda p, data: bp.ADVI(covariance=data),
    "method": lambda p, data: bp.fit(MODEL, data, method=data),
    "seed": lambda p, data: bp.fit(MODEL, data, seed=data),
    "client": lambda p, data: bp.fit(MODEL, data, client=data),
    "kind": lambda p, data: bp.predict(p, kind=data),
    "kind of loo": lambda p, data: bp.loo(p, kind=data),
    "groups of loo": lambda p, data: bp.loo(p, kind="group", by=data),
    "refits of loo": lambda p, data: bp.loo(p, refit=data),
    "path": lambda p, data: p.save(data),
    "dataset": lambda p, data: bp.load_dataset(data),
}


@pytest.mark.parametrize("argument", CONFUSED)
@pytest.mark.parametrize("kind", ["frame", "column", "array"])
def test_data_in_place_of_an_argument_is_refused_in_one_short_line(argument: str, kind: str,
                                                                   posterior: Posterior) -> None:
    frame = pd.DataFrame({"y": np.arange(500.0), "x": 1.0})
    data = {"frame": frame, "column": frame["y"], "array": frame["y"].to_numpy()}[kind]
    with pytest.raises(BayesPersonalError) as caught:
        CONFUSED[argument](posterior, data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


VERBS = {
    "fit": lambda p, f, seed: bp.fit(MODEL, f, seed=seed, method=QUICK),
    "compare": lambda p, f, seed: bp.compare([bp.Population(), PRIOR], "y ~ x", f, seed=seed),
    "predict": lambda p, f, seed: bp.predict(p, seed=seed),
    "loo": lambda p, f, seed: bp.loo(p, seed=seed),
    "simulate": lambda p, f, seed: bp.simulate(MODEL, f, seed=seed),
    "plot_predictive": lambda p, f, seed: bp.plot_predictive(p, seed=seed),
    "report": lambda p, f, seed: bp.report(p, "page.html", seed=seed),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("seed", ["a", -1, 1.5, True, [1, 2], np.random.RandomState(1)], ids=lambda seed: str(seed)[:9])
def test_a_seed_that_is_none_is_refused_by_every_verb(verb: str, seed: Any, posterior: Posterior,
                                                      frame: pd.DataFrame) -> None:
    with pytest.raises((InputError, InputTypeError), match=f"^{verb}: seed="):
        VERBS[verb](posterior, frame, seed)


def test_what_numpy_takes_as_a_seed_is_one() -> None:
    assert seed_number("fit", None) is None
    assert seed_number("fit", 2**80) == 2**80 and seed_number("fit", np.int64(3)) == 3
    sequence = np.random.SeedSequence(5)
    assert seed_number("fit", sequence) == seed_number("fit", sequence) == seed_number("fit", np.random.SeedSequence(5))
    assert seed_number("fit", sequence) != seed_number("fit", sequence.spawn(1)[0])
    generator = np.random.default_rng(5)
    drawn = [seed_number("fit", generator) for _ in range(2)]
    assert drawn[0] != drawn[1] and drawn[0] == seed_number("fit", np.random.default_rng(5))


@pytest.mark.parametrize("method", [QUICK, bp.Laplace(draws=20)], ids=repr)
def test_a_seed_of_any_size_makes_a_fit_repeatable(method: bp.NUTS, frame: pd.DataFrame) -> None:
    fits = [bp.fit(MODEL, frame, seed=seed, progress=False, method=method)
            for seed in (2**70 + 1, 2**70 + 1, np.random.default_rng(7), np.random.default_rng(7))]
    drawn = [each.tree["posterior"].to_dataset() for each in fits]
    xr.testing.assert_equal(drawn[0], drawn[1])
    xr.testing.assert_equal(drawn[2], drawn[3])
    assert not drawn[0].equals(drawn[2])


def test_methods_are_named_in_lower_case(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def sample(self: object, *_: object) -> None:
        asked.append(self)
        raise InterruptedError

    for kind in (bp.NUTS, bp.Laplace, bp.ADVI, bp.Gibbs):
        monkeypatch.setattr(kind, "sample", sample)
    for name in ("nuts", "laplace", "advi", "gibbs"):
        with pytest.raises(InterruptedError):
            bp.fit(MODEL, frame, method=name, progress=False)
    assert asked == [bp.NUTS(), bp.Laplace(), bp.ADVI(), bp.Gibbs()]


def test_priors_are_summed_by_sum() -> None:
    others = bp.LinearVarying("x"), bp.Conditional("h")
    assert sum([PRIOR, *others]) == PRIOR + others[0] + others[1]


COLUMNS = {
    "none": lambda: bp.PartialPooling(None),
    "no column": lambda: bp.PartialPooling([]),
    "number": lambda: bp.Partition(3),
    "context as number": lambda: bp.GaussianProcess(3),
    "no domain": lambda: bp.Transfer(None, "a"),
    "column itself": lambda: bp.Conditional(pd.Series([1], name="a")),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_is_named_when_the_prior_is_stated(case: str) -> None:
    with pytest.raises(InputTypeError, match="a column's name must be text"):
        COLUMNS[case]()


def test_contexts_are_named_one_by_one() -> None:
    with pytest.raises(InputTypeError, match=r"of its own, as in LinearVarying\('age', 'dose'\)"):
        bp.LinearVarying(["age", "dose"])


def test_a_page_is_written_where_the_path_says(posterior: Posterior, tmp_path: Path) -> None:
    page = bp.report(posterior, tmp_path / "page.html", seed=np.random.default_rng(1)).read_text()
    assert f"Seed of the predictive check: {seed_number('report', np.random.default_rng(1))}." in page
