"""Nodes that are yes or no, each given all others: an Ising model by its pseudo-likelihood."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import SpecificationError

# Thresholds and interactions; the first and the last node have none.
THRESHOLD, INTERACTION = np.array([-0.3, 0.2, -0.5]), {("a", "b"): 1.2, ("b", "d"): -0.9}
NODES = ["a", "b", "d"]


def log_weights(states: np.ndarray, flip: np.ndarray | float = 1.0) -> np.ndarray:
    """Of the eight states, (state,)."""
    pairs = sum(value * states[:, NODES.index(one)] * states[:, NODES.index(other)]
                for (one, other), value in INTERACTION.items())
    return states @ THRESHOLD + flip * pairs


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Draws of the model itself, by enumeration."""
    rng, states = np.random.default_rng(3), np.array(list(product([0, 1], repeat=3)))
    weights = np.exp(log_weights(states))
    drawn = states[rng.choice(8, 3000, p=weights / weights.sum())]
    return pd.DataFrame(drawn, columns=NODES)


@pytest.fixture(scope="module")
def posterior(rows: pd.DataFrame) -> bp.NetworkPosterior:
    network = bp.Network("a + b + d ~ 1", family=bp.Bernoulli(), parents="others",
                         mean=bp.Hyperprior("Normal", mu=0, sigma=2))
    return bp.fit(network, rows, seed=1, progress=False)


def test_interactions_are_those_of_the_model(posterior: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    """Of an Ising model the log odds of a node given the others are linear, with symmetric slopes."""
    assert all(not node.complaints for node in posterior.nodes.values())
    found = bp.edges(posterior, at=rows.iloc[:1], kind="interaction")
    for record in found.to_dict("records"):
        truth = INTERACTION.get((record["other"], record["node"]), 0.0)
        assert abs(record["mean"] - truth) < 4 * record["sd"] and record["sd"] < 0.15
    read = bp.network(posterior, at=rows.iloc[:1], kind="interaction").to_numpy()[..., 0, :, :]
    assert (read == read.swapaxes(-1, -2)).all() and (read[..., [0, 1, 2], [0, 1, 2]] == 0).all()


def test_an_edge_is_the_mean_of_both_regressions(posterior: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    read = bp.network(posterior, at=rows.iloc[:1], kind="interaction").to_numpy()[..., 0, 1, 0]
    both = [posterior.nodes[node].theta.isel(unit=0).sel(coefficient=other).to_numpy() for node, other in
            (("a", "b"), ("b", "a"))]
    assert read.mean() == pytest.approx(np.mean([each.mean() for each in both]), abs=1e-10)
    # Their draws are paired by rank, so that quantiles are averaged.
    for share in (0.05, 0.5, 0.95):
        wanted = np.mean([np.quantile(each, share) for each in both])
        assert np.quantile(read, share) == pytest.approx(wanted, abs=1e-10)


def test_it_is_said_wherever_it_is_shown(posterior: bp.NetworkPosterior, tmp_path) -> None:
    assert "pseudo-likelihood" in repr(posterior.model)
    assert str(bp.loo(posterior, progress=False)).startswith("PSEUDO-LIKELIHOOD")
    figure = bp.plot_network(posterior)
    assert "pseudo-likelihood Ising interaction" in figure.get_supxlabel()
    bp.report(posterior, tmp_path / "page.html")
    assert "pseudo-likelihood Ising interactions" in (tmp_path / "page.html").read_text()


def test_other_networks_have_no_interactions(posterior: bp.NetworkPosterior, rows: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match="Take kind='interaction'"):
        bp.network(posterior, kind="partial")
    directed = bp.fit(bp.Network("a + b ~ 1", family=bp.Bernoulli()), rows, seed=1, progress=False,
                      method=bp.Laplace(draws=100))
    with pytest.raises(SpecificationError, match="Ising.*Take kind='directed'"):
        bp.network(directed, kind="interaction")


def test_interactions_vary(rows: pd.DataFrame) -> None:
    """With a context in which an interaction turns."""
    rng, states = np.random.default_rng(5), np.array(list(product([0, 1], repeat=3)))
    c = rng.uniform(-1, 1, 1500)
    weights = np.exp([log_weights(states, flip) for flip in 1.5 * c])
    shares = (weights / weights.sum(axis=1, keepdims=True)).cumsum(axis=1)
    drawn = states[(rng.random((1500, 1)) > shares).sum(axis=1)]
    frame = pd.DataFrame(drawn, columns=NODES).assign(c=c)
    network = bp.Network("a + b + d ~ 1", bp.LinearVarying("c"), bp.Bernoulli(), parents="others")
    posterior = bp.fit(network, frame, seed=1, progress=False)
    found = bp.edges(posterior, at=pd.DataFrame({"c": [-0.9, 0.9]}), kind="interaction")
    found = found[(found["node"] == "b") & (found["other"] == "a")]
    assert found["mean"].iloc[0] < -0.5 < 0.5 < found["mean"].iloc[1]
    assert (np.abs(found["mean"] - 1.5 * 1.2 * np.array([-0.9, 0.9])) < 4 * found["sd"]).all()
