"""One neural network of contexts for all nodes: its density and gradient by hand, and a smooth world found."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SUFFIX
from scipy import stats
from scipy.special import softmax

import bayes_personal as bp
from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.errors import SpecificationError
from bayes_personal.model.network_program import network_program

NODES = ("a", "b", "d")


def smooth(rows: int, seed: int) -> pd.DataFrame:
    """Edges that follow a sine and a cosine of the context."""
    rng = np.random.default_rng(seed)
    c, a = rng.uniform(-1, 1, rows), rng.normal(size=rows)
    b = np.sin(2.5 * c) * a + 0.5 * rng.normal(size=rows)
    d = np.cos(2.5 * c) * b + 0.5 * rng.normal(size=rows)
    return pd.DataFrame({"a": a, "b": b, "d": d, "c": c, "e": rng.normal(size=rows)})


@pytest.mark.parametrize("archetypes", [None, 2])
def test_the_density_and_its_gradient_are_those_of_one_network(archetypes: int | None) -> None:
    """One hidden layer for the coefficients of all nodes, each with output weights of its own."""
    frame, rng = smooth(25, 1), np.random.default_rng(2)
    network = bp.Network("a + b + d ~ 1", bp.Contextualized("c", "e", hidden=3, archetypes=archetypes))
    bounds = network.bind(frame)
    functions, common = SharedFunctions.of(bounds), set[str]()
    assert functions is not None
    model, values, named, wanted = network_program(network, bounds), {}, {}, 0.0
    for each in functions.parameters:
        point = 0.5 * rng.normal(size=each.size)
        values[each.name], named[each.name + SUFFIX[each.support]] = each.value(point), point.reshape(each.shape)
        common.add(each.name)
        law: dict[str, Any] = {name: np.broadcast_to(value, each.shape) for name, value in each.arguments.items()}
        wanted += (stats.halfnorm.logpdf(values[each.name], scale=law["sigma"]) if each.support == "positive" else
                   stats.norm.logpdf(values[each.name], law["mu"], law["sigma"])).sum()
    c = (frame[["c", "e"]] - frame[["c", "e"]].mean()) / frame[["c", "e"]].std(ddof=0)
    hidden = np.tanh(values["network_c_e_steepness"] / np.sqrt(2) * c.to_numpy() @ values["network_c_e_first_layer"]
                     + 1.5 * values["network_c_e_offset_layer"])
    output = hidden @ values["network_c_e_second_layer"] / np.sqrt(3)
    if archetypes is not None:
        output = softmax(output * values["network_c_e_sharpness"], axis=1) @ values["network_c_e_component"]
    deviation, start = output * values["network_c_e_scale"], 0
    assert deviation.shape == (25, 6)
    for j, (node, bound) in enumerate(bounds.items()):
        for each in bound.hyperparameters:
            if each.name not in common:
                point = 0.5 * rng.normal(size=each.size)
                values[each.name] = each.value(point)
                named[f"{node}::{each.name}{SUFFIX[each.support]}"] = point.reshape(each.shape)
        assert bound.mean is not None
        mu = values[bound.mean.name]
        law = {name: np.broadcast_to(value, mu.shape) for name, value in bound.mean.arguments.items()}
        wanted += stats.norm.logpdf(mu, law["mu"], law["sigma"]).sum()
        wanted += stats.halfnorm.logpdf(values["sigma"], scale=frame[node].std(ddof=0))
        parents = frame[list(NODES[:j])]
        x = np.column_stack([np.ones(25), parents - parents.mean()])
        eta = (x * (mu + deviation[:, start : start + j + 1])).sum(axis=1)
        wanted, start = wanted + stats.norm.logpdf(frame[node], eta, values["sigma"]).sum(), start + j + 1
    log_density = model.compile_logp(jacobian=False, mode="FAST_COMPILE")
    assert float(log_density(named)) == pytest.approx(wanted, abs=1e-8)
    slopes, moved = model.compile_dlogp(jacobian=False, mode="FAST_COMPILE")(named), "network_c_e_first_layer"
    size = [np.size(named[variable.name]) for variable in model.value_vars]
    place = sum(size[: [variable.name for variable in model.value_vars].index(f"{moved}_standardised__")])
    step = np.zeros((2, 3))
    step[0, 1] = 1e-5
    layer = named[f"{moved}_standardised__"]
    ahead, behind = (float(log_density(named | {f"{moved}_standardised__": layer + way * step})) for way in (1, -1))
    assert slopes[place + 1] == pytest.approx((ahead - behind) / 2e-5, rel=1e-5)


@pytest.fixture(scope="module")
def posterior() -> bp.NetworkPosterior:
    return bp.fit(bp.Network("a + b + d ~ 1", bp.Contextualized("c", hidden=6)), smooth(150, 1), seed=1,
                  progress=False, method=bp.NUTS(draws=400, tune=500, chains=2))


@pytest.mark.slow
def test_a_smooth_world_is_found(posterior: bp.NetworkPosterior) -> None:
    for each in posterior.diagnostics.values():
        assert not each.divergences and each.r_hat is not None and each.r_hat.value < 1.03
    at = pd.DataFrame({"c": [-0.8, -0.4, 0.0, 0.4, 0.8]})
    found = bp.network(posterior, at=at, kind="directed").mean(("chain", "draw")).to_numpy()
    assert np.abs(found[:, 1, 0] - np.sin(2.5 * at["c"])).max() < 0.35
    assert np.abs(found[:, 2, 1] - np.cos(2.5 * at["c"])).max() < 0.35
    frame = posterior.nodes["a"].bound.frame
    static = bp.loo(bp.fit(bp.Network("a + b + d ~ 1"), frame, seed=1, progress=False), progress=False)
    assert bp.loo(posterior, progress=False).elpd > static.elpd + 30
    assert bp.predict(posterior, frame.iloc[:3], kind="outcome", nodes={"a": 1.0}).draws.shape == (2, 400, 3, 3)


@pytest.mark.slow
def test_all_nodes_have_one_hidden_layer(posterior: bp.NetworkPosterior, tmp_path: Any) -> None:
    layers = [each.tree["posterior"]["network_c_first_layer"].to_numpy() for each in posterior.nodes.values()]
    np.testing.assert_array_equal(layers[0], layers[2])
    node = posterior.nodes["d"]
    theta = bp.predict(node, node.bound.frame.iloc[:4], kind="theta").draws
    np.testing.assert_allclose(theta, posterior.theta.isel(unit=slice(4))[..., -3:], rtol=1e-9)
    with pytest.raises(SpecificationError, match="shares the network of contexts"):
        bp.loo(node)
    posterior.save(tmp_path / "network.nc")
    again = bp.load(tmp_path / "network.nc")
    assert bp.loo(again, progress=False).elpd == pytest.approx(bp.loo(posterior, progress=False).elpd)
    pseudo = bp.Network("a + b ~ 1", bp.Contextualized("c", hidden=3), parents="others")
    functions = SharedFunctions.of(pseudo.bind(node.bound.frame))
    assert functions is not None and functions.branches == 1
