"""TreePartition: sums over all trees by enumeration, leaves that tile the contexts, leave-one-out, two-way steps."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayes_personal as bp
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.priors.tree_partition import quantile_cuts
from bayes_personal.samplers.draws import tree

DRAWS = 4000


def two_way(seed: int, rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Three regions of two contexts, in which an intercept and a slope differ."""
    rng = np.random.default_rng(seed)
    c, x = rng.uniform(size=(rows, 2)), rng.normal(size=rows)
    region = np.where(c[:, 0] < 0.6, 0, np.where(c[:, 1] < 0.35, 1, 2))
    theta = np.array([[0.0, 1.0], [1.5, -1.0], [-1.0, 0.5]])[region]
    y = theta[:, 0] + theta[:, 1] * x + 0.7 * rng.normal(size=rows)
    return pd.DataFrame({"y": y, "x": x, "a": c[:, 0], "b": c[:, 1]}), theta


def at_one_point(model: bp.Model, frame: pd.DataFrame, draws: int = DRAWS) -> bp.Posterior:
    """Draws of trees and leaves at one value of the hyperparameters."""
    bound = model.bind(frame)
    density = DivisionDensity(bound)
    values = density.values(np.full((draws, density.size), 0.1))
    values |= density.draw_rest(values, draws, np.random.default_rng(1))
    return bp.Posterior(model, bound, tree(bound, values, 2))


def trees(codes: np.ndarray, depth: int, split: float) -> list[tuple[float, list[np.ndarray]]]:
    """Every tree: its prior probability, and the rows of each of its leaves."""
    def below(rows: np.ndarray, level: tuple[int, ...]) -> Iterator[tuple[float, list[np.ndarray]]]:
        if not len(rows):
            yield 1.0, []
            return
        if sum(level) == depth or len(np.unique(codes[rows], axis=0)) == 1:
            yield 1.0, [rows]
            return
        yield 1 - split, [rows]
        for axis in range(codes.shape[1]):
            deeper = tuple(times + (other == axis) for other, times in enumerate(level))
            bit = (codes[rows, axis] // 2 ** (depth - deeper[axis])) % 2
            for one, left in below(rows[bit == 0], deeper):
                for other, right in below(rows[bit == 1], deeper):
                    yield split / codes.shape[1] * one * other, left + right
    return list(below(np.arange(len(codes)), (0,) * codes.shape[1]))


@pytest.mark.parametrize(("contexts", "depth"), [(("a", "b"), 3), (("a",), 3), (("a", "kind"), 2)])
def test_all_trees_are_summed(contexts: tuple[str, ...], depth: int) -> None:
    frame, _ = two_way(1, 8)
    frame["kind"] = list("uvuvwwuv")
    posterior = at_one_point(bp.Model("y ~ x", bp.TreePartition(*contexts, depth=depth)), frame)
    bound, density = posterior.bound, DivisionDensity(posterior.bound)
    point = np.full(density.size, 0.1)
    values = density.values(point)
    name, x = bound.division.name, bound.coefficients.predictors(bound.x, bound.everywhere)
    mu, tau, sigma = values["mu_centered"], values[f"{name}_scale"], values["sigma"]

    def leaf(rows: np.ndarray) -> tuple[float, np.ndarray]:
        own = x[rows]
        covariance = (own * tau**2) @ own.T + sigma**2 * np.eye(len(rows))
        residual = bound.y[rows] - own @ mu
        return (stats.multivariate_normal(own @ mu, covariance).logpdf(bound.y[rows]),
                tau**2 * (own.T @ np.linalg.solve(covariance, residual)))

    every = trees(bound.division.codes, depth, float(values[f"{name}_split"]))
    np.testing.assert_allclose(sum(prior for prior, _ in every), 1.0, rtol=1e-12)
    logs = np.array([np.log(prior) + sum(leaf(rows)[0] for rows in leaves) for prior, leaves in every])
    evidence = density.value(point) - density.log_prior(point, values)
    assert evidence == pytest.approx(logsumexp(logs), abs=1e-10) and len(every) > 10
    weights, mean = np.exp(logs - logsumexp(logs)), np.zeros((8, 2))
    for weight, (_, leaves) in zip(weights, every, strict=True):
        for rows in leaves:
            mean[rows] += weight * leaf(rows)[1]
    drawn = bound.division.deviation({each: posterior.tree["posterior"][each].to_numpy().reshape(DRAWS, *shape)
                                     for each, shape in shapes(posterior).items()}, bound.features[0].matrix, np)
    assert (np.abs(drawn.mean(axis=0) - mean) < 4 * drawn.std(axis=0) / np.sqrt(DRAWS)).all()
    (batch,) = bound.rows.batches()
    one = {each: value[None] for each, value in values.items()} | {each: np.zeros(1) for each in bound.division.latent}
    rest = [density.value(point) - density.without(density.contribution(batch, np.array([i]))).value(point)
            for i in range(8)]
    np.testing.assert_allclose(density.leave_one_out(one, 1, batch)[0], rest, rtol=0, atol=1e-10)


def shapes(posterior: bp.Posterior) -> dict[str, tuple[int, ...]]:
    """Shapes of what trees are drawn with, after chain and draw."""
    draws = posterior.tree["posterior"]
    return {name: draws[name].shape[2:] for name in posterior.bound.division.latent}


@pytest.mark.parametrize("family", [bp.Normal(), bp.Poisson("e")])
def test_gradient(family: bp.families.Family) -> None:
    frame, _ = two_way(2, 60)
    frame = frame.assign(y=np.round(np.abs(3 * frame["y"])), e=1 + frame["a"])
    formula = "y ~ x" if isinstance(family, bp.Normal) else "y ~ 1"
    density, h = DivisionDensity(bp.Model(formula, bp.TreePartition("a", "b"), family).bind(frame)), 1e-6
    for point in np.random.default_rng(2).normal(0, 0.7, (4, density.size)):
        value, slope = density.log_density(point)
        assert value == pytest.approx(density.value(point), abs=1e-10)
        difference = [(density.value(point + h * e) - density.value(point - h * e)) / (2 * h)
                      for e in np.eye(density.size)]
        np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-4)


