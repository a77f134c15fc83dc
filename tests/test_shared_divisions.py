"""One set of cuts for a whole network: sums, draws, leave-one-out and changes, held to enumeration and evidences."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayes_personal as bp
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.densities.shared_division_density import SharedDivisionDensity
from bayes_personal.errors import SpecificationError

PRIORS = [bp.Partition("t"), bp.Partition("t", on="edges"), bp.TreePartition("t")]


def made(contexts: int, rows: int, seed: int) -> pd.DataFrame:
    """Three nodes, two of whose edges change half-way."""
    rng = np.random.default_rng(seed)
    t = np.repeat(np.arange(contexts), rows)
    late, a = t >= contexts // 2, rng.normal(size=len(t))
    b = np.where(late, 0.9, -0.9) * a + 0.7 * rng.normal(size=len(t))
    d = np.where(late, 0.8, 0.0) * b + rng.normal(size=len(t))
    return pd.DataFrame({"a": a, "b": b, "d": d, "t": t}, index=[f"r{i}" for i in range(len(t))])


def density(frame: pd.DataFrame, prior: Any = PRIORS[0]) -> SharedDivisionDensity:
    """Of the nodes that change."""
    bounds = bp.Network("a + b + d ~ 1", prior).bind(frame).values()
    return SharedDivisionDensity.of([bound for bound in bounds if bound.division is not None])


@pytest.fixture(scope="module")
def posterior() -> bp.NetworkPosterior:
    return bp.fit(bp.Network("a + b + d ~ 1", bp.Partition("t")), made(16, 10, 3), seed=1,
                  method=bp.NUTS(draws=500), progress=False)


def test_the_sum_is_that_over_all_partitions() -> None:
    """Of eight contexts, by enumeration, with the normal density of every segment of every node."""
    joint = density(made(8, 3, 1))
    rng = np.random.default_rng(2)
    for _ in range(3):
        point = 0.4 * rng.normal(size=joint.size)
        values = joint.of_outcomes(point[None])
        terms = []
        for changes in product([False, True], repeat=7):
            starts = np.flatnonzero([True, *changes])
            outcome, own = joint.outcomes[0], values[0]
            rate = float(np.exp(outcome.arguments(own, 1)[0, -1]))
            gaps = rate * np.diff(outcome.piece.places)
            term = np.where(changes, np.log(-np.expm1(-gaps)), -gaps).sum()
            for outcome, own in zip(joint.outcomes, values, strict=True):
                term += sum(segment(outcome, own, start, stop)
                            for start, stop in zip(starts, [*starts[1:], 8], strict=True))
            terms.append(term)
        prior = joint.value(point) - joint.divisions.log_evidence(*joint.at(joint.arguments(values, 1)[0]))
        assert joint.value(point) - prior == pytest.approx(logsumexp(terms), abs=1e-9)


def segment(outcome: DivisionDensity, values: dict[str, np.ndarray], start: int, stop: int) -> float:
    """log p(y of a segment), its coefficients integrated out."""
    arguments, p = outcome.arguments(values, 1)[0], len(outcome.bound.coefficients.names)
    sigma, tau, mean = np.exp(arguments[0]), np.exp(arguments[1 : 1 + p]), arguments[1 + p : 1 + 2 * p]
    rows = (outcome.bound.frame["t"] >= start) & (outcome.bound.frame["t"] < stop)
    x = outcome.bound.coefficients.predictors(outcome.bound.x, outcome.bound.everywhere)[rows]
    covariance = sigma**2 * np.eye(len(x)) + (x * tau**2) @ x.T
    return float(multivariate_normal(x @ mean, covariance).logpdf(outcome.bound.y[rows]))


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_the_gradient_is_right_and_one_outcome_is_itself(prior: Any) -> None:
    frame, rng = made(12, 4, 2), np.random.default_rng(5)
    joint = density(frame, prior)
    point, step = 0.4 * rng.normal(size=joint.size), 1e-5
    value, gradient = joint.log_density(point)
    assert value == pytest.approx(joint.value(point), abs=1e-9)
    slopes = [(joint.value(point + step * axis) - joint.value(point - step * axis)) / (2 * step)
              for axis in np.eye(joint.size)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)
    alone = SharedDivisionDensity(joint.outcomes[-1:])
    point = 0.4 * rng.normal(size=alone.size)
    assert alone.value(point) == pytest.approx(joint.outcomes[-1].value(point[alone.places[0]]), abs=1e-10)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_whole_rows_are_left_out_as_evidences_say(prior: Any) -> None:
    """At one point of the hyperparameters: the ratio of the evidences with and without the row, of all nodes."""
    frame = made(8, 4, 4)
    joint = density(frame, prior)
    values = joint.of_outcomes(0.3 * np.random.default_rng(3).normal(size=(1, joint.size)))

    def evidence(density: SharedDivisionDensity) -> float:
        return density.divisions.log_evidence(*density.at(density.arguments(values, 1)[0]))

    left_out, whole = joint.leave_one_out(values, 1)[0], evidence(joint)
    for row in (0, 9, 31):
        mask = np.arange(32) == row
        without = SharedDivisionDensity(tuple(outcome.without(mask) for outcome in joint.outcomes))
        assert left_out[row] == pytest.approx(whole - evidence(without), abs=1e-8)


def test_a_network_changes_as_a_whole(posterior: bp.NetworkPosterior, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of all nodes have the same cuts, whose probabilities are those that are summed; all verbs know it."""
    assert not posterior.complaints
    starts = [each.tree["posterior"]["changes_t_start"].to_numpy() for each in posterior.nodes.values()]
    for other in starts[1:]:
        np.testing.assert_array_equal(starts[0], other)
    table = bp.changes(posterior)
    assert table["context"][table["probability"].idxmax()] == 8 and table["probability"].max() > 0.95
    piece = posterior.nodes["a"].bound.division
    assert piece is not None
    drawn = piece.changed(starts[0].reshape(-1, starts[0].shape[-1]))[:, 1:].mean(axis=0)
    angles = [np.arcsin(np.sqrt(each)) for each in (drawn, table["probability"])]
    assert 2 * np.sqrt(2000) * np.abs(angles[0] - angles[1]).max() < 4
    frame = posterior.nodes["a"].bound.frame
    edges = bp.edges(posterior, at=frame.iloc[[0, -1]])
    means = edges[(edges["node"] == "b") & (edges["other"] == "a")]["mean"].to_numpy()
    assert means[0] < -0.5 < 0.5 < means[1]
    elpd = bp.loo(posterior, progress=False)
    static = bp.loo(bp.fit(bp.Network("a + b + d ~ 1"), frame, seed=1, progress=False), progress=False)
    assert elpd.elpd > static.elpd + 20 and 0 < elpd.p < 30 and not elpd.warning
    monkeypatch.setattr("bayes_personal.densities.shared_division_density.FEW", 0.0)
    drawn_cuts = bp.loo(posterior, progress=False)
    assert abs(drawn_cuts.elpd - elpd.elpd) < 4 * np.hypot(drawn_cuts.mcse, elpd.mcse) + 0.2
    monkeypatch.undo()
    some = bp.loo(posterior, rows=frame["t"] < 8, progress=False)
    assert some.elpd == pytest.approx(float(elpd.elpd_i[:80].sum()))


def test_a_node_by_itself_does_not_know_the_others(posterior: bp.NetworkPosterior, tmp_path) -> None:
    posterior.save(tmp_path / "network.nc")
    again = bp.load(tmp_path / "network.nc")
    pd.testing.assert_frame_equal(bp.changes(again), bp.changes(posterior))
    for verb in (bp.loo, bp.changes):
        with pytest.raises(SpecificationError, match="shares the divisions"):
            verb(again.nodes["b"])
    for arguments in ({"kind": "group", "by": "t"}, {"refit": bp.NUTS()}):
        with pytest.raises(SpecificationError, match="left out of all nodes at once"):
            bp.loo(posterior, **arguments)
    network = bp.Network("a + b ~ 1", bp.Partition("t"))
    frame = posterior.nodes["a"].bound.frame
    with pytest.raises(SpecificationError, match="which NUTS\\(\\) does"):
        bp.fit(network, frame, method=bp.ADVI())
    with pytest.raises(SpecificationError, match="all Normal"):
        bp.Network("a + b ~ 1", bp.Partition("t"), {"a": bp.Poisson()}).bind(frame.assign(a=np.arange(160) % 5))
