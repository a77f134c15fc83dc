"""Networks: their density, its readings, and the answers of the verbs, held to one-outcome models and closed forms."""

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import multivariate_normal

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import ConvergenceWarning, InputError, InputTypeError, NotFittedError, SpecificationError
from bayes_personal.model.specification import decode, encode
from bayes_personal.posterior.fitting import fit

WIDE = bp.Hyperprior("Normal", mu=0.0, sigma=3.0)
SCALE = bp.Hyperprior("HalfNormal", sigma=1.0)
QUICK = bp.NUTS(draws=100, tune=200, chains=2)


def made(rows: int, seed: int) -> pd.DataFrame:
    """Three nodes, of which b depends on a more the larger c is, with a predictor, groups and an order."""
    rng = np.random.default_rng(seed)
    c, u = rng.uniform(-1, 1, rows), rng.normal(size=rows)
    a = 0.5 * u + rng.normal(size=rows)
    b = c * a + 0.6 * rng.normal(size=rows)
    d = 0.7 * b - 0.3 * a + 0.4 * u + rng.normal(size=rows)
    return pd.DataFrame({"a": a, "b": b, "d": d, "u": u, "c": c, "g": rng.choice(list("pqrs"), rows),
                         "s": rng.uniform(0.5, 2, rows)}, index=[f"r{i}" for i in range(rows)])


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return made(90, 1)


@pytest.fixture(scope="module")
def posterior(rows: pd.DataFrame) -> bp.NetworkPosterior:
    return bp.fit(bp.Network("a + b + d ~ u", bp.LinearVarying("c")), rows, seed=1, progress=False)


@pytest.mark.parametrize("prior", [
    bp.Population(), bp.GaussianProcess("c", scale=SCALE), bp.LinearVarying("c", scale=SCALE),
    bp.PartialPooling("g", scale=SCALE, on="a")], ids=repr)
def test_a_network_is_its_rows_stacked(prior: Any, rows: pd.DataFrame) -> None:
    """A row a unit and node, a column a coefficient, in the engine for one outcome, where errors are known.

    Groups vary with one coefficient a node alone, for their correlations are those within a node.
    """
    network = bp.Network("a + b ~ 0 + u", prior, bp.Normal(sd="s"), WIDE)
    bounds = network.bind(rows)
    stacked = pd.concat([rows.assign(y=rows["a"], a_u=rows["u"], b_u=0.0, a=0.0),
                         rows.assign(y=rows["b"], a_u=0.0, b_u=rows["u"])])
    whole = bp.Model("y ~ 0 + a_u + b_u + a", prior, bp.Normal(sd="s"), WIDE).bind(stacked)
    nodes, joint = [GaussianDensity(bound) for bound in bounds.values()], GaussianDensity(whole)
    rng = np.random.default_rng(0)
    for _ in range(3):
        points = [rng.normal(size=(1, density.size)) for density in nodes]
        # Both on the sampler's scale, whose units are those of each: values are what they share.
        values = [density.values(point) for density, point in zip(nodes, points, strict=True)]
        shared = {name: joined([each[name] for each in values if name in each], shape.shape)
                  for name, shape in joint.values(np.zeros((1, joint.size))).items()}
        parts = sum(density.each_value(point)[0] - jacobian(density, value)
                    for density, point, value in zip(nodes, points, values, strict=True))
        point = joint.points(shared) if shared else np.zeros((1, 0))
        assert parts == pytest.approx(joint.each_value(point)[0] - jacobian(joint, shared), abs=1e-9)


