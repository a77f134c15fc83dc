"""One type a row for all nodes: density, draws, leave-one-out and prediction, held to sums over types by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SUFFIX
from scipy import stats
from scipy.special import logsumexp, softmax

import bayes_personal as bp
from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.densities.marginal import given_weights
from bayes_personal.errors import SpecificationError
from bayes_personal.leaving_out.shared_rows import Refits
from bayes_personal.model.network_program import network_program
from bayes_personal.model.program import program
from bayes_personal.model.shared_program import shared_program
from bayes_personal.questions.network_readings import partial
from bayes_personal.samplers import shared_functions
from bayes_personal.samplers.draws import tree

NODES = ("a", "b", "d")
FORMULA = "a + b + d ~ 1"
# Of three types: intercepts of the nodes, and coefficients of b on a, of d on a and of d on b.
MEANS = np.array([[-2.0, 1.0, -1.0], [0.0, -2.0, 1.0], [2.0, 1.0, 3.0]])
EDGES = np.array([[0.8, 0.0, -0.7], [-0.6, 0.5, 0.5], [0.0, -0.6, 0.8]])


def made(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of three types, with a context that tells nothing, and their types."""
    rng = np.random.default_rng(seed)
    z = rng.integers(3, size=rows)
    a, error = 0.5 * rng.normal(size=rows), 0.5 * rng.normal(size=(2, rows))
    b = MEANS[z, 1] + EDGES[z, 0] * a + error[0]
    d = MEANS[z, 2] + EDGES[z, 1] * a + EDGES[z, 2] * (b - MEANS[z, 1]) + error[1]
    return pd.DataFrame({"a": a + MEANS[z, 0], "b": b, "d": d, "c": rng.uniform(-1, 1, rows),
                         "g": rng.choice(list("pq"), rows)}, index=[f"r{i}" for i in range(rows)]), z


def joined(prior: Any, frame: pd.DataFrame, **arguments: Any) -> tuple[bp.Network, SharedFunctions]:
    network = bp.Network(FORMULA, prior, **arguments)
    functions = SharedFunctions.of(network.bind(frame))
    assert functions is not None
    return network, functions


