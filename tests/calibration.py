"""Health of a sampled posterior, Monte Carlo errors, and simulated data sets to fit with the model that made them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
from arviz_stats.base import array_stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.samplers.draws import tree

UNIT_NORMAL = bp.Hyperprior("Normal", mu=0, sigma=1)
HALF_NORMAL = bp.Hyperprior("HalfNormal", sigma=1)
EXPECTED = bp.Hyperprior("LogNormal", mu=0.7, sigma=0.5)
NOISE = bp.Normal(sigma=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.3))


def assert_healthy(posterior: Posterior, ess: float = 400, r_hat: float = 1.01) -> None:
    """No divergences, and R-hat and bulk effective sample size of what is sampled as good as asked for."""
    found = health(posterior)
    assert found[0] == 0 and found[1] < r_hat and found[2] > ess, found


def health(posterior: Posterior) -> tuple[int, float, float]:
    """Divergences, the largest R-hat and the least bulk effective sample size of what is sampled."""
    draws = posterior.tree["posterior"].to_dataset()[sampled(posterior)]
    statistics = posterior.tree["sample_stats"] if "sample_stats" in posterior.tree else {}
    return (int(statistics["diverging"].sum()) if "diverging" in statistics else 0,
            max(float(each.max()) for each in az.rhat(draws).data_vars.values()),
            min(float(each.min()) for each in az.ess(draws).data_vars.values()))


def sampled(posterior: Posterior) -> list[str]:
    """Hyperparameters and the mean, those apart on which chains need not agree."""
    bound = posterior.bound
    return [each.name for each in (*bound.parameters, *([bound.mean] if bound.mean else [])) if each.diagnosed]


def unsampled(model: bp.Model, frame: pd.DataFrame, draws: int, seed: int = 1) -> Posterior:
    """Draws from the prior in the place of the posterior's, two chains: prediction maps any draws alike."""
    bound, rng = model.bind(frame), np.random.default_rng(seed)
    hyper = (*bound.parameters, *([bound.mean] if bound.mean else []))
    values: dict[str, np.ndarray] = {}
    for each in hyper:
        values[each.name] = np.array([each.draw(rng, {name: value[draw] for name, value in values.items()})
                                      for draw in range(2 * draws)])
    for term, features in zip(bound.terms, bound.features, strict=False):
        values[f"{term.name}_z"] = rng.standard_normal((2 * draws, features.matrix.shape[1], len(term.positions)))
    return Posterior(model, bound, tree(bound, values, 2))


def conditioned(model: bp.Model, frame: pd.DataFrame, draws: int, seed: int = 1) -> Posterior:
    """Hyperparameters from the prior, and the Gaussian weights exactly from their posterior given each; two chains."""
    bound, rng = model.bind(frame), np.random.default_rng(seed)
    values = {each.name: np.array([each.draw(rng) for _ in range(2 * draws)]) for each in bound.parameters}
    values |= GaussianDensity(bound).draw_rest(values, 2 * draws, rng)
    return Posterior(model, bound, tree(bound, values, 2))