def test_leaves_tile_all_contexts() -> None:
    frame, _ = two_way(3, 40)
    posterior = at_one_point(bp.Model("y ~ x", bp.TreePartition("a", "b")), frame, 60)
    draws = posterior.tree["posterior"]
    low, high = (draws[f"tree_a_b_{end}"].to_numpy().reshape(60, -1, 2) for end in ("low", "high"))
    new = np.vstack([np.random.default_rng(1).normal(0, 3, (200, 2)), posterior.bound.features[0].matrix])
    inside = ((new[:, None] >= low[:, None]) & (new[:, None] < high[:, None])).all(axis=-1).sum(axis=-1)
    assert (inside == 1).all()
    theta = bp.predict(posterior, frame.iloc[::-1], kind="theta").draws.to_numpy()
    np.testing.assert_array_equal(theta[:, :, ::-1], posterior.theta.to_numpy())


def test_axes_are_cut_at_quantiles_and_ties_stay_together() -> None:
    cuts = quantile_cuts(np.arange(32.0), 3)
    np.testing.assert_allclose(cuts, [3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5])
    tied = np.repeat([0.0, 1.0, 5.0], [10, 1, 1])
    codes = np.searchsorted(quantile_cuts(tied, 2), [0.0, 1.0, 5.0], side="right")
    assert codes.tolist() == [1, 3, 3]
    assert np.searchsorted(quantile_cuts(tied, 4), [1.0, 5.0], side="right").tolist() == [14, 15]