def joined(parts: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The entries of all coefficients, along the axis that they are on."""
    (axis,) = (axis for axis in range(1, len(shape)) if sum(part.shape[axis] for part in parts) == shape[axis])
    return np.concatenate(parts, axis=axis)


def jacobian(density: GaussianDensity, values: dict[str, np.ndarray]) -> float:
    """log |d value / d point| for positive hyperparameters, whose sampler moves on log(value / unit)."""
    return float(sum(np.log(values[parameter.name]).sum() for parameter in density.parameters))


def test_a_row_has_the_density_of_its_covariance(posterior: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    """Node by node, and as a multivariate normal; every precision matrix is positive definite."""
    few = {"draw": [0, 7], "chain": [0], "unit": [3, 50]}
    covariance = bp.network(posterior, kind="covariance").isel(few).to_numpy()[0]
    precision = bp.network(posterior, kind="precision").isel(few).to_numpy()[0]
    means = bp.predict(posterior, rows, kind="mean").draws.isel(few).to_numpy()[0]
    np.testing.assert_allclose(covariance @ precision, np.broadcast_to(np.eye(3), covariance.shape), atol=1e-10)
    values = rows[["a", "b", "d"]].to_numpy()[[3, 50]]
    places = posterior.places
    for s, draw in enumerate([0, 7]):
        for i, place in enumerate([3, 50]):
            parts = 0.0
            for node, each in posterior.nodes.items():
                chain, within = divmod(places[node][draw], each.computed.sizes[1])
                theta = each.theta[chain, within, place].to_numpy()
                sigma = float(each.tree["posterior"]["sigma"][chain, within])
                error = rows[node].iloc[place] - theta @ each.bound.x[place]
                parts += -0.5 * (error / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
            joint = multivariate_normal(means[s, i], covariance[s, i]).logpdf(values[i])
            assert joint == pytest.approx(parts, abs=1e-9)
            assert np.linalg.eigvalsh(precision[s, i]).min() > 0


def test_readings_agree_with_each_other(posterior: bp.NetworkPosterior) -> None:
    at = pd.DataFrame({"c": [-0.5, 0.9]}, index=["low", "high"])
    read = {kind: bp.network(posterior, at=at, kind=kind) for kind in
            ("partial", "correlation", "directed", "precision", "covariance")}
    for matrix in read.values():
        assert matrix.dims == ("chain", "draw", "unit", "node", "node_other")
        assert matrix["unit"].to_numpy().tolist() == ["low", "high"] and list(matrix["node"]) == ["a", "b", "d"]
    precision = read["precision"].to_numpy()
    root = np.sqrt(np.diagonal(precision, axis1=-2, axis2=-1))
    expected = -precision / root[..., :, None] / root[..., None, :] + 2 * np.eye(3)
    np.testing.assert_allclose(read["partial"], expected, atol=1e-12)
    np.testing.assert_allclose(np.diagonal(read["correlation"], axis1=-2, axis2=-1), 1.0, rtol=1e-12)
    theta = bp.predict(posterior, at.assign(u=0.0), kind="theta").draws
    np.testing.assert_allclose(read["directed"].sel(node="d", node_other="b"), theta.sel(coefficient="d ~ b"))
    assert not read["directed"].sel(node="a").to_numpy().any()
    table = bp.edges(posterior, at=at, above=0.2)
    draws = read["partial"].sel(unit="high", node="d", node_other="b").to_numpy()
    row = table.loc["high"][lambda each: (each["node"] == "d") & (each["other"] == "b")].iloc[0]
    assert row["mean"] == pytest.approx(draws.mean()) and row["q95"] == pytest.approx(np.quantile(draws, 0.95))
    assert row["p_above"] == pytest.approx((np.abs(draws) > 0.2).mean())
    assert row["p_positive"] == pytest.approx((draws > 0).mean())
    directed = bp.edges(posterior, at=at, kind="directed").loc["low"]
    assert list(zip(directed["node"], directed["other"], strict=True)) == [("b", "a"), ("d", "a"), ("d", "b")]
    # Asked for one by one, entries are what they are among all.
    one = bp.network(posterior, at=at).isel(draw=5, unit=1, node=[2, 0], node_other=[1])
    np.testing.assert_array_equal(one, read["partial"].isel(draw=5, unit=1, node=[2, 0], node_other=[1]))


def test_units_and_names_change_nothing(rows: pd.DataFrame) -> None:
    """Rescaled, shifted and renamed nodes and contexts, with the same seed; NUTS would amplify rounding."""
    method, prior = bp.Laplace(draws=500), bp.LinearVarying("c")
    posterior = bp.fit(bp.Network("a + b + d ~ u", prior), rows, seed=1, method=method, progress=False)
    changed = rows.assign(a=1000 * rows["a"] + 5, d=0.01 * rows["d"], c=7 * rows["c"]).rename(columns={"b": "a node"})
    again = bp.fit(bp.Network("a + `a node` + d ~ u", prior), changed, seed=1, method=method, progress=False)
    ours = bp.edges(posterior, at=pd.DataFrame({"c": [-0.5, 0.9]}))
    theirs = bp.edges(again, at=pd.DataFrame({"c": [-3.5, 6.3]}))
    np.testing.assert_allclose(ours["mean"], theirs["mean"], atol=1e-6)
    np.testing.assert_allclose(ours["sd"], theirs["sd"], atol=1e-6)


def test_static_networks_are_sample_partial_correlations() -> None:
    """With many rows and wide priors, in any order of the nodes."""
    frame = made(2000, 3)
    inverse = np.linalg.inv(np.corrcoef(frame[["a", "b", "d"]].to_numpy().T))
    sample = -inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    for formula in ("a + b + d ~ 1", "d + a + b ~ 1"):
        fitted = bp.fit(bp.Network(formula), frame, seed=2, progress=False)
        table = bp.edges(fitted, at=frame.iloc[:1])
        for _, edge in table.iterrows():
            expected = sample["abd".index(edge["node"]), "abd".index(edge["other"])]
            # A prior is worth a row or so; Monte Carlo errors are sd / sqrt(1000) or less.
            assert abs(edge["mean"] - expected) < 4 * edge["sd"] / np.sqrt(1000) + 2e-3


def test_known_nodes_are_conditioned_on(posterior: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    """By the conditional normal distribution at every draw, and draws by the density of what is known."""
    at, order, values = rows.iloc[:2], [0, 2], np.array([[0.5, 1.0], [0.5, -2.0]])
    known = {"d": np.array([1.0, -2.0]), "a": 0.5}
    mean = bp.predict(posterior, at, kind="mean").draws.to_numpy().reshape(-1, 2, 3)
    covariance = bp.network(posterior, at=at, kind="covariance").to_numpy().reshape(-1, 2, 3, 3)
    given = bp.predict(posterior, at, kind="mean", nodes=known)
    outcome = bp.predict(posterior, at, kind="outcome", nodes=known, seed=4).draws.to_numpy().reshape(-1, 2, 3)
    for i in range(2):
        inner = covariance[:, i][:, order][:, :, order]
        gap = values[i] - mean[:, i, order]
        slopes = np.linalg.solve(inner, covariance[:, i][:, order, 1][..., None])[..., 0]
        expected = mean[:, i, 1] + (slopes * gap).sum(axis=1)
        logs = np.array([multivariate_normal(cov=each).logpdf(distance)
                         for each, distance in zip(inner, gap, strict=True)])
        weights = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
        variance = covariance[:, i, 1, 1] - (slopes * covariance[:, i][:, order, 1]).sum(axis=1)
        about = (weights * expected).sum()
        spread = np.sqrt((weights * (expected - about) ** 2).sum())
        found = given.draws.to_numpy().reshape(-1, 2, 3)[:, i]
        np.testing.assert_array_equal(found[:, order], np.broadcast_to(values[i], (4000, 2)))
        assert abs(found[:, 1].mean() - about) < 4 * spread / np.sqrt(4000)
        assert abs(found[:, 1].std() / spread - 1) < 4 * np.sqrt(1 / 4000)
        whole = np.sqrt((weights * variance).sum() + spread**2)
        assert abs(outcome[:, i, 1].mean() - about) < 4 * whole / np.sqrt(4000)
        assert abs(outcome[:, i, 1].std() / whole - 1) < 4 * np.sqrt(1 / 4000)
    frame = given.frame()
    assert list(frame["node"]) == ["a", "b", "d"] * 2 and list(frame.index) == ["r0"] * 3 + ["r1"] * 3
    # One entry is what it is among all, and rows all of whose nodes are known come back.
    np.testing.assert_array_equal(given.draws.isel(draw=7, unit=1), given.draws.to_numpy()[:, 7, 1])
    back = bp.predict(posterior, at, nodes={"a": 1.0, "b": 2.0, "d": 3.0}).frame()
    assert list(back["mean"]) == [1.0, 2.0, 3.0] * 2


def test_known_nodes_tell_of_a_new_group(rows: pd.DataFrame) -> None:
    """As whole rows of new groups say in which the known node is near its value, whatever the order of the nodes."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(40), 10)
    a = 3 * rng.normal(size=40)[g] + rng.normal(size=400)
    frame = pd.DataFrame({"a": a, "b": a + rng.normal(size=400), "g": g.astype(str)})
    new = pd.DataFrame({"g": ["new"]})
    for formula in ("a + b ~ 1", "b + a ~ 1"):
        fitted = bp.fit(bp.Network(formula, bp.PartialPooling("g", on="means")), frame, seed=1, progress=False)
        many = pd.DataFrame({"g": [f"new {i}" for i in range(40)]})
        whole = bp.predict(fitted, many, kind="outcome", seed=1).draws
        near = np.abs(whole.sel(node="b") - 6) < 0.3
        expected = whole.sel(node="a").to_numpy()[near.to_numpy()]
        found = bp.predict(fitted, new, kind="outcome", nodes={"b": 6.0}, seed=1).draws.sel(node="a").to_numpy().ravel()
        error = np.hypot(expected.std() / np.sqrt(len(expected) / 4), found.std() / np.sqrt(400))
        assert abs(found.mean() - expected.mean()) < 4 * error and 0.8 < found.std() / expected.std() < 1.25
    with pytest.warns(ConvergenceWarning, match="fewer than 100 draws"):
        bp.predict(fitted, new, nodes={"b": 60.0})


def test_whole_rows_have_the_covariance_of_the_network(posterior: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    at = rows.iloc[[4]]
    errors = bp.predict(posterior, at, kind="outcome", seed=3).draws - bp.predict(posterior, at, kind="mean").draws
    draws = errors.to_numpy().reshape(-1, 3)
    expected = bp.network(posterior, at=at, kind="covariance").mean(("chain", "draw")).to_numpy()[0]
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)) + expected**2)
    assert (np.abs(draws.T @ draws / len(draws) - expected) < 5 * scale / np.sqrt(len(draws))).all()