def z_scores(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Difference of the means of two independent sets of independent draws (draw, ...), in standard errors."""
    error = np.sqrt(one.var(axis=0, ddof=1) / len(one) + other.var(axis=0, ddof=1) / len(other))
    difference = one.mean(axis=0) - other.mean(axis=0)
    return np.divide(difference, error, out=np.zeros_like(difference), where=(error > 0) | (difference != 0))


def elpd_error(posterior: Posterior) -> float:
    """Monte Carlo error of an elpd: of the sum over rows of minus the log of the mean of 1 / p(y_i | ...)."""
    density = bp.log_likelihood(posterior, progress=False)["y_left_out"].to_numpy()
    ratio = np.exp(density.min(axis=(0, 1)) - density)
    moved = (ratio / ratio.mean(axis=(0, 1))).sum(axis=-1)
    return float(az.mcse(az.convert_to_dataset({"v": moved}))["v"])


# The second is for the one data set in a hundred that the first is not enough for.
METHODS = (bp.NUTS(draws=750, tune=500, chains=2, target_accept=0.98),
           bp.NUTS(draws=3000, tune=2000, chains=4, target_accept=0.998))


@dataclass(frozen=True)
class Setting:
    """A model whose hyperpriors do not depend on the outcome, and the predictors and contexts of one data set.

    It is fitted by the methods in turn, until draws are healthy; None is the default.
    """

    model: bp.Model
    frame: Callable[[np.random.Generator], pd.DataFrame]
    sets: int
    methods: tuple[Any, ...] = METHODS


def context(rng: np.random.Generator) -> pd.DataFrame:
    """Eighty rows with two predictors and a context."""
    return pd.DataFrame({"x": rng.normal(3, 2, 80), "w": rng.normal(-1, 1, 80), "c": rng.uniform(-5, 5, 80)})


def groups(rng: np.random.Generator) -> pd.DataFrame:
    """Twelve groups of 3 to 11 rows."""
    label = np.repeat(np.arange(12), np.arange(12) % 9 + 3)
    return pd.DataFrame({"x": rng.normal(3, 2, len(label)), "g": label.astype(str)})


def standardised(rng: np.random.Generator) -> pd.DataFrame:
    """Ninety rows of fifteen groups, with a predictor and a context."""
    return pd.DataFrame({"x": rng.normal(size=90), "c": rng.uniform(-5, 5, 90), "n": 8,
                         "g": [f"g{each}" for each in rng.permutation(np.arange(90) % 15)]})


def series(rng: np.random.Generator) -> pd.DataFrame:
    """Twenty times of four rows."""
    return pd.DataFrame({"x": rng.normal(3, 2, 80), "t": np.repeat(np.arange(20), 4)})


# Few numbers a set ask for more sets, so that the standard error of the coverage is below 2 %; what is fitted in half
# a minute is fitted less often.
SETTINGS = {
    "Population": Setting(bp.Model("y ~ x + w", bp.Population(), NOISE, UNIT_NORMAL), context, 120),
    "Conditional": Setting(bp.Model("y ~ x", bp.Conditional("g", mean=UNIT_NORMAL), NOISE), groups, 100),
    "PartialPooling": Setting(bp.Model("y ~ x", bp.PartialPooling("g", scale=HALF_NORMAL), NOISE, UNIT_NORMAL),
                              groups, 100),
    "MetaLearned": Setting(bp.Model("y ~ x", bp.MetaLearned("g", scale=HALF_NORMAL, shared=HALF_NORMAL), NOISE,
                                    UNIT_NORMAL), groups, 100),
    "Invariant": Setting(bp.Model("y ~ x", bp.Invariant("g", overall=bp.Hyperprior("HalfNormal", sigma=0.5),
                                                        mean=UNIT_NORMAL), NOISE, UNIT_NORMAL), groups, 100),
    "Transfer": Setting(bp.Model("y ~ x", bp.Transfer("g", "4", overall=bp.Hyperprior("HalfCauchy", beta=0.1)), NOISE,
                                 UNIT_NORMAL), groups, 200),
    "FineTuned": Setting(bp.Model("y ~ x", bp.FineTuned("g", target=["4", "7"], freeze=None, scale=HALF_NORMAL), NOISE,
                                  UNIT_NORMAL), groups, 150),
    "LinearVarying": Setting(bp.Model("y ~ x + w", bp.LinearVarying("c", scale=HALF_NORMAL), NOISE, UNIT_NORMAL),
                             context, 100),
    "DistanceRegularized": Setting(
        bp.Model("y ~ x", bp.DistanceRegularized("c", "w", scale=HALF_NORMAL), NOISE, UNIT_NORMAL), context, 40),
    "TotalVariation": Setting(bp.Model("y ~ x", bp.TotalVariation("t", scale=HALF_NORMAL), NOISE, UNIT_NORMAL), series,
                              100),
    "horseshoe": Setting(bp.Model("y ~ x", bp.TotalVariation("t", "horseshoe", scale=HALF_NORMAL), NOISE, UNIT_NORMAL),
                         series, 100),
    "Partition": Setting(bp.Model("y ~ x", bp.Partition("t", scale=HALF_NORMAL, changes=EXPECTED), NOISE, UNIT_NORMAL),
                         series, 100),
    "TreePartition": Setting(bp.Model("y ~ x + w", bp.TreePartition("c", scale=HALF_NORMAL), NOISE, UNIT_NORMAL),
                             context, 200),
    "GaussianProcess": Setting(
        bp.Model("y ~ x", bp.GaussianProcess("c", kernel="squared_exponential", scale=HALF_NORMAL), NOISE, UNIT_NORMAL),
        context, 100),
    "last-layer": Setting(bp.Model("y ~ x", bp.Contextualized("c", "w", network="last-layer", hidden=40,
                                                              scale=HALF_NORMAL), NOISE, UNIT_NORMAL), context, 100),
    "Contextualized": Setting(bp.Model("y ~ x", bp.Contextualized("c", hidden=4, scale=HALF_NORMAL), NOISE,
                                       UNIT_NORMAL), context, 60),
    "Mixture": Setting(bp.Model("y ~ x", bp.Mixture(2, gate="c", mean=UNIT_NORMAL), NOISE), context, 60),
    "Repulsive": Setting(bp.Model("y ~ x", bp.Repulsive("c", archetypes=2, scale=HALF_NORMAL), NOISE, UNIT_NORMAL),
                         context, 40),
    "Sparse": Setting(
        bp.Model("y ~ x + w + c", bp.Sparse(overall=bp.Hyperprior("HalfCauchy", beta=0.1),
                                            slab=bp.Hyperprior("LogNormal", mu=0.0, sigma=0.5)), NOISE, UNIT_NORMAL),
        context, 120),
}
# Under pseudo-data, corrected by importance weights, as such models are fitted by default.
SETTINGS |= {
    f"{type(family).__name__}, {type(prior).__name__}": Setting(bp.Model("y ~ x", prior, family, UNIT_NORMAL),
                                                                standardised, 100, (None,))
    for family in (bp.Bernoulli(), bp.Poisson(), bp.NegativeBinomial(), bp.Gamma(), bp.Weibull(),
                   bp.LogNormal(sigma=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.3)),
                   bp.StudentT(sigma=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.3)))
    for prior in (bp.PartialPooling("g", scale=HALF_NORMAL), bp.LinearVarying("c", scale=HALF_NORMAL),
                  bp.GaussianProcess("c", kernel="squared_exponential", scale=HALF_NORMAL))
}
SETTINGS |= {
    f"{type(family).__name__}, {type(prior).__name__}": Setting(bp.Model("y ~ x", prior, family, UNIT_NORMAL),
                                                                standardised, 40, (None,))
    for family in (bp.Beta(), bp.BetaBinomial("n"), bp.ZeroInflatedPoisson(), bp.Cumulative(levels=range(4)))
    for prior in (bp.PartialPooling("g", scale=HALF_NORMAL), bp.LinearVarying("c", scale=HALF_NORMAL))
}
SETTINGS |= {
    f"Categorical, {type(prior).__name__}": Setting(
        bp.Model("y ~ x", prior, bp.Categorical(levels=["a", "b", "c"]), UNIT_NORMAL), standardised, 100, (None,))
    for prior in (bp.PartialPooling("g", on="Intercept", scale=HALF_NORMAL), bp.LinearVarying("c", scale=HALF_NORMAL),
                  bp.GaussianProcess("c", kernel="squared_exponential", scale=HALF_NORMAL))
}
# Ranks are among draws far enough apart to be as good as independent.
RANKED = 60


@dataclass(frozen=True)
class Calibrated:
    """One simulated data set, fitted with the model that made it.

    Attributes
    ----------
    posterior : of that data set
    held : share of theta, over rows whose posteriors differ and coefficients, inside its central interval
    ranks : where the truth stands among draws from the posterior, in (0, 1), by what is asked for: hyperparameters,
        theta of the first and the last row, the log-likelihood
    """

    posterior: Posterior
    held: float
    ranks: dict[str, float]


def healthy(posterior: Posterior) -> bool:
    """Whether draws are good enough for their ranks and intervals to mean something."""
    if "importance" in posterior.tree:
        return not posterior.complaints
    divergences, r_hat, ess = health(posterior)
    return divergences == 0 and r_hat < 1.06 and ess > RANKED


def calibrated(setting: Setting, seed: int, level: float = 0.9) -> Calibrated:
    """Simulate, and fit until draws are healthy or methods are at an end."""
    # Streams of their own: a truth that followed from the contexts would not be a draw from its prior given them.
    frames, truths, fits = (int(each) for each in np.random.SeedSequence(seed).generate_state(3))
    rng = np.random.default_rng(frames)
    truth = bp.simulate(setting.model, setting.frame(rng), seed=truths)
    for method in setting.methods:
        posterior = bp.fit(setting.model, truth.frame, seed=fits, method=method, progress=False)
        if healthy(posterior):
            break
    theta = posterior.theta.to_numpy()
    low, high = np.quantile(theta, [(1 - level) / 2, (1 + level) / 2], axis=(0, 1))
    # Rows that share theta in every draw count once. Those that share the true one alone do not: that a row is of a
    # rare type is not known, and rare types would count for more than their rows.
    _, different = np.unique(theta.reshape(-1, *theta.shape[2:]).swapaxes(0, 1), axis=0, return_index=True)
    held = ((low <= truth.theta) & (truth.theta <= high)).to_numpy()[different].mean()
    apart = np.linspace(0, theta.shape[1] - 1, RANKED // theta.shape[0]).astype(int)
    draws = posterior.tree["posterior"].to_dataset().isel(draw=apart)
    asked = {name: (draws[name].to_numpy(), truth.values[name]) for name in sampled(posterior)}
    asked |= {f"theta, {which} row": (theta[:, apart, row], truth.theta.to_numpy()[row])
              for which, row in (("first", 0), ("last", -1))}
    own = [parameter.name for parameter in posterior.bound.family_parameters]
    asked["log-likelihood"] = (log_likelihood(posterior.bound, theta[:, apart],
                                              {name: draws[name].to_numpy() for name in own}),
                               log_likelihood(posterior.bound, truth.theta.to_numpy(), truth.values))
    return Calibrated(posterior, float(held), {f"{name}[{place}]": rank for name, (found, value) in asked.items()
                                               for place, rank in enumerate(ranks(found, value, rng))})


def log_likelihood(bound: BoundModel, theta: np.ndarray, values: Mapping[str, Any]) -> np.ndarray:
    """Of all rows given theta (..., row, coefficient): its rank shows what ranks of parameters miss."""
    own = {parameter.name: np.asarray(values[parameter.name])[..., None] for parameter in bound.family_parameters}
    likelihood = bound.family.likelihood(bound.eta_of(theta, bound.x), own, bound.constants, np)
    return likelihood.log_density(bound.y).sum(axis=-1)


def ranks(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Share of draws (chain, draw, ...) below each true number, uniform over data sets; ties fall at random."""
    draws, truth = draws.reshape(draws.shape[0] * draws.shape[1], -1), np.ravel(truth)
    below, same = (draws < truth).sum(axis=0), (draws == truth).sum(axis=0)
    return ((below + (same + 1) * rng.random(len(truth))) / (len(draws) + 1)).tolist()


def unevenness(found: list[dict[str, float]]) -> dict[str, float]:
    """How probable, of each thing that has ranks, ranks as uneven as these are where they are uniform.

    References
    ----------
    Talts et al. (2018), doi:10.48550/arXiv.1804.06788. Modrak et al. (2023), doi:10.1214/23-BA1404.
    """
    return {name: float(array_stats.uniformity_test(np.array([each[name] for each in found]))[0])
            for name in found[0]}
