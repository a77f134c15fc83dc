"""Comparison of sharing assumptions: the ranking, the words, and what does not compare."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from calibration import elpd_error, unsampled

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError
from bayes_personal.families import NegativeBinomial, Poisson
from bayes_personal.leaving_out.comparison import table, verdict
from bayes_personal.leaving_out.elpd import doubtful
from bayes_personal.leaving_out.question import LeaveOutPlan
from bayes_personal.leaving_out.stacking import stacked
from bayes_personal.posterior.posterior import Posterior

METHOD = bp.Laplace(draws=1000)
PRIORS = [bp.Population(), bp.Conditional("subject"), bp.PartialPooling("subject")]
pytestmark = pytest.mark.filterwarnings("ignore:loo. Pareto k")
COLUMNS = ["elpd", "se", "difference", "difference_se", "p_loo", "weight", "high_k", "conditioning",
           "complaints", "verdict"]


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return bp.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def found(sleep: pd.DataFrame) -> pd.DataFrame:
    return bp.compare(PRIORS, "reaction ~ days", sleep, method=METHOD, seed=1, progress=False)


@pytest.fixture(scope="module")
def cheap(sleep: pd.DataFrame) -> dict[str, Posterior]:
    fitted = {name: bp.fit(bp.Model("reaction ~ days", prior), sleep, seed=2, method=METHOD, progress=False)
              for name, prior in (("one for all", bp.Population()), ("each its own", bp.Conditional("subject")))}
    assert not any(posterior.complaints for posterior in fitted.values())
    return fitted


def test_sleepstudy_is_ranked(found: pd.DataFrame) -> None:
    assert list(found.columns) == COLUMNS
    assert list(found.index) == ["PartialPooling('subject')", "Conditional('subject')", "Population()"]
    assert found["verdict"].iloc[0].startswith("best") and found["verdict"].iloc[2].startswith("worse")
    assert found["elpd"].is_monotonic_decreasing and found["difference"].iloc[0] == 0
    np.testing.assert_allclose(found["difference"].abs(), found["elpd"].iloc[0] - found["elpd"], atol=1e-8)
    # Subjects differ beyond doubt; whether they are pooled hardly matters with ten days of each.
    assert abs(found["difference"].iloc[2]) > 50 and abs(found["difference"].iloc[1]) < 4
    assert found["verdict"].iloc[1].startswith("no evidence")
    assert found["weight"].sum() == pytest.approx(1, abs=1e-6) and (found["weight"] >= -1e-9).all()
    assert (found["conditioning"] == "unit").all() and (found["complaints"] == "").all()


def test_posteriors_models_and_priors_give_the_same(sleep: pd.DataFrame, cheap: dict[str, Posterior]) -> None:
    fitted = bp.compare(cheap, progress=False)
    models = {name: each.model for name, each in cheap.items()}
    priors = {name: each.model.prior for name, each in cheap.items()}
    for again in (bp.compare(models, data=sleep, method=METHOD, seed=1, progress=False),
                  bp.compare(priors, "reaction ~ days", sleep, method=METHOD, seed=1, progress=False)):
        assert list(again.index) == list(fitted.index) == ["each its own", "one for all"]
        assert again["weight"].is_monotonic_decreasing and fitted["weight"].iloc[0] > 0.5
        for name, posterior in cheap.items():
            difference = again.loc[name, "elpd"] - fitted.loc[name, "elpd"]
            assert abs(difference) < 4 * np.sqrt(2) * elpd_error(posterior), (name, difference)
    loo = bp.loo(cheap["one for all"], progress=False)
    assert fitted.loc["one for all", "elpd"] == pytest.approx(loo.elpd, abs=1e-9)
    assert fitted.loc["one for all", "se"] == pytest.approx(loo.se, abs=1e-9)
    difference = bp.loo(cheap["each its own"], progress=False).elpd_i.to_numpy() - loo.elpd_i.to_numpy()
    assert fitted.loc["one for all", "difference_se"] == pytest.approx(
        np.sqrt(len(difference)) * difference.std(), rel=1e-6)


def test_the_question_is_passed_on(cheap: dict[str, Posterior]) -> None:
    found = bp.compare(cheap, kind="conditional", progress=False)
    assert (found["conditioning"] == "conditional").all()
    expected = bp.loo(cheap["each its own"], kind="conditional", progress=False).elpd
    assert found.loc["each its own", "elpd"] == pytest.approx(expected, abs=1e-9)


def test_some_rows_rank_and_weigh(sleep: pd.DataFrame, cheap: dict[str, Posterior]) -> None:
    whole = {name: bp.loo(each, progress=False) for name, each in cheap.items()}
    gain = whole["each its own"].elpd_i.to_numpy() - whole["one for all"].elpd_i.to_numpy()
    mean = pd.Series(gain).groupby(sleep["subject"]).transform("mean").to_numpy()
    # Subjects who are as the average: it predicts them better, though few of all rows.
    rows = mean < 0
    assert 2 < rows.sum() < 90 and gain.sum() > 0
    asked = {name: bp.loo(each, rows=rows, progress=False) for name, each in cheap.items()}
    for name, each in asked.items():
        np.testing.assert_array_equal(each.elpd_i, whole[name].elpd_i[rows])
        np.testing.assert_array_equal(each.elpd_i["unit"], whole[name].elpd_i["unit"][rows])
        np.testing.assert_array_equal(each.pareto_k, whole[name].pareto_k[rows])
        assert each.n_data_points == rows.sum() and each.elpd == pytest.approx(float(each.elpd_i.sum()))
        others = bp.loo(cheap[name], rows=pd.Series(~rows, dtype="boolean"), progress=False)
        assert each.p + others.p == pytest.approx(whole[name].p) and len(each.refits) <= rows.sum()
    found = bp.compare(cheap, rows=rows, progress=False)
    assert list(found.index) == ["one for all", "each its own"]
    for name, each in asked.items():
        assert found.loc[name, "elpd"] == pytest.approx(each.elpd) and found.loc[name, "se"] == pytest.approx(each.se)
    weight = stacked(np.stack([each.elpd_i.to_numpy() for each in asked.values()], axis=1))
    assert found.loc[list(asked), "weight"].to_numpy() == pytest.approx(weight)
    assert found["weight"].iloc[0] > 2 * bp.compare(cheap, progress=False).loc["one for all", "weight"]


@pytest.mark.parametrize(("rows", "words"), [
    (np.ones(179, bool), r"shape \(179,\) and the type bool; need True or False for each of the 180"),
    (np.ones(180), "type float64"),
    (["308"] * 180, "type <U3"),
    (pd.Series([True, None, *[False] * 178], dtype="boolean"), "type object"),
    (pd.Series(True, index=np.arange(180)[::-1]), "index of rows is not that of the training rows"),
    (np.arange(180) == 4, "chooses 1 of 180 rows; need two"),
])
def test_rows_that_choose_none(cheap: dict[str, Posterior], rows: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        bp.compare(cheap, rows=rows, progress=False)


def test_rows_of_groups_are_refused(sleep: pd.DataFrame, cheap: dict[str, Posterior]) -> None:
    with pytest.raises(SpecificationError, match="drop one of them"):
        bp.loo(cheap["one for all"], kind="group", by="subject", rows=sleep["subject"] == "308", progress=False)


def test_new_groups_and_rows_in_files(sleep: pd.DataFrame, tmp_path: Path) -> None:
    sleep.to_parquet(tmp_path / "sleep.parquet", index=False)
    priors, options = [bp.Population(), bp.PartialPooling("subject")], {
        "method": bp.Laplace(), "seed": 1, "progress": False, "kind": "group", "by": "subject"}
    found = bp.compare(priors, "reaction ~ days", tmp_path / "sleep.parquet", **options)
    again = bp.compare(priors, "reaction ~ days", sleep, **options)
    assert found.index[0] == "PartialPooling('subject')" and set(found["conditioning"]) == {"group"}
    np.testing.assert_allclose(found[["elpd", "se", "p_loo"]], again[["elpd", "se", "p_loo"]], rtol=1e-6)


@pytest.mark.parametrize(("difference", "error", "high", "words"), [
    (3.9, 0.1, 0, "no evidence of a difference"),
    (19.0, 10.0, 0, "no evidence of a difference"),
    (4.1, 2.0, 0, "worse"),
    (-4.1, 2.0, 0, "worse"),
    (21.0, 10.0, 0, "worse"),
    (21.0, 10.0, 2, "worse; 2 Pareto k too high"),
    (1.0, 1.0, 3, "no evidence of a difference; 3 Pareto k too high"),
])
def test_verdict(difference: float, error: float, high: int, words: str) -> None:
    said = verdict({"elpd_diff": difference, "dse": error}, False, high)
    assert said == words if not high else said.startswith(words)


def test_high_pareto_k_are_counted(cheap: dict[str, Posterior]) -> None:
    results = {name: bp.loo(each, progress=False) for name, each in cheap.items()}
    results["one for all"].pareto_k[[3, 50, 51]] = 0.9
    results["each its own"].pareto_k[:] = 0.1
    found = table(results)
    assert found.loc["one for all", "high_k"] == 3 and found.loc["each its own", "high_k"] == 0
    assert "3 Pareto k" in found.loc["one for all", "verdict"] and "Pareto" not in found.loc["each its own", "verdict"]


def doubted(posterior: Posterior) -> Posterior:
    """The same draws, of a sampler that says that it diverged."""
    tree = xr.DataTree.from_dict({
        "posterior": posterior.tree["posterior"].to_dataset(),
        "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), np.ones((1, 1000), bool))})})
    return Posterior(posterior.model, posterior.bound, tree)


def test_a_posterior_that_must_not_be_trusted_is_not_best(cheap: dict[str, Posterior]) -> None:
    sure = bp.compare(cheap, progress=False)
    assert sure.index[0] == "each its own" and sure["verdict"].iloc[0] == "best"
    with pytest.warns(ConvergenceWarning, match="1 of 2 assumptions must not be trusted, the first 'each its own': "
                                                "1000 divergences"):
        found = bp.compare({**cheap, "each its own": doubted(cheap["each its own"])}, progress=False)
    assert list(found.index) == ["one for all", "each its own"]
    assert found["verdict"].iloc[0] == "best" and found["verdict"].iloc[1].startswith("DO NOT TRUST: 1000 divergences")
    assert found["complaints"].iloc[0] == "" and found["complaints"].iloc[1].startswith("1000 divergences")
    # What is said of the other rests on nothing that is doubted; the elpd and its difference are still there.
    assert found["weight"].iloc[0] == 1 and np.isnan(found["weight"].iloc[1])
    # The doubted copy does not know the evidence that refits use.
    error = 4 * bp.loo(cheap["each its own"], progress=False).mcse
    assert found.loc["each its own", "elpd"] == pytest.approx(sure.loc["each its own", "elpd"], abs=error)
    assert found["difference"].iloc[0] == 0 and abs(found["difference"].iloc[1]) == pytest.approx(
        abs(sure["difference"].iloc[1]), abs=error)
    assert len(bp.plot_comparison(found).axes) == 1
    with pytest.warns(ConvergenceWarning, match="2 of 2 assumptions"):
        none = bp.compare({name: doubted(each) for name, each in cheap.items()}, progress=False)
    assert none["verdict"].str.startswith("DO NOT TRUST").all() and none["weight"].isna().all()
    assert list(none.index) == list(sure.index)


def test_refits_that_must_not_be_trusted_count_as_much(cheap: dict[str, Posterior]) -> None:
    results = {name: bp.loo(each, progress=False) for name, each in cheap.items()}
    refits = pd.DataFrame([(0.9, -3.0, -4.0, 0.2, 30.0, "R-hat is 1.2")], index=[3], columns=[
        "pareto_k", "elpd_before", "elpd", "se", "ess", "complaints"])
    doubts = list(doubtful(results["one for all"].elpd_i.to_numpy(), np.zeros(180), pd.RangeIndex(180), refits,
                           LeaveOutPlan.of(cheap["one for all"], "unit", None, True)))
    assert len(doubts) == 2 and "rest on few effective draws" in doubts[0] and "R-hat is 1.2" in doubts[1]
    results["each its own"] = replace(results["each its own"], complaints=tuple(doubts))
    found = table(results)
    assert found.index[0] == "one for all" and found["verdict"].iloc[1].startswith("DO NOT TRUST: 1 of 1 refits")


def test_elpd_that_is_not_finite_is_a_complaint(cheap: dict[str, Posterior]) -> None:
    elpd = np.append(np.zeros(178), [np.nan, -np.inf])
    none = pd.DataFrame({"se": [], "ess": [], "complaints": []})
    (words,) = doubtful(elpd, np.zeros(180), pd.RangeIndex(180), none,
                        LeaveOutPlan.of(cheap["one for all"], "unit", None, True))
    assert words == "2 of 180 rows (178, 179) have an elpd that is not finite"


def test_fitted_posteriors_stand_beside_priors(sleep: pd.DataFrame, cheap: dict[str, Posterior]) -> None:
    found = bp.compare([cheap["each its own"], bp.Population()], "reaction ~ days", sleep, seed=2, method=METHOD,
                       progress=False)
    again = bp.compare([cheap["each its own"], cheap["one for all"]], progress=False)
    pd.testing.assert_frame_equal(found, again)
    with pytest.raises(SpecificationError, match=r"'Population\(\)' was fitted to another outcome"):
        bp.compare([cheap["each its own"], bp.Population()], "days ~ reaction", sleep, method=METHOD, progress=False)


def test_other_outcomes_are_refused(sleep: pd.DataFrame, cheap: dict[str, Posterior]) -> None:
    seconds = sleep.assign(reaction=sleep["reaction"] / 1000)
    other = bp.fit(cheap["one for all"].model, seconds, seed=1, method=bp.NUTS(draws=20, tune=20, chains=2),
                   progress=False)
    with pytest.raises(SpecificationError, match="'seconds' was fitted to another outcome"):
        bp.compare({"milliseconds": cheap["one for all"], "seconds": other}, progress=False)
    turned = bp.fit(cheap["one for all"].model, sleep.iloc[::-1], seed=1, method=bp.NUTS(draws=20, tune=20, chains=2),
                    progress=False)
    with pytest.raises(SpecificationError, match="'turned' was fitted .* rows in another order.*Fit the same frame"):
        bp.compare({"all": cheap["one for all"], "turned": turned}, progress=False)
    shorter = bp.fit(cheap["one for all"].model, sleep.iloc[:90], seed=1, method=bp.NUTS(draws=20, tune=20, chains=2),
                     progress=False)
    with pytest.raises(SpecificationError, match="'half' was fitted to another outcome"):
        bp.compare({"all": cheap["one for all"], "half": shorter}, progress=False)


def test_outcomes_that_were_seen_otherwise_are_refused() -> None:
    """The columns of outcomes are the same, and what is known of them is not."""
    time = np.minimum(30.0, 30 * np.random.default_rng(1).weibull(2, 40))
    frame = pd.DataFrame({"time": time, "ended": (time < 30).astype(int), "least": time,
                          "most": np.where(time < 30, time, np.inf)})
    fits = {name: bp.fit(bp.Model("time ~ 1", family=family), frame, seed=1, progress=False) for name, family in {
        "event": bp.Weibull(event="ended"), "bounds": bp.LogNormal(lower="least", upper="most"),
        "ignored": bp.Weibull()}.items()}
    with pytest.raises(SpecificationError, match="'ignored' was fitted .* with other rows censored.*the same event="):
        bp.compare({name: fits[name] for name in ("event", "ignored")}, progress=False)
    # The same is known where it is told in another way.
    assert len(bp.compare({name: fits[name] for name in ("event", "bounds")}, progress=False)) == 2


def test_a_density_is_not_compared_with_a_probability() -> None:
    frame = bp.load_dataset("coal")
    posteriors = {repr(family): unsampled(bp.Model("disasters ~ 1", bp.Population(), family), frame, draws=20)
                  for family in (bp.Normal(), Poisson())}
    with pytest.raises(SpecificationError, match=r"'Poisson\(\)' has the family Poisson\(\), the first Normal\(\)"):
        bp.compare(posteriors, progress=False)
    both = {name: unsampled(bp.Model("disasters ~ 1", bp.Population(), family), frame, draws=20)
            for name, family in (("Poisson", Poisson()), ("negative binomial", NegativeBinomial()))}
    assert set(bp.compare(both, progress=False).index) == set(both)


@pytest.mark.parametrize(("assumptions", "words"), [
    ([bp.Population()], "got 1 assumption"),
    (bp.Population(), "got 1 assumption"),
    ([], "got 0 assumptions"),
    ({"one": bp.Population()}, "got 1 assumption"),
    ([bp.Population(), bp.Population()], r"Population\(\) stands there twice"),
    ([bp.Population(), "PartialPooling"], "'PartialPooling' is a str; need a prior, model or posterior"),
])
def test_what_does_not_compare_is_refused_before_anything_is_fitted(assumptions: object, words: str,
                                                                    sleep: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match=words):
        bp.compare(assumptions, "reaction ~ days", sleep, method=METHOD, progress=False)


def test_arguments_without_effect_are_refused(sleep: pd.DataFrame, cheap: dict[str, Posterior]) -> None:
    with pytest.raises(SpecificationError, match="fitted already"):
        bp.compare(cheap, "reaction ~ days", sleep, progress=False)
    models = [each.model for each in cheap.values()]
    with pytest.raises(SpecificationError, match="its own formula and family"):
        bp.compare(models, data=sleep, family=bp.Normal(), progress=False)
    with pytest.raises(SpecificationError, match="data are needed"):
        bp.compare(models, progress=False)
    with pytest.raises(SpecificationError, match="a formula is needed"):
        bp.compare(PRIORS, data=sleep, progress=False)