def test_mixed_nodes_are_drawn_parents_first(rows: pd.DataFrame) -> None:
    """A yes-or-no node between Normal ones, its parents stated."""
    rng = np.random.default_rng(5)
    frame = made(400, 5)
    frame["t"] = (rng.random(400) < 1 / (1 + np.exp(-2 * frame["a"]))).astype(float)
    frame["e"] = 1.5 * frame["t"] + rng.normal(size=400)
    network = bp.Network("a + e + t ~ 1", family={"t": bp.Bernoulli()}, parents={"t": ["a"], "e": ["t"]})
    assert network.order == ("a", "t", "e")
    fitted = bp.fit(network, frame, seed=1, progress=False)
    assert not fitted.complaints
    draws = bp.predict(fitted, frame.iloc[:1], kind="outcome", nodes={"a": 1.0}, seed=2).draws
    t, e = (draws.sel(node=node).to_numpy().ravel() for node in ("t", "e"))
    theta = fitted.nodes["t"].theta[:, :, 0].to_numpy().reshape(-1, 2)
    probability = (1 / (1 + np.exp(-theta @ [1.0, 1.0]))).mean()
    assert set(t) == {0.0, 1.0} and abs(t.mean() - probability) < 4 * np.sqrt(0.25 / len(t))
    effect = fitted.nodes["e"].theta[:, :, 0, 1].to_numpy().mean()
    assert abs(e[t == 1].mean() - e[t == 0].mean() - effect) < 4 * e.std() * np.sqrt(1 / t.sum() + 1 / (1 - t).sum())
    assert bp.network(fitted, kind="directed").sel(node="t", node_other="a").to_numpy().mean() > 1
    with pytest.raises(InputError):
        bp.predict(fitted, frame, kind="outcome", nodes={"a": 0.0, "t": 7.0})
    missing = bp.edges(fitted, at=frame.iloc[:1], kind="directed")
    assert set(zip(missing["node"], missing["other"], strict=True)) == {("t", "a"), ("e", "t")}
    for words, call in (("'t' has the family", lambda: bp.network(fitted)),
                        ("is not Normal, so that the mean", lambda: bp.predict(fitted, frame)),
                        ("'e' is known and its parent 't'",
                         lambda: bp.predict(fitted, frame, kind="outcome", nodes={"e": 1.0}))):
        with pytest.raises(SpecificationError, match=words):
            call()