def drawn(functions: SharedFunctions, draws: int, seed: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Draws from the prior of all that the nodes depend on."""
    rng = np.random.default_rng(seed)
    common: dict[str, np.ndarray] = {}
    for each in functions.parameters:
        common[each.name] = np.array([each.draw(rng, {name: value[s] for name, value in common.items()})
                                      for s in range(draws)])
    return {node: functions.part(node, common) | {
        each.name: np.array([each.draw(rng) for _ in range(draws)]) for each in bound.hyperparameters
        if each.name not in common} for node, bound in functions.bounds.items()}


def unsampled(prior: Any, frame: pd.DataFrame, draws: int = 20, one: bool = False,
              seed: int = 1) -> bp.NetworkPosterior:
    """A posterior with draws of the prior, or with one of them repeated, in two chains."""
    network, functions = joined(prior, frame)
    values = drawn(functions, 1 if one else 2 * draws, seed)
    if one:
        values = {node: {name: np.repeat(value, 2 * draws, axis=0) for name, value in own.items()}
                  for node, own in values.items()}
    return bp.NetworkPosterior.of(network, functions.bounds, {
        node: tree(bound, values[node], 2, shared=1) for node, bound in functions.bounds.items()})


def by_hand(frame: pd.DataFrame, component: np.ndarray, log_share: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """log p(type, row), (unit, type), from coefficients (type, coefficient of all nodes) at the parents' means."""
    total, start = np.broadcast_to(log_share, (len(frame), len(component))).copy(), 0
    for j, node in enumerate(NODES):
        parents = frame[list(NODES[:j])]
        z = np.column_stack([np.ones(len(frame)), parents - parents.mean()])
        total += stats.norm.logpdf(frame[node].to_numpy()[:, None], z @ component[:, start : start + j + 1].T, sigma[j])
        start += j + 1
    return total


def coefficients(functions: SharedFunctions) -> tuple[np.ndarray, np.ndarray]:
    """Location and natural unit of the coefficients of all nodes."""
    bounds = functions.bounds.values()
    return (np.concatenate([bound.coefficients.location for bound in bounds]),
            np.concatenate([bound.coefficients.unit for bound in bounds]))


def density(model: Any, point: dict[str, np.ndarray]) -> float:
    return float(model.compile_logp(jacobian=False, mode="FAST_COMPILE")(point))


def points(functions: SharedFunctions, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of all variables, and what PyMC calls them on the sampler's scale, a node's own after its name."""
    values, named = {}, {}
    own = [(f"{node}::{each.name}", each) for node, bound in functions.bounds.items()
           for each in bound.hyperparameters if each.name not in {one.name for one in functions.parameters}]
    for name, each in [*((each.name, each) for each in functions.parameters), *own]:
        point = 0.5 * rng.normal(size=each.size)
        values[name], named[name + SUFFIX[each.support]] = each.value(point), point.reshape(each.shape)
    return values, named


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return made(30, 2)[0]


def test_nodes_are_summed_before_types(rows: pd.DataFrame) -> None:
    """The joint density of the program, with its hyperpriors, at two points."""
    network, functions = joined(bp.Mixture(3), rows)
    model, rng = network_program(network, functions.bounds), np.random.default_rng(1)
    location, units = coefficients(functions)
    for _ in range(2):
        values, named = points(functions, rng)
        component, gate = values["mixture_component"], values["mixture_gate"]
        sigma = np.array([values[f"{node}::sigma"] for node in NODES])
        wanted = logsumexp(by_hand(rows, location + component, np.log(gate / gate.sum()), sigma), axis=1).sum()
        wanted += stats.norm.logpdf(component, 0, 0.5 * units).sum() + stats.gamma.logpdf(gate, 1 / 3).sum()
        wanted += stats.halfnorm.logpdf(sigma, scale=rows[list(NODES)].std(ddof=0)).sum()
        assert density(model, named) == pytest.approx(wanted, abs=1e-8)


def test_archetypes_of_the_whole_network_repel(rows: pd.DataFrame) -> None:
    """One determinant and one length for the coefficients of all nodes; one gate in context."""
    network, functions = joined(bp.Repulsive("c", archetypes=3), rows)
    model, rng = network_program(network, functions.bounds), np.random.default_rng(1)
    values, named = points(functions, rng)
    points_, scale = values["repulsive_c_component"], values["repulsive_c_scale"]
    c = ((rows["c"] - rows["c"].mean()) / rows["c"].std(ddof=0)).to_numpy()[:, None]
    logit = values["repulsive_c_level_gate"] + c * values["repulsive_c_metric"] * values["repulsive_c_slope_gate"][:, 0]
    mean = np.concatenate([values.get(f"{node}::mu", values.get(f"{node}::mu_centered")) for node in NODES])
    sigma = np.array([values[f"{node}::sigma"] for node in NODES])
    each = by_hand(rows, mean + scale * points_, logit - logsumexp(logit, axis=1, keepdims=True), sigma)
    joint = functions.parameters[1].joint
    assert joint is not None and points_.shape == (3, 6)
    wanted = logsumexp(each, axis=1).sum() + stats.norm.logpdf(points_).sum() + float(
        joint.log_ratio(points_, (np.asarray(values["repulsive_c_length"]),), np))
    others = density(model, named) - wanted
    # What is left are the hyperpriors of all else: they do not know the archetypes.
    named["repulsive_c_component_standardised__"] = rng.normal(size=(3, 6))
    again = named["repulsive_c_component_standardised__"]
    each = by_hand(rows, mean + scale * again, logit - logsumexp(logit, axis=1, keepdims=True), sigma)
    wanted = logsumexp(each, axis=1).sum() + stats.norm.logpdf(again).sum() + float(
        joint.log_ratio(again, (np.asarray(values["repulsive_c_length"]),), np))
    assert density(model, named) - wanted == pytest.approx(others, abs=1e-8)


def test_equal_types_are_a_population_and_one_outcome_is_itself(rows: pd.DataFrame) -> None:
    _, functions = joined(bp.Mixture(2), rows)
    common = {"mixture_component": np.ones((1, 2, 1)) * np.arange(6) / 7, "mixture_gate": np.array([[0.3, 2.0]])}
    values = {node: functions.part(node, common) | {"sigma": np.array([0.8])} for node in NODES}
    found = logsumexp(functions.log_of_rows(values, np.arange(30), {
        node: bound.features for node, bound in functions.bounds.items()}), axis=-1)
    plain = bp.Network(FORMULA).bind(rows)
    wanted = 0.0
    for node, bound in plain.items():
        assert bound.mean is not None
        own = {bound.mean.name: bound.coefficients.location + values[node]["mixture_component"][:, 0],
               "sigma": np.array([0.8])}
        wanted += given_weights(bound, own | bound.derived(own, np), 1, next(bound.rows.batches()))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    alone = SharedFunctions({"d": functions.bounds["d"]})
    _, named = points(alone, np.random.default_rng(3))
    of_one = {name.removeprefix("d::"): value for name, value in named.items()}
    assert density(shared_program(alone, {"d": []}), named) == pytest.approx(
        density(program(functions.bounds["d"]), of_one), abs=1e-9)


def test_neither_types_nor_nodes_have_names_that_matter(rows: pd.DataFrame) -> None:
    network, functions = joined(bp.Mixture(3, gate="c"), rows)
    _, named = points(functions, np.random.default_rng(4))
    model = network_program(network, functions.bounds)
    first = density(model, named)
    moved = {name: value[[2, 0, 1]] if name.startswith("mixture") else value for name, value in named.items()}
    assert density(model, moved) == pytest.approx(first, abs=1e-9)
    other = bp.Network("x + q + `two words` ~ 1", bp.Mixture(3, gate="c"))
    called = dict(zip(NODES, other.nodes, strict=True))
    renamed = {called[name.split("::")[0]] + "::" + name.split("::")[1] if "::" in name else name: value
               for name, value in named.items()}
    assert density(network_program(other, other.bind(rows.rename(columns=called))), renamed) == pytest.approx(
        first, abs=1e-9)


def test_a_row_takes_its_type_in_all_nodes_as_the_whole_row_tells(rows: pd.DataFrame) -> None:
    """One draw, repeated: the rows' types are drawn with their probability given all nodes, the same for each node."""
    posterior = unsampled(bp.Mixture(3), rows, draws=1500, one=True)
    values = {node: each.tree["posterior"].isel(chain=0, draw=0) for node, each in posterior.nodes.items()}
    location = np.concatenate([each.bound.coefficients.location for each in posterior.nodes.values()])
    component = np.concatenate([values[node]["mixture_component"].to_numpy() for node in NODES], axis=1)
    gate, sigma = values["a"]["mixture_gate"].to_numpy(), np.array([float(values[node]["sigma"]) for node in NODES])
    wanted = softmax(by_hand(rows, location + component, np.log(gate / gate.sum()), sigma), axis=1)
    np.testing.assert_allclose(bp.responsibilities(posterior), wanted[:, np.argsort(-wanted.sum(axis=0))], atol=1e-12)
    slopes = [values[node]["mixture_component"].sel(mixture_coefficient=parent).to_numpy()
              for node, parent in (("b", "a"), ("d", "b"))]
    drawn_types = [np.abs(each.theta.sel(coefficient=parent).to_numpy()[..., None] - own).argmin(axis=-1)
                   for each, parent, own in zip((posterior.nodes["b"], posterior.nodes["d"]), ("a", "b"), slopes,
                                                strict=True)]
    np.testing.assert_array_equal(*drawn_types)
    share = np.stack([(drawn_types[0] == k).mean(axis=(0, 1)) for k in range(3)], axis=-1)
    assert (np.abs(share - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / 3000) + 1e-9).all()
    whole = posterior.theta.sel(coefficient="d ~ b").to_numpy()
    np.testing.assert_array_equal(whole, posterior.nodes["d"].theta.sel(coefficient="b"))
    read = bp.network(posterior, kind="directed").sel(node="d", node_other="b")
    np.testing.assert_array_equal(read, whole)
    assert bp.edges(posterior, kind="directed").shape == (90, 9)


def test_known_nodes_tell_of_the_type(rows: pd.DataFrame) -> None:
    """One draw, repeated: the mean of a node given another is that of the types, weighted by what they say of it."""
    posterior = unsampled(bp.Mixture(3), rows, draws=4000, one=True, seed=3)
    values = {node: each.tree["posterior"].isel(chain=0, draw=0) for node, each in posterior.nodes.items()}
    gate, wanted, weights = values["a"]["mixture_gate"].to_numpy(), [], []
    for k in range(3):
        of = {node: each.bound.coefficients.location + values[node]["mixture_component"].to_numpy()[k]
              for node, each in posterior.nodes.items()}
        center, a = rows[["a", "b"]].mean().to_numpy(), 0.7
        b = of["b"][0] + of["b"][1] * (a - center[0])
        wanted.append(of["d"] @ [1.0, a - center[0], b - center[1]])
        weights.append(gate[k] * stats.norm.pdf(a, of["a"][0], float(values["a"]["sigma"])))
    share = np.array(weights) / np.sum(weights)
    found = bp.predict(posterior, rows.iloc[:20], nodes={"a": 0.7}, seed=1).draws.sel(node="d").to_numpy()
    spread = np.sqrt(share @ (np.array(wanted) - share @ wanted) ** 2)
    assert found.mean() == pytest.approx(share @ wanted, abs=5 * spread / np.sqrt(found.size))


def test_forward_draws_are_of_one_type_a_row(rows: pd.DataFrame) -> None:
    """Mean and covariance of whole rows, as the program draws them, are those of the mixture."""
    _, functions = joined(bp.Mixture(3), rows)
    values = {node: {name: value[0] for name, value in own.items()} for node, own in drawn(functions, 1, 6).items()}
    rng, parents = np.random.default_rng(2), {"a": (), "b": ("a",), "d": ("a", "b")}
    found = np.concatenate([functions.drawn(values, parents, rng) for _ in range(1000)])
    gate, center = values["a"]["mixture_gate"], rows[["a", "b"]].mean().to_numpy()
    means, squares, share = [], [], gate / gate.sum()
    for k in range(3):
        b, offset = np.zeros((3, 3)), np.zeros(3)
        for j, (node, bound) in enumerate(functions.bounds.items()):
            a = bound.coefficients.location + values[node]["mixture_component"][k]
            b[j, :j], offset[j] = a[1:], a[0] - a[1:] @ center[:j]
        inverse = np.linalg.inv(np.eye(3) - b)
        root = inverse * np.array([float(values[node]["sigma"]) for node in NODES])
        means.append(inverse @ offset)
        squares.append(root @ root.T + np.outer(means[-1], means[-1]))
    mean = share @ np.array(means)
    covariance = np.einsum("k,kij->ij", share, squares) - np.outer(mean, mean)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(found.mean(axis=0) - mean) < 5 * sd / np.sqrt(len(found))).all()
    np.testing.assert_allclose(np.cov(found.T) / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=0.05)


def test_simulated_rows_have_one_type_each(rows: pd.DataFrame) -> None:
    for prior in (bp.Mixture(3), bp.Repulsive("c", archetypes=3), bp.Mixture(2) + bp.Contextualized("c", hidden=3)):
        simulated = bp.simulate(bp.Network(FORMULA, prior), rows[["c"]], seed=1)
        if not isinstance(prior, bp.priors.Mixture | bp.priors.Repulsive):
            assert len(simulated.theta.drop_duplicates()) == 30
            continue
        assert len(simulated.theta.drop_duplicates()) == 3
        gates = [{name: value.tolist() for name, value in node.values.items() if name.endswith("gate")}
                 for node in simulated.nodes.values()]
        assert gates[0] == gates[1] == gates[2] and gates[0]


def test_types_may_differ_in_means_or_in_edges_alone(rows: pd.DataFrame) -> None:
    """Of a root all coefficients are means, and none is an edge: it then has types without a mean, or none."""
    _, functions = joined(bp.Mixture(2, on="means"), rows)
    assert functions.parameters[0].shape == (2, 3) and list(functions.bounds) == ["a", "b", "d"]
    assert functions.bounds["a"].mean is None and functions.bounds["b"].mean is not None
    bounds = bp.Network(FORMULA, bp.Conditional("g", on="means")).bind(rows)
    assert bounds["a"].mean is None and bounds["b"].mean is not None
    _, functions = joined(bp.Mixture(2, on="edges"), rows)
    assert functions.parameters[0].shape == (2, 3) and list(functions.bounds) == ["b", "d"]
    assert SharedFunctions.of(bp.Network("a + b ~ 1", bp.Mixture(2, on="edges")).bind(rows)) is None
    posterior = unsampled(bp.Mixture(2, on="means"), rows)
    assert posterior.theta.shape == (2, 20, 30, 6) and bp.edges(posterior).shape == (90, 9)


@pytest.fixture(scope="module")
def posterior() -> bp.NetworkPosterior:
    return bp.fit(bp.Network(FORMULA, bp.Mixture(3)), made(300, 5)[0], seed=1, progress=False,
                  method=bp.NUTS(draws=1000, tune=400, chains=2))


def test_types_are_found_from_whole_rows(posterior: bp.NetworkPosterior, tmp_path: Path) -> None:
    assert not posterior.complaints, posterior.complaints
    frame, z = posterior.nodes["a"].bound.frame, made(300, 5)[1]
    share = bp.responsibilities(posterior)
    crossed = pd.crosstab(z, share.to_numpy().argmax(axis=1)).to_numpy()
    assert crossed.max(axis=1).sum() > 0.95 * len(z) and len(set(crossed.argmax(axis=1))) == 3
    found = bp.network(posterior).mean(("chain", "draw")).to_numpy()
    for k in range(3):
        b = np.zeros((3, 3))
        b[1, 0], b[2, 0], b[2, 1] = EDGES[k]
        assert np.abs(found[z == k].mean(axis=0) - partial(b, np.full(3, 0.5))).max() < 0.2
    titles = [ax.get_title(loc="left") for ax in bp.plot_network(posterior).axes]
    assert titles == [f"type {k + 1}, {total:.0f} rows" for k, total in enumerate(share.sum())]
    new = bp.predict(posterior, frame, kind="outcome", seed=1).draws.to_numpy().reshape(-1, 3)
    assert np.abs(np.corrcoef(new.T) - np.corrcoef(frame[list(NODES)].T)).max() < 0.1
    comparison = bp.compare({"types": posterior, "one": bp.fit(bp.Network(FORMULA), frame, seed=1, progress=False)},
                            progress=False)
    assert comparison.index[0] == "types" and comparison["difference"].min() < -50
    posterior.save(tmp_path / "types.nc")
    again = bp.load(tmp_path / "types.nc")
    pd.testing.assert_frame_equal(bp.responsibilities(again), share)
    np.testing.assert_array_equal(again.theta.isel(unit=[0, 9]), posterior.theta.isel(unit=[0, 9]))
    np.testing.assert_array_equal(again.nodes["d"].theta.isel(unit=[3]), posterior.nodes["d"].theta.isel(unit=[3]))


@pytest.mark.slow
def test_chains_that_do_not_agree_are_drawn_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the defaults alone; what diverges between draws that are kept still counts."""
    frame, found = made(60, 3)[0], iter([False, True, True])
    monkeypatch.setattr(shared_functions, "settled", lambda posterior, left_out: next(found))
    network = bp.Network("a + b ~ 1", bp.Mixture(2))
    posterior = bp.fit(network, frame, seed=1, progress=False)
    once = bp.fit(network, frame, seed=1, progress=False, method=bp.NUTS(draws=3 * bp.NUTS().draws))
    assert next(found, None) is None and posterior.theta.sizes["draw"] == bp.NUTS().draws
    share, every = (each.nodes["a"].tree["posterior"]["mixture_share"].to_numpy() for each in (posterior, once))
    np.testing.assert_array_equal(share, every[:, 2::3])
    blocks = once.nodes["a"].tree["sample_stats"]["diverging"].to_numpy().reshape(4, -1, 3)
    np.testing.assert_array_equal(posterior.nodes["a"].tree["sample_stats"]["diverging"], blocks.any(axis=2))


def test_whole_rows_are_left_out_as_integrals_say() -> None:
    """Of six rows that lie close together: ratios of evidences, integrated over draws of the prior."""
    a = np.array([-1.0, -0.6, -0.1, 0.3, 0.6, 1.1])
    frame = pd.DataFrame({"a": a, "b": a + np.array([0.3, -0.8, 0.5, 0.4, -0.9, 0.1])})
    prior = bp.Mixture(2, mean=bp.Hyperprior("Normal", mu=0.0, sigma=0.7, relative=True), concentration=6.0)
    network = bp.Network("a + b ~ 1", prior, bp.Normal(sigma=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.3)))
    posterior = bp.fit(network, frame, seed=1, progress=False, method=bp.NUTS(tune=500, target_accept=0.95))
    functions = SharedFunctions.of(network.bind(frame))
    assert not posterior.complaints, posterior.complaints
    assert functions is not None
    rng, count = np.random.default_rng(2), 400_000
    component, gate = functions.parameters
    mu, sd = (np.asarray(component.arguments[name]) for name in ("mu", "sigma"))
    common = {component.name: rng.normal(mu, sd, (count, *component.shape)),
              gate.name: rng.gamma(gate.arguments["alpha"], 1.0, (count, 2))}
    values = {node: functions.part(node, common) | {"sigma": np.exp(rng.normal(-0.5, 0.3, count))}
              for node in functions.bounds}
    each = logsumexp(functions.log_of_rows(values, np.arange(6), {
        node: bound.features for node, bound in functions.bounds.items()}), axis=-1)
    whole = each.sum(axis=1)
    wanted = logsumexp(whole) - logsumexp(whole[:, None] - each, axis=0)
    found = bp.loo(posterior, progress=False, seed=1)
    np.testing.assert_allclose(found.elpd_i, wanted, atol=0.15)
    assert found.elpd == pytest.approx(wanted.sum(), abs=0.3)
    assert posterior.whole is not None
    refits = Refits(posterior.nodes, {"a": (), "b": ("a",)}, posterior.whole, bp.NUTS(draws=500, tune=500), rng)
    again = refits.without(4)
    assert again.elpd == pytest.approx(wanted[4], abs=4 * again.se + 0.02) and again.se < 0.05


def test_what_types_cannot_do_is_refused(rows: pd.DataFrame, tmp_path: Path) -> None:
    posterior = unsampled(bp.Mixture(2), rows)
    node = posterior.nodes["b"]
    for call, words in (
            (lambda: bp.loo(node), "loo: this node of a network shares the types of rows"),
            (lambda: bp.log_likelihood(node), "log_likelihood: this node"),
            (lambda: bp.responsibilities(node), "responsibilities: this node"),
            (lambda: bp.predict(node, rows), "predict: this node"),
            (lambda: node.save(tmp_path / "node.nc"), "save: this node"),
            (lambda: bp.loo(posterior, kind="group", by="g"), "by kind='unit' or 'conditional', of which the first"),
            (lambda: bp.loo(posterior, kind="conditional", refit=bp.NUTS()), "of which the first may have refits"),
            (lambda: bp.loo(unsampled(bp.Mixture(2) + bp.Contextualized("c", network="last-layer"), rows)),
             "have weights of their own too"),
            (lambda: bp.fit(posterior.model, rows, method=bp.Laplace(), progress=False), "which NUTS\\(\\) does"),
            (lambda: bp.fit(posterior.model, rows, method=bp.NUTS(sampler="pymc"), progress=False), "which NUTS"),
            (lambda: bp.Network(FORMULA, bp.Mixture(2), parents="others").bind(rows), "Take parents='before'")):
        with pytest.raises(SpecificationError, match=words):
            call()
    assert bp.predict(node, kind="mean").draws.shape == (2, 20, 30)
