"""Leave-one-out by brute force: refits without rows, and sums over grids that hold all of a small posterior."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.families import Family
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.samplers.draws import flat, tree


def curve(rows: int = 60, personal: float = 0.0) -> pd.DataFrame:
    """y = c / 2 + (sin(3 c) + u) x + e: a slope that moves with c and, where `personal` > 0, is each row's own."""
    rng = np.random.default_rng(6)
    c, x, u, e = rng.uniform(-1, 1, rows), *rng.normal(0, 1, (3, rows))
    return pd.DataFrame({"y": c / 2 + (np.sin(3 * c) + personal * u) * x + 0.4 * e, "x": x, "c": c,
                         "person": np.arange(rows)})


SMOOTH = bp.GaussianProcess("c", kernel="squared_exponential")
ASSUMPTIONS = {"smooth": (SMOOTH, 0.0), "smooth and personal": (SMOOTH + bp.PartialPooling("person", on=["x"]), 0.6)}


def whole(bound: BoundModel) -> Batch:
    """All training rows as one batch."""
    (batch,) = bound.rows.batches(len(bound.rows))
    return batch


def without(bound: BoundModel, rows: int | np.ndarray) -> BoundModel:
    """The model of the other rows, with scalings, bases and hyperpriors as all rows made them."""
    return bound.with_rows(np.delete(np.arange(len(bound.y)), rows))


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


def left_out(bound: BoundModel, values: dict, offset: np.ndarray, covariance: np.ndarray,
             rows: int | np.ndarray) -> float:
    """log p(y_out | y_rest) where eta ~ MvNormal(offset, covariance) and errors are Normal."""
    rows = np.atleast_1d(rows)
    kept, error = np.setdiff1d(np.arange(len(bound.y)), rows), (bound.constants * values.get("sigma", 1.0)) ** 2
    total = covariance + np.diag(error)
    gain = np.linalg.solve(total[np.ix_(kept, kept)], covariance[np.ix_(kept, rows)]).T
    mean = offset[rows] + gain @ (bound.y - offset)[kept]
    return float(multivariate_normal.logpdf(bound.y[rows], mean,
                                            total[np.ix_(rows, rows)] - gain @ covariance[np.ix_(kept, rows)]))


def prior_of_eta(bound: BoundModel, term: Term | None, values: dict) -> np.ndarray:
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


@dataclass(frozen=True, eq=False)
class Grid:
    """All of the posterior of a model with an intercept that groups share partly.

    Given mu and the scale, groups are independent of one another and each effect is one number, so that grids over mu,
    the scale and the whitened effect hold it.
    """

    bound: BoundModel
    mu = np.linspace(-2.7, 3.7, 65)
    log_scale = np.linspace(-2.5, 1.5, 49)
    z = np.linspace(-6, 6, 97)

    @cached_property
    def joint(self) -> np.ndarray:
        """log p(y_g, z_g | mu, scale) of every group, (group, mu, scale, z)."""
        bound = self.bound
        eta = self.mu[:, None, None] + np.exp(self.log_scale)[:, None] * self.z
        result = np.tile(norm.logpdf(self.z), (bound.terms[0].size, len(self.mu), len(self.log_scale), 1))
        for group, y, known in zip(bound.features[0].matrix.indices, bound.y, bound.constants, strict=True):
            result[group] += bound.family.likelihood(eta[..., None], {}, known, np).log_density(y)
        return result

    @cached_property
    def posterior(self) -> np.ndarray:
        """log p(mu, scale, y), (mu, scale)."""
        prior = norm.logpdf(self.mu, 0.5, 0.8)[:, None] + norm.logpdf(self.log_scale, -0.5, 0.4)
        return prior + logsumexp(self.joint, axis=-1).sum(axis=0)

    def left_out(self, rows: int | np.ndarray) -> float:
        """log p(y_out | y_rest)."""
        # Every group has the constant of the grid over its effect, whether it has rows or not.
        return float(logsumexp(self.posterior) - logsumexp(Grid(without(self.bound, rows)).posterior))

    def sample(self, chains: int, draws: int, rng: np.random.Generator) -> xr.DataTree:
        """Independent draws."""
        weight, count = np.exp(self.posterior - logsumexp(self.posterior)), chains * draws
        a, b = np.unravel_index(rng.choice(weight.size, count, p=weight.ravel()), weight.shape)
        effects = np.empty((count, len(self.joint), 1))
        for g, joint in enumerate(self.joint):
            below = np.cumsum(np.exp(joint[a, b] - joint[a, b].max(axis=1, keepdims=True)), axis=1)
            chosen = (below < rng.uniform(size=(count, 1)) * below[:, -1:]).sum(axis=1)
            effects[:, g, 0] = self.z[chosen]
        values = {"mu": self.mu[a][:, None], "g_scale": np.exp(self.log_scale)[b][:, None], "g_z": effects}
        return tree(self.bound, values, chains)


def on_a_grid(family: Family, frame: pd.DataFrame, draws: int) -> tuple[Posterior, Grid]:
    """Two chains of independent draws of such a model, and the grid that they are from."""
    model = bp.Model("y ~ 1", bp.PartialPooling("g", scale=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.4)), family,
                     mean=bp.Hyperprior("Normal", mu=0.5, sigma=0.8))
    grid = Grid(model.bind(frame))
    return Posterior(model, grid.bound, grid.sample(2, draws, np.random.default_rng(3))), grid
