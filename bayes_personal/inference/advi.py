"""ADVI: a Gaussian fitted to the posterior by stochastic optimisation."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pymc as pm
import pytensor
import xarray as xr
from arviz_stats.base import array_stats
from rich.progress import Progress
from scipy.stats import mannwhitneyu

from bayes_personal.bound import Bound
from bayes_personal.errors import SpecificationError
from bayes_personal.inference.draws import tree
from bayes_personal.program import program

GAUSSIANS = {"mean-field": pm.ADVI, "full-rank": pm.FullRankADVI}
FIRST_BLOCK = 2000
RATIOS = 4000


@final
@dataclass(frozen=True)
class ADVI:
    """Automatic differentiation variational inference: a Gaussian q on the sampler's scale, nearest in KL(q || p).

    The optimiser runs in blocks that double in length, and stops when the losses of a block's two halves cannot be
    told apart: with 95 % confidence, a loss of the first half exceeds one of the second with a probability within
    `tolerance` of 1/2. Ranks stand up to the heavy tails of the loss, and a drift too slow for one block shows in the
    next, twice as long. The fit is the average of the iterates over the second half of the last block, which takes
    out the optimiser's own noise.

    Right for a first look at a large model that is not collapsed. Fails at uncertainty: standard deviations are too
    small, by far for the scales of effects; every posterior made by it says so. Pareto k, of draws of log p - log q,
    tells how far off the fit is: above 0.7 not even its means are safe.

    Parameters
    ----------
    covariance
        "mean-field": no correlations; "full-rank": all of them, at a cost quadratic in the number of variables.
    draws
        Kept independent draws of the fit, as one chain.
    max_iterations
        Steps after which the optimiser stops in any case; the posterior then says that it did not converge.
    tolerance
        How far from 1/2 the probability that an earlier loss exceeds a later one may be; smaller is stricter.
    learning_rate
        Of Adam, in natural units a step.

    Raises
    ------
    SpecificationError
        An unknown covariance; fewer than 4 draws or iterations; a tolerance outside (0, 1/2); a learning rate that
        is not positive; while fitting, a loss that is not finite.

    References
    ----------
    Kucukelbir et al. (2017), JMLR 18(14):1. Yao et al. (2018), doi:10.48550/arXiv.1802.02538.
    Dhaka et al. (2020), doi:10.48550/arXiv.2009.00666.
    """

    covariance: str = "mean-field"
    draws: int = 1000
    max_iterations: int = 200_000
    tolerance: float = 0.02
    learning_rate: float = 0.02

    def __post_init__(self) -> None:
        if self.covariance not in GAUSSIANS:
            raise SpecificationError(f"ADVI: covariance={self.covariance!r} must be 'mean-field' or 'full-rank'.")
        if self.draws < 4 or self.max_iterations < 4:
            raise SpecificationError(f"{self!r}: need at least 4 draws and 4 iterations.")
        if not 0 < self.tolerance < 0.5:
            raise SpecificationError(f"ADVI: tolerance={self.tolerance!r} must lie between 0 and 1/2.")
        if not 0 < self.learning_rate < np.inf:
            raise SpecificationError(f"ADVI: learning_rate={self.learning_rate!r} must be positive and finite.")

    def sample(self, bound: Bound, seed: int | None, progress: bool) -> xr.DataTree:
        """Fit q, and draw from it."""
        descent, kept = np.random.SeedSequence(seed).spawn(2)
        rate = pytensor.shared(self.learning_rate)
        with program(bound) as model:
            inference = GAUSSIANS[self.covariance](random_seed=int(descent.generate_state(1)[0]))
            step = inference.objective.step_function(score=True, obj_optimizer=pm.adam(learning_rate=rate))
        losses, converged = self._descend(step, inference.approx.params, progress)
        # Without a learning rate a step only returns log q - log p at a fresh draw of q.
        rate.set_value(0.0)
        ratios = np.array([step() for _ in range(RATIOS)])

        (group,) = inference.approx.groups
        noise = np.random.default_rng(kept).standard_normal((self.draws, group.ddim))
        points = group.symbolic_random.eval({group.symbolic_initial: noise})
        result = tree(bound, _values(bound, model, group.ordering, points), 1, inference_library="pymc", method="ADVI")
        result["variational"] = xr.DataTree(xr.Dataset(
            {"loss": ("iteration", losses)}, coords={"iteration": np.arange(1, len(losses) + 1)},
            attrs={"covariance": self.covariance, "converged": int(converged), "iterations": len(losses),
                   "pareto_k": _pareto_k(ratios), "elbo": float(-ratios.mean())}))
        return result

    def _descend(self, step: Callable[[], Any], parameters: list[Any], progress: bool) -> tuple[np.ndarray, bool]:
        """Optimise until the loss stops falling; leave the average of the last iterates in the parameters."""
        losses = np.empty(self.max_iterations)
        with Progress(disable=not progress) as bar:
            task = bar.add_task("ADVI", total=self.max_iterations)
            for start, middle, stop in _blocks(self.max_iterations):
                sums = [np.zeros_like(parameter.get_value()) for parameter in parameters]
                for i in range(start, stop):
                    losses[i] = step()
                    if not np.isfinite(losses[i]):
                        raise SpecificationError(f"{self!r}: the loss is {losses[i]} at iteration {i + 1}. Lower "
                                                 "learning_rate, or use NUTS().")
                    if i >= middle:
                        for total, parameter in zip(sums, parameters, strict=True):
                            total += parameter.get_value(borrow=True)
                    if i % 200 == 0:
                        bar.update(task, completed=i)
                if converged := _level(losses[start:middle], losses[middle:stop], self.tolerance):
                    break
            bar.update(task, completed=stop, total=stop)
        for total, parameter in zip(sums, parameters, strict=True):
            parameter.set_value(total / (stop - middle))
        return losses[:stop], converged


def _blocks(iterations: int) -> Iterator[tuple[int, int, int]]:
    """Start, middle and end of blocks that double in length."""
    start, length = 0, FIRST_BLOCK
    while start < iterations:
        stop = min(start + length, iterations)
        yield start, (start + stop) // 2, stop
        start, length = stop, 2 * length


def _level(earlier: np.ndarray, later: np.ndarray, tolerance: float) -> bool:
    """Whether P(earlier loss > later loss) is within `tolerance` of 1/2, with 95 % confidence."""
    pairs = len(earlier) * len(later)
    if not pairs:
        return False
    probability = mannwhitneyu(earlier, later).statistic / pairs
    error = np.sqrt((len(earlier) + len(later) + 1) / (12 * pairs))
    return bool(abs(probability - 0.5) + 1.96 * error < tolerance)


def _pareto_k(ratios: np.ndarray) -> float:
    """Pareto k of the importance ratios p / q, given log q - log p."""
    return float(array_stats.psislw(ratios)[1])


def _values(bound: Bound, model: pm.Model, ordering: Any, points: np.ndarray) -> dict[str, np.ndarray]:
    """The model's variables, (draw, ...), at points (draw, size) of the sampler's scale."""
    hyper = {parameter.name: parameter for parameter in (*([bound.mean] if bound.mean else []), *bound.parameters)}
    names: Iterable[tuple[str, str]] = ((model.rvs_to_values[rv].name, rv.name) for rv in model.free_RVs)
    values = {}
    for moved, name in names:
        _, where, shape, _ = ordering[moved]
        part = points[:, where]
        values[name] = hyper[name].value(part) if name in hyper else part.reshape(-1, *shape)
    return values