def test_simulated_boxes_are_halved_as_often_as_they_should_be() -> None:
    frame, _ = two_way(4, 50)
    model = bp.Model("y ~ x", bp.TreePartition("a", "b", depth=1))
    made = [bp.simulate(model, frame, seed=seed) for seed in range(300)]
    leaves = np.array([one.values["tree_a_b_leaves"] for one in made])
    # split is uniform.
    assert set(leaves) == {1.0, 2.0} and abs((leaves == 2).mean() - 0.5) < 4 * np.sqrt(0.25 / 300)
    by_a = np.array([np.isfinite(one.values["tree_a_b_high"][:, 0]).any() for one in made])[leaves == 2]
    assert abs(by_a.mean() - 0.5) < 4 * np.sqrt(0.25 / len(by_a))
    assert all(len(np.unique(one.theta, axis=0)) == leaf for one, leaf in zip(made[:50], leaves, strict=False))


def leaves(codes: np.ndarray, halvings: int, split: float) -> np.ndarray:
    """Probability of each number of leaves below a box of one axis, halves without rows being leaves."""
    if not halvings or len(np.unique(codes)) < 2:
        return np.array([0.0, 1.0])
    upper = (codes >> (halvings - 1)) & 1
    halved = np.convolve(*(leaves(codes[upper == half], halvings - 1, split) for half in range(2)))
    return split * halved + (1 - split) * np.eye(len(halved))[1]


@pytest.mark.parametrize("split", [0.3, 0.9])
def test_simulated_boxes_are_halved_to_the_depth(split: float) -> None:
    frame, _ = two_way(4, 30)
    bound, rng = bp.Model("y ~ x", bp.TreePartition("a", depth=4)).bind(frame), np.random.default_rng(1)
    values = {each.name: each.draw(rng) for each in bound.parameters} | {"tree_a_split": np.float64(split)}
    made = np.array([bound.division.simulated(values, bound.features[0].matrix, rng)["tree_a_leaves"]
                     for _ in range(1000)])
    chance = leaves(bound.division.codes[:, 0], bound.division.depth, split)
    many = np.arange(len(chance))
    mean, square = chance @ many, chance @ many**2
    assert chance.sum() == pytest.approx(1, rel=1e-12) and mean > 1.5
    assert abs(made.mean() - mean) < 4 * np.sqrt((square - mean**2) / len(made))
    assert abs((made == 1).mean() - (1 - split)) < 4 * np.sqrt(split * (1 - split) / len(made))


def test_a_two_way_step_is_found() -> None:
    frame, theta = two_way(5, 300)
    model = bp.Model("y ~ x", bp.TreePartition("a", "b"))
    posterior = bp.fit(model, frame, seed=1, method=bp.Laplace(fallback=False), progress=False)
    assert not posterior.complaints
    mean = posterior.theta_frame()["mean"].to_numpy().reshape(theta.shape)
    assert np.sqrt(((mean - theta) ** 2).mean()) < 0.5 * theta.std()
    assert bp.loo(posterior, progress=False).elpd > bp.loo(
        bp.fit(bp.Model("y ~ x"), frame, seed=1, method=bp.Laplace(), progress=False), progress=False).elpd + 20


def test_what_does_not_fit_is_refused() -> None:
    frame, _ = two_way(6, 30)
    wide = frame.assign(**{f"c{k}": np.random.default_rng(k).normal(size=30) for k in range(9)})
    many, added = bp.TreePartition(*[f"c{k}" for k in range(9)]), bp.TreePartition("a") + bp.GaussianProcess("b")
    for make, words in ((lambda: bp.TreePartition("a", depth=17), "at most 16"),
                        (lambda: bp.TreePartition("a", depth=0), "depth=0"),
                        (lambda: bp.Model("y ~ x", many).bind(wide), "9 read"),
                        (lambda: bp.Model("y ~ x", added).bind(frame), "alone"),
                        (lambda: bp.Model("y ~ x", bp.TreePartition("a"),
                                           bp.StudentT(sigma=bp.Varying())).bind(frame), "one linear predictor")):
        with pytest.raises(SpecificationError, match=words):
            make()
