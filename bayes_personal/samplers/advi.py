"""ADVI: a Gaussian fitted to the posterior by stochastic optimisation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import xarray as xr
from rich.progress import Progress
from scipy.special import ndtri

from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.start import hyperpriors_must_reach, outcome_must_have_density
from bayes_personal.system.arguments import one_of, positive, whole_number

if TYPE_CHECKING:
    import pymc as pm

# PyMC's names of the Gaussians.
GAUSSIANS = {"mean-field": "ADVI", "full-rank": "FullRankADVI"}
ONE_SIDED = float(ndtri(0.95))
SLOWER = 4
# How far, in natural units, a parameter can go in a stage's first block, and how short that block may be.
TRAVEL, SHORTEST = 40, 1000
FEWEST_RATIOS = 4000
# Standard deviations of q at the start, for parameters that start at draws of their prior.
NARROW = 0.1


@final
@dataclass(frozen=True)
class ADVI:
    """Automatic differentiation variational inference: a Gaussian q on the sampler's scale, nearest in KL(q || p).

    The optimiser, Adam, runs in stages of ever smaller learning rates. A stage runs in blocks that double in length,
    until the losses of a block's second half are no lower than those of its first; its fit is the average of the
    iterates over that second half. The stages end with the one whose fit is no better than the last one's. "No lower"
    is judged by ranks, which stand up to the heavy tails of the loss: with 95 % confidence, an earlier loss exceeds a
    later one with a probability below 1/2 + `tolerance`. A drift too slow for one block shows in the next, twice as
    long; a bias from the optimiser's own noise shows when the rate falls.

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
        Progress that does not count, as a probability beyond 1/2; smaller is stricter.
    learning_rate
        Learning rate of the first stage, in natural units a step.
    batch
        Rows that a step looks at, drawn anew for each step; by default all rows. A few hundred make a step as cheap for
        a million rows as for a thousand. Pareto k still judges the fit by the density of all rows.

    Raises
    ------
    SpecificationError
        An unknown covariance; fewer than 4 draws or iterations, or a batch without rows; a tolerance outside (0, 1/2);
        a learning rate that is not positive; while fitting, a loss that is not finite.

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
    batch: int | None = None

    def __post_init__(self) -> None:
        one_of("ADVI", GAUSSIANS, covariance=self.covariance)
        whole_number("ADVI", 4, draws=self.draws, max_iterations=self.max_iterations)
        whole_number("ADVI", 1, **({} if self.batch is None else {"batch": self.batch}))
        positive("ADVI", tolerance=self.tolerance, learning_rate=self.learning_rate)
        if not self.tolerance < 0.5:
            raise SpecificationError(f"ADVI: tolerance={self.tolerance!r} must lie between 0 and 1/2.")

    def sample(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Fit q, and draw from it."""
        if bound.division is not None:
            raise SpecificationError(f"ADVI: the divisions of {bound.division.prior!r} are summed out, which leaves "
                                     "few hyperparameters. Use NUTS() or Laplace().")
        hyperpriors_must_reach(bound)
        outcome_must_have_density(bound)
        import pymc as pm
        from pytensor.compile.sharedvalue import shared

        from bayes_personal.model.program import program

        fit_seed, draw_seed, start_seed = np.random.SeedSequence(seed).spawn(3)
        rate: Any = shared(self.learning_rate)
        batch = None if self.batch is None or self.batch >= len(bound.rows) else self.batch
        with program(bound, batch) as model:
            inference = getattr(pm, GAUSSIANS[self.covariance])(
                random_seed=int(fit_seed.generate_state(1)[0]),
                **_start(bound, model, np.random.default_rng(start_seed)))
            step = inference.objective.step_function(score=True, obj_optimizer=pm.adam(learning_rate=rate))
        losses, ratios, converged = self._optimise(step, rate, inference.approx.params, progress)
        (group,) = inference.approx.groups
        noise = np.random.default_rng(draw_seed).standard_normal((self.draws, group.ddim))
        points = group.symbolic_random.eval({group.symbolic_initial: noise})
        if batch is not None:
            ratios = _of_all_rows(bound, group, points, inference.approx)
        result = tree(bound, _values(bound, model, group.ordering, points), 1, inference_library="pymc", method="ADVI",
                      engine="a variational approximation of all unknowns")
        result["variational"] = xr.DataTree(xr.Dataset(
            {"loss": ("iteration", losses)}, coords={"iteration": np.arange(1, len(losses) + 1)},
            attrs={"covariance": self.covariance, "converged": int(converged), "iterations": len(losses),
                   "pareto_k": _pareto_k(ratios), "elbo": float(-ratios.mean())}))
        return result

    def _optimise(self, step: Callable[[], Any], rate: Any, parameters: list[Any],
                  progress: bool) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return the losses, draws of log q - log p of the fit, and whether it converged; set the parameters to it."""
        losses, ratios, speed = np.empty(0), None, self.learning_rate
        # With this many draws, two stages of equal worth pass for equal 19 times in 20.
        count = max(FEWEST_RATIOS, int((2 * ONE_SIDED / self.tolerance) ** 2 / 6))
        with Progress(disable=not progress) as bar:
            task = bar.add_task(f"ADVI, at most {self.max_iterations} iterations", total=self.max_iterations)
            while True:
                rate.set_value(speed)
                length = max(round(TRAVEL / speed), SHORTEST)
                stage_losses, settled = self._settle(step, parameters, length, len(losses),
                                                     lambda iteration: bar.update(task, completed=iteration))
                losses = np.concatenate([losses, stage_losses])
                # Without a learning rate a step only returns log q - log p at a fresh draw of q.
                rate.set_value(0.0)
                last_ratios, ratios = ratios, np.array([step() for _ in range(count)])
                converged = settled and last_ratios is not None and not _falls(last_ratios, ratios, self.tolerance)
                if converged or len(losses) >= self.max_iterations:
                    return losses, ratios, converged
                speed /= SLOWER

    def _settle(self, step: Callable[[], Any], parameters: list[Any], length: int, offset: int,
                report: Callable[[int], None]) -> tuple[np.ndarray, bool]:
        """Run one stage, set the parameters to their average; return the losses and whether they stopped falling."""
        losses, start = np.empty(self.max_iterations - offset), 0
        while True:
            stop = min(start + length, len(losses))
            middle = (start + stop) // 2
            sums = [np.zeros_like(parameter.get_value()) for parameter in parameters]
            for i in range(start, stop):
                losses[i] = step()
                if not np.isfinite(losses[i]):
                    raise SpecificationError(f"{self!r}: the loss is {losses[i]} at iteration {offset + i + 1}. Lower "
                                             "learning_rate, or use NUTS().")
                if i >= middle:
                    for total, parameter in zip(sums, parameters, strict=True):
                        total += parameter.get_value(borrow=True)
                if i % 200 == 0:
                    report(offset + i)
            settled = not _falls(losses[start:middle], losses[middle:stop], self.tolerance)
            if settled or stop == len(losses):
                for total, parameter in zip(sums, parameters, strict=True):
                    parameter.set_value(total / (stop - middle))
                return losses[:stop], settled
            start, length = stop, 2 * length


def _falls(earlier: np.ndarray, later: np.ndarray, tolerance: float) -> bool:
    """Return whether P(earlier > later) may exceed 1/2 by `tolerance`, at 95 % confidence."""
    from scipy.stats import mannwhitneyu

    pairs = len(earlier) * len(later)
    if not pairs:
        return True
    wins: Any = mannwhitneyu(earlier, later)[0]
    error = np.sqrt((len(earlier) + len(later) + 1) / (12 * pairs))
    return bool(wins / pairs - 0.5 + ONE_SIDED * error > tolerance)


def _pareto_k(ratios: np.ndarray) -> float:
    """Return Pareto k of the importance ratios p / q, given log q - log p."""
    from arviz_stats.base.array import array_stats

    return float(array_stats.psislw(ratios)[1])


def _start(bound: BoundModel, model: "pm.Model", rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """Return where the fit starts: the parameters of nonlinear functions at draws of their prior, with a narrow q.

    At the middle of the prior the units of a network, and the types of a mixture, are alike: a saddle that gradients
    do not leave.
    """
    values: dict[str, Any] = {}
    for parameter in (parameter for field in bound.nonlinear for parameter in field.parameters()):
        scale = parameter.support != "real"
        values[parameter.name] = parameter.value(np.zeros(parameter.size)) if scale else parameter.draw(rng, values)
    widths = {model.rvs_to_values[model[name]].name: np.full(np.size(value), NARROW) for name, value in values.items()}
    return {"start": values, "start_sigma": widths} if values else {}


def _of_all_rows(bound: BoundModel, group: Any, points: np.ndarray, approximation: Any) -> np.ndarray:
    """Return log q - log p at points (draw, size) of the fit, with the density of all rows."""
    from scipy.stats import multivariate_normal

    from bayes_personal.model.program import program

    fit = multivariate_normal(approximation.mean.eval(), approximation.cov.eval(), allow_singular=True)
    log_density = program(bound).compile_logp()
    values = [{name: point[entries].reshape(shape) for name, entries, shape, _ in
               ((name, *layout[1:]) for name, layout in group.ordering.items())} for point in points]
    return fit.logpdf(points) - np.array([float(log_density(point)) for point in values])


def _values(bound: BoundModel, model: "pm.Model", ordering: Any, points: np.ndarray) -> dict[str, np.ndarray]:
    """Return the model's variables, (draw, ...), at points (draw, size) of the sampler's scale."""
    hyper = {parameter.name: parameter for parameter in bound.hyperparameters}
    names: Iterable[tuple[str, str]] = ((model.rvs_to_values[rv].name, rv.name) for rv in model.free_RVs)
    values = {}
    for sampler_name, name in names:
        _, entries, shape, _ = ordering[sampler_name]
        part = points[:, entries]
        values[name] = hyper[name].value(part) if name in hyper else part.reshape(-1, *shape)
    for function in bound.gaussian_functions:
        values |= function.colored(values, values[f"{function.name}_z"], np)
    return values
