"""Laplace: near-independent draws of the hyperparameters by importance sampling around their modes."""

import warnings
from dataclasses import dataclass
from typing import final

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from bayes_personal.arguments import flag, whole
from bayes_personal.bound import Bound
from bayes_personal.errors import ConvergenceWarning, SpecificationError
from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.draws import tree
from bayes_personal.inference.importance import LARGEST_K, LEAST_ESS, Mixture, Weighted
from bayes_personal.inference.mode import Mode
from bayes_personal.inference.nuts import NUTS
from bayes_personal.inference.statistics import collapses

STARTS, ROUNDS = 8, 3
# Modes nearer to each other than this, in standard deviations, are one; those with less mass than this do not count.
APART, NEGLIGIBLE = 1.0, 1e-4


@final
@dataclass(frozen=True)
class Laplace:
    """Importance sampling of the hyperparameters, the weights integrated out exactly.

    A multivariate t around every mode that is found from dispersed starts, weighted by Pareto-smoothed importance
    ratios and adapted to them for up to three rounds; the weights of the model are then drawn from their exact
    conditional. Nothing compiles, and the draws are nearly independent. The log evidence is a by-product.

    Right for a Normal family with up to about twenty hyperparameters. Refused where the ratios say that the t's do not
    cover the posterior: Pareto k above 0.5 or an effective sample size below 400 after adaptation, or k above 1 in the
    first round. It then says so and hands over to NUTS.

    Parameters
    ----------
    draws
        Kept draws, as one chain, resampled in proportion to their weights.
    proposals
        Points at which the density is evaluated in each round, a power of two.
    fallback
        Whether to hand over to NUTS where the importance sampling cannot be trusted; if not, that is an error.

    Raises
    ------
    SpecificationError
        Fewer than 4 draws; proposals that are no power of two from 1024 on; a model whose weights do not integrate out;
        with ``fallback=False``, importance ratios that cannot be trusted.

    Warns
    -----
    ConvergenceWarning
        NUTS took over.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao and Gabry (2024), JMLR 25(72):1, doi:10.48550/arXiv.1507.02646. Rue, Martino and
    Chopin (2009), doi:10.1111/j.1467-9868.2008.00700.x.
    """

    draws: int = 2000
    proposals: int = 4096
    fallback: bool = True

    def __post_init__(self) -> None:
        whole("Laplace", 4, draws=self.draws)
        whole("Laplace", 1024, proposals=self.proposals)
        if self.proposals & (self.proposals - 1):
            raise SpecificationError(f"Laplace: proposals={self.proposals} must be a power of two, such as 4096.")
        flag("Laplace", fallback=self.fallback)

    def sample(self, bound: Bound, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw from the posterior."""
        if not collapses(bound):
            raise SpecificationError("Laplace needs a Normal family and a Normal hyperprior of the mean, for it "
                                     "integrates the weights out; use NUTS() or ADVI().")
        density = Collapsed(bound)
        if density.size == 0:
            return NUTS(draws=self.draws, chains=1).sample(bound, seed, progress)
        rng = np.random.default_rng(seed)
        with threadpool_limits(1):
            found = self.weighted(density, rng)
            if not found.trusted:
                return self.refused(found, bound, seed, progress)
            values = density.values(found.resample(self.draws, rng))
            values |= density.draw_weights(values, self.draws, rng)
        result = tree(bound, values, 1, inference_library="bayes_personal")
        result["importance"] = xr.DataTree(xr.Dataset(attrs={
            "pareto_k": found.pareto_k, "ess": found.ess, "proposals": self.proposals,
            "log_evidence": found.log_evidence, "log_evidence_se": found.log_evidence_se}))
        return result

    def weighted(self, density: Collapsed, rng: np.random.Generator) -> Weighted:
        """Importance sampling, adapted until it can be trusted or the rounds are over."""
        mixture = modes(density, rng)
        for last in range(ROUNDS):
            found = Weighted.sample(density.each_value, mixture, self.proposals, rng)
            # Adapting to a handful of draws ends in weights that look fine around the wrong place.
            if found.trusted or (last == 0 and found.pareto_k > 1):
                break
            mixture = mixture.adapted(found.points, found.weights)
        return found

    def refused(self, found: Weighted, bound: Bound, seed: int | None, progress: bool) -> xr.DataTree:
        """What happens where the importance ratios cannot be trusted."""
        why = (f"Laplace: Pareto k is {found.pareto_k:.2f} (at most {LARGEST_K}) and the effective sample size "
               f"{found.ess:.0f} (at least {LEAST_ESS:.0f}): the posterior is not near a mixture of t's")
        if not self.fallback:
            raise SpecificationError(f"{why}. Use NUTS().")
        warnings.warn(f"{why}; NUTS takes over.", ConvergenceWarning, stacklevel=4)
        return NUTS().sample(bound, seed, progress)


def modes(density: Collapsed, rng: np.random.Generator) -> Mixture:
    """Every mode with mass of its own that dispersed starts lead to."""
    starts = [np.zeros(density.size), *rng.normal(0, 2, (STARTS - 1, density.size))]
    kept: list[Mode] = []
    for start in starts:
        mode = Mode.find(density.log_density, density.size, start)
        away = [np.linalg.norm(np.linalg.solve(one.root, mode.point - one.point)) for one in kept]
        if all(distance > APART for distance in away):
            kept.append(mode)
    mass = np.array([density.value(one.point) + np.linalg.slogdet(one.root)[1] for one in kept])
    shares = np.exp(mass - mass.max())
    shares /= shares.sum()
    real = shares > NEGLIGIBLE
    return Mixture(tuple(one for one, keep in zip(kept, real, strict=True) if keep), shares[real] / shares[real].sum())
