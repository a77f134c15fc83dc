"""Pools of orders of a network's nodes: equal mixtures of the posteriors in every order, held to those fitted alone."""

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayes_personal as bp
from bayes_personal.errors import FileError, InputTypeError, NotFittedError, SpecificationError
from bayes_personal.leaving_out.result import pooled
from bayes_personal.model.specification import decode, encode

NODES = ["a", "b", "d"]
QUICK = bp.Laplace(draws=500)


def made(rows: int, seed: int) -> pd.DataFrame:
    """Three nodes, of which b depends on a more the larger c is, with groups."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, rows)
    a = rng.normal(size=rows)
    b = c * a + 0.6 * rng.normal(size=rows)
    d = 0.7 * b - 0.3 * a + rng.normal(size=rows)
    return pd.DataFrame({"a": a, "b": b, "d": d, "c": c, "g": rng.choice(list("pqrs"), rows)},
                        index=[f"r{i}" for i in range(rows)])


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return made(80, 1)


@pytest.fixture(scope="module")
def network() -> bp.Network:
    return bp.Network("a + b + d ~ 1", bp.LinearVarying("c"), orders=4)


@pytest.fixture(scope="module")
def posterior(network: bp.Network, rows: pd.DataFrame) -> bp.PooledNetworkPosterior:
    return bp.fit(network, rows, seed=1, method=QUICK, progress=False)


def test_orders_are_distinct_and_belong_to_the_network() -> None:
    """Drawn by position, whatever the names; the orders of fewer are the first of more; at most all there are."""
    six, four = bp.Network("a + b + d ~ 1", orders=6), bp.Network("x + `a node` + y ~ u", orders=4)
    assert len({six.ordered(k).nodes for k in range(6)}) == math.factorial(3)
    for k in range(4):
        one = four.ordered(k)
        assert [four.nodes.index(node) for node in one.nodes] == [NODES.index(node) for node in six.ordered(k).nodes]
        assert one.orders == 1 and one.formula.endswith(" ~ u") and one == bp.Network(one.formula)
        assert ", ".join(one.nodes) in repr(four)
    assert four.ordered(0) == bp.Network("x + `a node` + y ~ u", orders=4).ordered(0) and "pooled equally" in repr(four)
    assert bp.Network("a + b ~ 1").ordered(0) == bp.Network("a + b ~ 1")
    # Every order is as frequent as any other among many.
    many = bp.Network(" + ".join(f"n{i}" for i in range(7)) + " ~ 1", orders=1000)
    first = np.array([int(many.ordered(k).nodes[0][1:]) for k in range(1000)])
    assert (np.abs(np.bincount(first) - 1000 / 7) < 4 * np.sqrt(1000 * 6) / 7).all()


def test_a_reading_has_the_draws_of_every_order(posterior: bp.PooledNetworkPosterior, network: bp.Network,
                                                rows: pd.DataFrame) -> None:
    """Entry by entry those of the network that is written in this order, and fitted with the same seed."""
    at = rows.iloc[[0, 40]]
    alone = bp.fit(bp.Network(network.ordered(2).formula, bp.LinearVarying("c")), rows, seed=1, method=QUICK,
                   progress=False)
    for kind in ("partial", "correlation", "precision", "covariance"):
        for where in (at, None):
            whole = bp.network(posterior, at=where, kind=kind)
            own = bp.network(alone, at=where, kind=kind).sel(node=NODES, node_other=NODES)
            assert whole.sizes["chain"] == 4 * own.sizes["chain"] and list(whole["node"].to_numpy()) == NODES
            chains = slice(2 * own.sizes["chain"], 3 * own.sizes["chain"])
            np.testing.assert_array_equal(whole.isel(chain=chains), own)
    one = bp.network(posterior, at=at).isel(chain=-1, draw=5, unit=1, node=[2, 0], node_other=[1])
    np.testing.assert_array_equal(one, bp.network(posterior, at=at).load().isel(
        chain=-1, draw=5, unit=1, node=[2, 0], node_other=[1]))
    table = bp.edges(posterior, at=at)
    draws = bp.network(posterior, at=at).sel(unit="r40", node="d", node_other="a").to_numpy()
    row = table.loc["r40"][lambda each: (each["node"] == "d") & (each["other"] == "a")].iloc[0]
    assert row["mean"] == pytest.approx(draws.mean()) and row["q95"] == pytest.approx(np.quantile(draws, 0.95))
    assert row["p_above"] == pytest.approx((np.abs(draws) > 0.1).mean())


def test_static_networks_do_not_feel_the_order() -> None:
    """With many rows and wide priors the pool is any one of its orders."""
    fitted = bp.fit(bp.Network("a + b + d ~ 1", orders=6, mean=bp.Hyperprior("Normal", mu=0.0, sigma=3.0)),
                    made(1000, 3), seed=2, method=QUICK, progress=False)
    at = fitted.frame.iloc[:1]
    whole = bp.edges(fitted, at=at).set_index(["node", "other"])
    for order in fitted.orders:
        draws = bp.network(order, at=at)
        for (node, other), edge in whole.iterrows():
            found = draws.sel(node=node, node_other=other).to_numpy()
            # 500 draws of one order and 3000 of all; a prior is worth a row or so.
            assert abs(edge["mean"] - found.mean()) < 4 * found.std() * np.sqrt(1 / 500 + 1 / 3000) + 2e-3
            assert abs(edge["sd"] / found.std() - 1) < 4 * np.sqrt(0.5 / 500 + 0.5 / 3000)


def test_leave_one_out_is_the_mean_over_orders(posterior: bp.PooledNetworkPosterior, rows: pd.DataFrame) -> None:
    whole = bp.loo(posterior, progress=False)
    parts = [bp.loo(order, progress=False) for order in posterior.orders]
    each = np.stack([part.elpd_i.to_numpy() for part in parts])
    np.testing.assert_allclose(whole.elpd_i, logsumexp(each, axis=0) - np.log(4), rtol=1e-12)
    assert whole.elpd == pytest.approx(whole.elpd_i.to_numpy().sum()) and "4 orders" in str(whole)
    # By Jensen's inequality a mean of densities predicts no worse than the orders do on average.
    assert whole.elpd > np.mean([part.elpd for part in parts])
    assert list(whole.elpd_i["unit"].to_numpy()) == list(rows.index)
    groups = bp.loo(posterior, kind="group", by="g", progress=False)
    assert groups.n_data_points == 4
    table = bp.compare({"pool": posterior, "alone": posterior.orders[0], "static": bp.Population()}, "a + b + d ~ 1",
                       rows, method=QUICK, seed=1, progress=False)
    assert table["elpd"]["pool"] == pytest.approx(whole.elpd) and table.index[-1] == "static"
    same = pooled({"once": parts[0], "twice": parts[0]})
    assert same.elpd == pytest.approx(parts[0].elpd) and same.p == pytest.approx(parts[0].p)
    assert same.mcse == pytest.approx(parts[0].mcse / np.sqrt(2)) and same.se == pytest.approx(parts[0].se)


def test_names_change_nothing(posterior: bp.PooledNetworkPosterior, rows: pd.DataFrame) -> None:
    renamed = rows.rename(columns={"a": "z", "b": "a node"})
    again = bp.fit(bp.Network("z + `a node` + d ~ 1", bp.LinearVarying("c"), orders=4), renamed, seed=1, method=QUICK,
                   progress=False)
    ours, theirs = bp.edges(posterior, at=rows.iloc[:3]), bp.edges(again, at=renamed.iloc[:3])
    np.testing.assert_allclose(ours.drop(columns=["node", "other"]), theirs.drop(columns=["node", "other"]))
    assert list(theirs["node"].unique()) == ["a node", "d"]


def test_known_nodes_tell_of_the_order(posterior: bp.PooledNetworkPosterior, rows: pd.DataFrame) -> None:
    """Draws of all orders are weighted by the density of what is known, by the conditional normal distribution."""
    at, given, rest = rows.iloc[:1], [0, 2], 1
    mean = bp.predict(posterior, at).draws.to_numpy().reshape(-1, 3)
    covariance = bp.network(posterior, at=at, kind="covariance").to_numpy().reshape(-1, 3, 3)
    known = np.array([2.5, -2.0])
    inner, cross = covariance[:, given][:, :, given], covariance[:, given, rest]
    gap = known - mean[:, given]
    expected = mean[:, rest] + (np.linalg.solve(inner, cross[..., None])[..., 0] * gap).sum(axis=1)
    logs = np.array([multivariate_normal(cov=each).logpdf(distance) for each, distance in zip(inner, gap, strict=True)])
    weights = np.exp(logs - logsumexp(logs))
    about = weights @ expected
    spread = np.sqrt(weights @ (expected - about) ** 2)
    found = bp.predict(posterior, at, nodes={"a": 2.5, "d": -2.0}).draws
    assert abs(found.sel(node="b").to_numpy().mean() - about) < 4 * spread / np.sqrt(len(expected))
    assert (found.sel(node="a") == 2.5).all() and (found.sel(node="d") == -2.0).all()
    outcome = bp.predict(posterior, at, kind="outcome", nodes={"a": 2.5, "d": -2.0}, seed=1).draws.sel(node="b")
    assert abs(float(outcome.mean()) - about) < 4 * float(outcome.std()) / np.sqrt(outcome.size)


def test_whole_rows_are_drawn_from_every_order(posterior: bp.PooledNetworkPosterior, rows: pd.DataFrame) -> None:
    draws = bp.predict(posterior, rows, kind="outcome", seed=3).draws
    errors = (draws - bp.predict(posterior, rows).draws).isel(unit=4).to_numpy().reshape(-1, 3)
    expected = bp.network(posterior, kind="covariance").isel(unit=4).to_numpy().reshape(-1, 3, 3).mean(axis=0)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)) + expected**2)
    assert (np.abs(errors.T @ errors / len(errors) - expected) < 5 * scale / np.sqrt(len(errors))).all()
    # One entry is what it is among all.
    np.testing.assert_array_equal(draws.isel(draw=7, unit=70), draws.to_numpy()[:, 7, 70])


def test_a_pool_is_saved_and_read(posterior: bp.PooledNetworkPosterior, network: bp.Network, tmp_path: Path) -> None:
    path = tmp_path / "pool.nc"
    posterior.save(path)
    again = bp.load(path)
    assert again.model == network and repr(again) == repr(posterior) and "4 orders" in repr(posterior)
    pd.testing.assert_frame_equal(bp.edges(again), bp.edges(posterior))
    assert decode(json.loads(json.dumps(encode(network)))) == network
    copied = pickle.loads(pickle.dumps(posterior))
    pd.testing.assert_frame_equal(bp.edges(copied), bp.edges(posterior))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError):
        bp.load(path)


def test_pools_are_drawn(posterior: bp.PooledNetworkPosterior, rows: pd.DataFrame) -> None:
    assert len(bp.plot_network(posterior, at=rows.iloc[:2]).axes) == 2
    assert bp.plot_network(posterior, kind="correlation").axes and bp.plot_edges(posterior, by="c").axes
    assert bp.plot_edges(posterior, kind="heat").axes


def test_nodes_of_other_families_are_pooled(rows: pd.DataFrame) -> None:
    """Without readings, which only Normal nodes have; a mean over orders of probabilities is one."""
    frame = rows.assign(t=(rows["a"] > 0.2).astype(float))
    fitted = bp.fit(bp.Network("b + t ~ 1", family={"t": bp.Bernoulli()}, orders=2), frame, seed=1, progress=False)
    assert np.isfinite(bp.loo(fitted, progress=False).elpd)
    drawn = bp.predict(fitted, frame.iloc[:1], kind="outcome", seed=1).draws.sel(node="t").to_numpy()
    assert set(drawn.ravel()) == {0.0, 1.0} and abs(drawn.mean() - frame["t"].mean()) < 0.1
    with pytest.raises(SpecificationError, match=r"'t' has the family .* of posterior\.orders\[0\]"):
        bp.network(fitted)
    with pytest.raises(SpecificationError, match="no common direction"):
        bp.plot_network(fitted)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"orders": 0}, "orders=0 must be a whole number"), ({"orders": 1.5}, "orders=1.5 must be"),
    ({"orders": True}, "orders=True must be"), ({"orders": 7}, "3 nodes have 6 orders"),
    ({"orders": 2, "parents": "others"}, "Take parents='before'"),
    ({"orders": 2, "parents": {"b": ["a"]}}, "Take parents='before'")])
def test_orders_that_are_none_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        bp.Network("a + b + d ~ 1", **arguments)


def test_what_one_order_answers_is_refused(posterior: bp.PooledNetworkPosterior, network: bp.Network,
                                           rows: pd.DataFrame, tmp_path: Path) -> None:
    """Each in a sentence that says what to take, and no verb in an error of Python's."""
    def refused(kind: type[Exception], words: str, *calls: Callable[[], Any]) -> None:
        for call in calls:
            with pytest.raises(kind, match=words):
                call()

    refused(SpecificationError, r"no common direction.*posterior\.orders\[0\]",
            lambda: bp.network(posterior, kind="directed"), lambda: bp.edges(posterior, kind="directed"),
            lambda: bp.plot_network(posterior, kind="directed"), lambda: bp.plot_edges(posterior, of="directed"),
            lambda: bp.predict(posterior, kind="theta"))
    for verb in (bp.changes, bp.responsibilities, bp.borrowed, bp.invariance, bp.log_likelihood, bp.plot_theta,
                 bp.plot_predictive, lambda pool: bp.report(pool, tmp_path / "page.html")):
        refused(NotFittedError, r"^\w+ does not pool orders.*posterior\.orders\[0\]", lambda verb=verb: verb(posterior))
    refused(NotFittedError, "^log_likelihood", lambda: bp.log_likelihood(posterior))
    refused(SpecificationError, r"network\.ordered\(0\)", lambda: bp.simulate(network, rows),
            lambda: network.bind(rows), lambda: network.node("a"))
    refused(SpecificationError, r"orders\[0\]\.nodes", lambda: bp.predict(posterior, given=rows))
    refused(SpecificationError, "4 orders", lambda: network.ordered(4))
    refused(InputTypeError, "fitted already", lambda: bp.fit(posterior, rows))  # pyright: ignore