def test_leave_one_out_is_that_of_the_nodes(posterior: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    whole, parts = bp.loo(posterior, progress=False), [bp.loo(each, progress=False)
                                                       for each in posterior.nodes.values()]
    np.testing.assert_allclose(whole.elpd_i, sum(part.elpd_i.to_numpy() for part in parts))
    assert whole.elpd == pytest.approx(sum(part.elpd for part in parts)) and whole.n_data_points == 90
    assert list(whole.elpd_i["unit"].to_numpy()) == list(rows.index)
    assert whole.mcse == pytest.approx(np.sqrt(sum(part.mcse**2 for part in parts)))
    groups = bp.loo(posterior, kind="group", by="g", progress=False)
    assert groups.n_data_points == 4
    table = bp.compare({"static": bp.Population(), "linear": posterior}, "a + b + d ~ u", rows, seed=1, progress=False)
    assert table.index[0] == "linear" and table["elpd"]["linear"] == pytest.approx(whole.elpd)


def test_networks_are_simulated_parents_first(rows: pd.DataFrame) -> None:
    network = bp.Network("a + b + d ~ u", bp.LinearVarying("c"))
    drawn = bp.simulate(network, rows, seed=3)
    again = bp.simulate(network, rows, seed=3)
    pd.testing.assert_frame_equal(drawn.frame, again.frame)
    assert list(drawn.outcome) == ["a", "b", "d"] and drawn.theta.index.equals(rows.index)
    error = drawn.frame["d"] - (drawn.theta["d ~ Intercept"] + drawn.theta["d ~ u"] * rows["u"] + drawn.theta["d ~ a"]
                                * drawn.frame["a"] + drawn.theta["d ~ b"] * drawn.frame["b"])
    assert abs(error.std() / float(drawn.nodes["d"].values["sigma"]) - 1) < 4 * np.sqrt(0.5 / 90)
    assert not np.allclose(drawn.frame["a"], rows["a"])


ALL = [bp.Conditional("g"), bp.PartialPooling("g"), bp.PartialPooling("g", on="edges"),
       bp.MetaLearned("g"), bp.Transfer("g", "p"), bp.FineTuned("g", on="means", freeze=None), bp.LinearVarying("c"),
       bp.LinearVarying("c", on="edges"), bp.GaussianProcess("c", on="edges") + bp.PartialPooling("g", on="means"),
       bp.TotalVariation("order"), bp.Sparse(on="edges"), bp.DistanceRegularized("c"), bp.Invariant("g")]


@pytest.mark.parametrize("prior", ALL, ids=repr)
def test_every_prior_of_terms_gives_networks(prior: Any) -> None:
    frame = made(60, 7).assign(order=np.repeat(np.arange(12), 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = bp.fit(bp.Network("a + b + d ~ 1", prior), frame, seed=1, method=QUICK, progress=False)
        at = frame.iloc[[0, 30]]
        partial = bp.network(fitted, at=at)
        assert (np.abs(partial.to_numpy()) <= 1).all() and np.isfinite(partial).all()
        correlation = bp.network(fitted, at=at, kind="correlation").to_numpy()
        assert (np.linalg.eigvalsh(correlation) > 0).all()
        assert np.isfinite(bp.predict(fitted, at, kind="outcome", seed=1).frame()["mean"]).all()
        assert np.isfinite(bp.loo(fitted, progress=False, refit=False).elpd)


def test_all_others_as_parents_are_a_pseudo_likelihood(rows: pd.DataFrame) -> None:
    network = bp.Network("a + b + d ~ 1", parents="others")
    assert "pseudo-likelihood" in repr(network)
    fitted = bp.fit(network, rows, seed=1, progress=False)
    joint = bp.fit(bp.Network("a + b + d ~ 1"), rows, seed=1, progress=False)
    at = rows.iloc[:1]
    ours, theirs = bp.edges(fitted, at=at), bp.edges(joint, at=at)
    assert (np.abs(ours["mean"] - theirs["mean"]) < 0.5 * theirs["sd"]).all()
    # Each regression takes its parents as given and learns its own error, which is too wide by 1 / (1 - partial^2).
    ratio = ours["sd"] / theirs["sd"] * (1 - theirs["mean"] ** 2)
    assert (np.abs(ratio - 1) < 0.15).all()
    assert str(bp.loo(fitted, progress=False)).startswith("PSEUDO-LIKELIHOOD")
    assert bp.predict(fitted, at, kind="theta").draws.sizes["coefficient"] == 9
    for words, call in (("no joint density", lambda: bp.predict(fitted, at)),
                        ("no joint density", lambda: bp.network(fitted, kind="precision")),
                        ("pseudo-likelihood is no density",
                         lambda: bp.compare({"joint": joint, "others": fitted}, progress=False)),
                        ("pseudo-likelihood", lambda: bp.simulate(network, rows, seed=1))):
        with pytest.raises(SpecificationError, match=words):
            call()


@pytest.mark.parametrize(("arguments", "words"), [
    (("a ~ 1",), "'a' is its only node"), (("a + a ~ 1",), "stands there twice"), (("a + u ~ u",), "a predictor too"),
    (("a + log(b) ~ 1",), "a node is a column"), (("a + b",), "names no outcome"),
    (("a + edges ~ 1",), "meaning of its own"), (("a + b ~ 1", bp.GaussianProcess("b")), "reads the node 'b'"),
    (("a + b ~ 1", bp.Population(), bp.Normal(sd="a")), "reads the node 'a'")])
def test_what_is_no_network_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        bp.Network(*arguments)


@pytest.mark.parametrize(("parents", "words"), [
    ("after", "need 'before'"), ({"b": ["x"]}, "names 'x'"), ({"a": ["b"], "b": ["a"]}, "circle"),
    ({"b": "a"}, "lists")])
def test_parents_that_are_none_are_refused(parents: Any, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        bp.Network("a + b ~ 1", parents=parents)


def test_rows_that_make_no_network_are_refused(rows: pd.DataFrame) -> None:
    network = bp.Network("a + b + d ~ u")
    for changed, kind, words in (
            ({"d": rows["a"] - rows["b"]}, InputError, "(?s)'d'.*'a'.*'b'"),
            ({"b": 2 * rows["a"]}, InputError, "(?s)'b'.*'a'"),
            ({"b": 1.0}, InputError, "'b'"), ({"d": rows["d"].where(rows["g"] != "p")}, InputError, "'d'"),
            ({"b": rows["g"]}, (InputError, InputTypeError), "'b'")):
        with pytest.raises(kind, match=words):
            fit(network, rows.assign(**changed), seed=1, progress=False)
    with pytest.raises(InputError, match="(?s)'d'.*'b'|'b'.*'d'"):
        bp.Network("a + b + d ~ 1", parents={"a": ["b", "d"]}).bind(rows.assign(d=3 * rows["b"]))
    with pytest.warns(UserWarning, match="3 nodes and 2 rows"), pytest.raises(InputError):
        network.bind(rows.iloc[:2].assign(a=1.0))
    for call in (lambda: bp.network(3), lambda: bp.edges(bp.Population())):
        with pytest.raises(NotFittedError, match="bp.Network"):
            call()


def test_a_network_is_saved_and_read(posterior: bp.NetworkPosterior, rows: pd.DataFrame, tmp_path: Path) -> None:
    """With all that the model states, and with no column that it does not read."""
    path = tmp_path / "network.nc"
    posterior.save(path)
    again = bp.load(path)
    assert again.model == posterior.model and list(again.nodes) == ["a", "b", "d"]
    xr.testing.assert_identical(again.theta.load(), posterior.theta.load())
    assert set(again.nodes["d"].bound.frame) == {"a", "b", "d", "u", "c"}
    pd.testing.assert_frame_equal(bp.edges(again), bp.edges(posterior))
    copied = pickle.loads(pickle.dumps(posterior))
    xr.testing.assert_identical(copied.theta.isel(unit=[1]).load(), posterior.theta.isel(unit=[1]).load())
    stated = bp.Network("a + b ~ u", bp.PartialPooling("g", on="edges"), {"b": bp.StudentT()}, WIDE, {"b": ["a"]})
    assert decode(json.loads(json.dumps(encode(stated)))) == stated
