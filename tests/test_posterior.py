"""The posterior's tree is one that ArviZ and PyMC take as it is, whichever density was sampled."""

import pickle

import arviz as az
import matplotlib
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

import bayes_personal as bp

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def posterior() -> bp.Posterior:
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject"))
    return bp.fit(model, bp.load_dataset("sleepstudy"), seed=3, progress=False,
                  method=bp.NUTS(draws=200, tune=200, chains=2))


def test_a_pickle_has_what_a_saved_file_has() -> None:
    """Columns that the model does not read are left out, and a look at the program leaves nothing behind."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "g": rng.choice(list("abc"), 300)})
    frame = frame.assign(y=frame["x"] + rng.normal(size=300))
    wide = frame.join(pd.DataFrame(rng.normal(size=(300, 200))).add_prefix("unused_"))
    model = bp.Model("y ~ x", bp.PartialPooling("g"))
    few, many = (bp.fit(model, rows, seed=1, progress=False, method=bp.NUTS(draws=20, tune=40, chains=2))
                 for rows in (frame, wide))
    size = len(pickle.dumps(few))
    before = many.theta_frame()
    assert many.pymc is not None and many.theta is not None
    assert len(pickle.dumps(many)) < size + 1000
    again = pickle.loads(pickle.dumps(many))
    assert list(again.bound.frame) == ["x", "g", "y"] and "unused_0" in many.bound.frame
    pd.testing.assert_frame_equal(again.theta_frame(), before)
    new = frame.head(3).assign(g=["a", "b", "new"])
    xr.testing.assert_identical(bp.predict(again, new, seed=1).draws, bp.predict(many, new, seed=1).draws)
    assert repr(again) == repr(many) and pickle.loads(pickle.dumps(again)).diagnostics == many.diagnostics


def test_its_variables_are_those_of_the_program(posterior: bp.Posterior) -> None:
    draws, program = posterior.tree["posterior"], posterior.pymc
    named = [variable.name for variable in (*program.free_RVs, *program.deterministics)]
    assert set(named) == set(draws.data_vars)
    for name in named:
        assert draws[name].dims[2:] == tuple(program.named_vars_to_dims.get(name, ())), name
        for dim in draws[name].dims[2:]:
            assert list(map(str, draws[dim].to_numpy())) == list(map(str, program.coords[dim]))


def test_arviz_reads_it(posterior: bp.Posterior) -> None:
    table = az.summary(posterior.tree, var_names=["mu", "subject_scale", "sigma"], round_to="none")
    draws = posterior.tree["posterior"]
    assert table.loc["mu[days]", "mean"] == pytest.approx(float(draws["mu"].sel(coefficient="days").mean()))
    assert az.extract(posterior.tree).sizes["sample"] == 400
    for plot in (az.plot_forest, az.plot_trace_dist, az.plot_energy, az.plot_rank):
        plot(posterior.tree, **({} if plot is az.plot_energy else {"var_names": ["subject_scale"]}))
    beside = xr.DataTree.from_dict({"posterior": draws.to_dataset(),
                                    "log_likelihood": bp.log_likelihood(posterior, progress=False)})
    assert np.isfinite(az.loo(beside, pointwise=True).elpd)
    az.plot_khat(az.loo(beside, pointwise=True))


def test_arviz_finds_no_pit_of_rows_that_theta_has_seen(posterior: bp.Posterior) -> None:
    """Integrated weights with predictions whose theta_i has seen y_i: a PIT of a variance of .05 where .08 is right."""
    predicted = bp.predict(posterior, kind="outcome", seed=2).draws.drop_vars("subject_status")
    tree = posterior.tree.copy()
    assert "log_likelihood" not in tree.children and "posterior_predictive" not in tree.children
    tree["log_likelihood"] = xr.DataTree(bp.log_likelihood(posterior, progress=False))
    tree["posterior_predictive"] = xr.DataTree(xr.Dataset({"y": predicted}))
    for names in (None, "y"):
        with pytest.raises((KeyError, ValueError), match="y"):
            az.loo_pit(tree, var_names=names)


def test_pymc_predicts_from_it_as_we_do(posterior: bp.Posterior) -> None:
    """Nothing that the program draws is missing from the tree: PyMC would quietly draw it from the prior."""
    with posterior.pymc:
        theirs = pm.sample_posterior_predictive(posterior.tree, random_seed=1, progressbar=False,
                                                compile_kwargs={"mode": "FAST_COMPILE"})
    theirs = theirs["posterior_predictive"]["y"].to_numpy().reshape(400, -1)
    ours = bp.predict(posterior, kind="outcome", seed=2).draws.to_numpy().reshape(400, -1)
    error = np.hypot(theirs.std(axis=0), ours.std(axis=0)) / np.sqrt(400)
    assert np.abs((theirs.mean(axis=0) - ours.mean(axis=0)) / error).max() < 4


def test_known_rows_are_the_training_rows(posterior: bp.Posterior) -> None:
    frame = posterior.theta_frame()
    assert list(frame.index.unique()) == list(posterior.bound.frame.index)
    assert list(frame.columns) == ["coefficient", "mean", "sd", "q5", "q50", "q95"]
    np.testing.assert_allclose(frame["mean"].to_numpy().reshape(-1, 2), posterior.theta.mean(("chain", "draw")))


def test_its_words_say_whether_to_trust_it(posterior: bp.Posterior) -> None:
    short = bp.fit(posterior.model, bp.load_dataset("sleepstudy"), seed=1, progress=False,
                   method=bp.NUTS(draws=10, tune=10, chains=2))
    assert short.complaints and "DO NOT TRUST" in repr(short)
    assert ("DO NOT TRUST" in repr(posterior)) == bool(posterior.complaints)


def test_the_graph_is_a_diagram(posterior: bp.Posterior) -> None:
    graph = posterior.model.graph(bp.load_dataset("sleepstudy"))
    assert graph.startswith("graph") and "subject_scale" in graph and graph._repr_markdown_().startswith("```mermaid")
