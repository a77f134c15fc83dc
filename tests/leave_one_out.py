"""Leave-one-out by brute force: refits without a row, and sums over grids that hold all of a small posterior."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import norm

import bayes_personal as bp
from bayes_personal.bound import Bound
from bayes_personal.families import Family
from bayes_personal.families.base import log_density
from bayes_personal.inference.draws import flat, tree
from bayes_personal.posterior import Posterior
from bayes_personal.priors.base import Term
from bayes_personal.rows import Batch, Held


def curve(rows: int = 60, personal: float = 0.0) -> pd.DataFrame:
    """y = c / 2 + (sin(3 c) + u) x + e: a slope that moves with c and, where `personal` > 0, is each row's own."""
    rng = np.random.default_rng(6)
    c, x, u, e = rng.uniform(-1, 1, rows), *rng.normal(0, 1, (3, rows))
    return pd.DataFrame({"y": c / 2 + (np.sin(3 * c) + personal * u) * x + 0.4 * e, "x": x, "c": c,
                         "person": np.arange(rows)})


SMOOTH = bp.GaussianProcess("c", kernel="squared_exponential")
ASSUMPTIONS = {"smooth": (SMOOTH, 0.0), "smooth and personal": (SMOOTH + bp.PartialPooling("person", on=["x"]), 0.6)}


def whole(bound: Bound) -> Batch:
    """All training rows as one batch."""
    (batch,) = bound.rows.batches(len(bound.rows))
    return batch


def without(bound: Bound, row: int) -> Bound:
    """The model of the other rows, with scalings, bases and hyperpriors as all rows made them."""
    kept = np.arange(len(bound.y)) != row
    return replace(bound, rows=Held(bound.frame[kept], bound.x[kept], bound.y[kept], bound.known[kept]))


def refit(posterior: Posterior, row: int, method: bp.NUTS) -> tuple[float, float]:
    """log p(y_i | y_-i) from a fit without the row, and its Monte Carlo error.

    p(y_i | y_-i, phi) is Normal with the moments of eta_i under the Gaussian weights given phi; here from their prior
    covariance by the rules of conditioning, without the algebra of the engine.
    """
    bound = posterior.bound
    draws = flat(method.sample(without(bound, row), seed=row, progress=False))
    densities = []
    # Draws of NUTS two apart; a factor of 2 in variance allows for what is left of their correlation.
    for draw in range(0, len(draws["sigma"]), 2):
        values = {name: value[draw] for name, value in draws.items()}
        offset = bound.coefficients.predictors(bound.x, bound.everywhere) @ bound.mean.arguments["mu"]
        covariance = sum(prior_of_eta(bound, term, values) for term in (None, *bound.terms))
        densities.append(np.exp(left_out(bound, values, offset, covariance, row)))
    error = np.std(densities) / np.mean(densities) * np.sqrt(2 / len(densities))
    return float(np.log(np.mean(densities))), float(error)


def left_out(bound: Bound, values: dict, offset: np.ndarray, covariance: np.ndarray, row: int) -> float:
    """log p(y_i | y_-i) where eta ~ MvNormal(offset, covariance) and errors are Normal."""
    kept, error = np.arange(len(bound.y)) != row, (bound.known * values.get("sigma", 1.0)) ** 2
    total = covariance[np.ix_(kept, kept)] + np.diag(error[kept])
    gain = np.linalg.solve(total, covariance[kept, row])
    mean = offset[row] + gain @ (bound.y - offset)[kept]
    variance = covariance[row, row] - gain @ covariance[kept, row] + error[row]
    return float(norm.logpdf(bound.y[row], mean, np.sqrt(variance)))


def prior_of_eta(bound: Bound, term: Term | None, values: dict) -> np.ndarray:
    """Covariance of eta over the Gaussian weights of a term, or of the mean, given the hyperparameters."""
    if term is None:
        sd = bound.mean.arguments["sigma"] * np.ones(len(bound.shared))
        loading = bound.coefficients.predictors(bound.x, bound.everywhere)[:, bound.shared] * sd
        return loading @ loading.T
    scale, root = term.scales(values, np)
    matrix = term.at(bound.frame).matrix
    features = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    own, varying = bound.coefficients.predictors(bound.x, term.positions), len(term.positions)
    scale = np.broadcast_to(scale, (features.shape[1], varying))
    between = np.eye(varying) if root is None else root @ root.T
    return sum(between[j, k] * (features * scale[:, j]) @ (features * scale[:, k]).T * np.outer(own[:, j], own[:, k])
               for j, k in np.ndindex(varying, varying))


def on_a_grid(family: Family, frame: pd.DataFrame, draws: int) -> tuple[Posterior, np.ndarray]:
    """Independent draws of a model with an intercept that groups share partly, and its exact leave-one-out densities.

    Given mu and the scale, groups are independent of one another and each effect is one number, so that grids over mu,
    the scale and the whitened effect hold the whole posterior.
    """
    model = bp.Model("y ~ 1", bp.PartialPooling("g", scale=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.4)), family,
                     mean=bp.Hyperprior("Normal", mu=0.5, sigma=0.8))
    bound = model.bind(frame)
    mu, log_scale, z = np.linspace(-2.7, 3.7, 65), np.linspace(-2.5, 1.5, 49), np.linspace(-6, 6, 97)
    eta = mu[:, None, None] + np.exp(log_scale)[:, None] * z
    density = np.array([log_density(family, y, eta, {}, known) for y, known in zip(bound.y, bound.known, strict=True)])
    prior = norm.logpdf(mu, 0.5, 0.8)[:, None] + norm.logpdf(log_scale, -0.5, 0.4)
    groups = bound.features[0].matrix.indices
    members = [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]
    joint = np.array([density[rows].sum(axis=0) + norm.logpdf(z) for rows in members])
    evidence = logsumexp(joint, axis=-1)
    everything = logsumexp(prior + evidence.sum(axis=0))
    exact = np.array([everything - logsumexp(prior + evidence.sum(axis=0) - evidence[groups[i]]
                                             + logsumexp(joint[groups[i]] - density[i], axis=-1))
                      for i in range(len(bound.y))])

    rng = np.random.default_rng(3)
    weight = np.exp(prior + evidence.sum(axis=0) - everything).ravel()
    a, b = np.unravel_index(rng.choice(weight.size, 2 * draws, p=weight / weight.sum()), prior.shape)
    effects = np.empty((2 * draws, len(members), 1))
    for g in range(len(members)):
        below = np.cumsum(np.exp(joint[g, a, b] - evidence[g, a, b][:, None]), axis=1)
        effects[:, g, 0] = z[(below < rng.uniform(size=(2 * draws, 1)) * below[:, -1:]).sum(axis=1)]
    values = {"mu": mu[a][:, None], "g_scale": np.exp(log_scale)[b][:, None], "g_z": effects}
    return Posterior(model, bound, tree(bound, values, 2)), exact
