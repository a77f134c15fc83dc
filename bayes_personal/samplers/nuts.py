"""NUTS, the default sampler of a posterior."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.expanded_divisions import expands
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.linearised.linearised_density import corrects
from bayes_personal.densities.marginal import ACCEPT, HyperparameterDensity, MarginalDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.corrected import walked
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.information import Information
from bayes_personal.samplers.linearising import linearised
from bayes_personal.samplers.mode import Mode
from bayes_personal.samplers.redrawn import remainder
from bayes_personal.samplers.softened import Softened
from bayes_personal.samplers.start import hyperpriors_must_reach, outcome_must_have_density, started
from bayes_personal.system.arguments import flag, fraction, one_of, whole_number
from bayes_personal.system.running import interruptible

if TYPE_CHECKING:
    import pymc as pm

TUNE_HYPER, TUNE_ALL = 300, 1000
# Standard deviations of the normal approximation over which chains start: wide enough for R-hat to mean something.
START = 2.0
# Draws of chains that disagree more are those of no density, so that weights cannot correct them.
STUCK = 1.1
# What draws a model that is stated to PyMC.
ENGINE = "NUTS over all unknowns"


@final
@dataclass(frozen=True)
class NUTS:
    """The no-U-turn sampler.

    Where the family is Normal and the mean's hyperprior is too, the weights are integrated out exactly: NUTS moves
    over the hyperparameters alone, in the directions and units that the curvature at their mode suggests, and the
    weights are drawn from their exact conditional afterwards. A gradient then costs the same whatever the number of
    rows. Of several terms with groups, the one with most weights is integrated out group by group; all other weights
    together, with a Cholesky factor of their number, up to 1000 of them. For families with a compiled likelihood the
    weights integrate out under pseudo-data, as `Laplace` describes it: NUTS moves over the hyperparameters under these,
    and importance weights correct its draws. For more weights, where the importance weights cannot be trusted, or with
    ``collapse=False``, NUTS moves over everything.

    It then moves the weights on a scale that follows what the rows tell of them: every row's likelihood is replaced by
    a parabola, under which the weights of a group are standardised given the hyperparameters and all other weights,
    and the mean and those others are decorrelated. Where the rows tell nothing of a group that is the non-centred
    parameterisation, where they tell much the centred one. The density that is sampled is that of the model itself.
    Models with fields, such as a `Mixture`, and with more than 1000 weights beside those groups are moved non-centred.

    Parameters
    ----------
    draws, chains
        Kept draws a chain, and chains.
    tune
        Adaptation draws a chain; by default 300 over hyperparameters alone, 1000 over everything.
    target_accept
        Acceptance that the step size adapts to; nearer to 1 where there are divergences. By default 0.9, and 0.95 where
        divisions of contexts are summed out.
    collapse
        Whether to integrate the weights out where that is exact.
    sampler
        "nutpie", or "pymc" for PyMC's own, which does not collapse.

    Raises
    ------
    SpecificationError
        Fewer than 4 draws or 1 chain, an acceptance outside (0, 1), an unknown sampler.

    References
    ----------
    Hoffman and Gelman (2014), JMLR 15:1593. Betancourt (2017), doi:10.48550/arXiv.1701.02434.
    Papaspiliopoulos, Roberts and Sköld (2007), doi:10.1214/088342307000000014.
    """

    draws: int = 1000
    chains: int = 4
    tune: int | None = None
    target_accept: float | None = None
    collapse: bool = True
    sampler: Literal["nutpie", "pymc"] = "nutpie"

    def __post_init__(self) -> None:
        whole_number("NUTS", 4, draws=self.draws)
        whole_number("NUTS", 1, chains=self.chains, **({} if self.tune is None else {"tune": self.tune}))
        fraction("NUTS", **({} if self.target_accept is None else {"target_accept": self.target_accept}))
        flag("NUTS", collapse=self.collapse)
        one_of("NUTS", ("nutpie", "pymc"), sampler=self.sampler)

    def sample(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw from the posterior."""
        hyperpriors_must_reach(bound)
        density, engine = marginal_density(bound), ENGINE
        if density is not None and self.collapse and self.sampler == "nutpie":
            return self._collapsed(density, seed, progress)
        if density is None and self.collapse and self.sampler == "nutpie" and corrects(bound):
            sampled = self._corrected(bound, seed, progress)
            if isinstance(sampled, xr.DataTree):
                return sampled
            engine = f"{ENGINE}, for draws under pseudo-data could not be corrected: {sampled}"
        if expands(bound):
            raise SpecificationError(f"{self!r}: what cells have of their own does not integrate out of "
                                     f"{bound.family!r}. Use Laplace(), the default, which corrects draws of the "
                                     "divisions by importance weights.")
        if bound.division is not None:
            raise SpecificationError(f"{self!r}: the divisions of {bound.division.prior!r} are always summed out, "
                                     "which takes collapse=True and sampler='nutpie', the defaults.")
        outcome_must_have_density(bound)
        from bayes_personal.model.program import program
        from bayes_personal.samplers.whitened import Whitened, whitened_program

        information = Information.of(bound)
        if information is None:
            sampled = self._sample_program(program(bound), seed, progress)
            sampled["posterior"].attrs["engine"] = engine
            return sampled
        whitened = Whitened(bound, information)
        sampled = self._sample_program(whitened_program(whitened), seed, progress)
        u = sampled["posterior"]["u"].to_numpy()
        values, _ = whitened.values(u.reshape(-1, whitened.size), np)
        return tree(bound, values, len(u), sampled["sample_stats"].to_dataset(), inference_library=self.sampler,
                    engine=engine)

    def _sample_program(self, model: "pm.Model", seed: int | None, progress: bool) -> xr.DataTree:
        """Draw all variables of a program."""
        import pymc as pm

        with model, started(repr(self)), interruptible():
            return pm.sample(draws=self.draws, tune=self.tune or TUNE_ALL, chains=self.chains,
                             target_accept=self.target_accept or ACCEPT, nuts_sampler=self.sampler,
                             random_seed=seed, progressbar=progress, quiet=not progress)

    def _collapsed(self, density: MarginalDensity, seed: int | None, progress: bool) -> xr.DataTree:
        hyper, weights = np.random.SeedSequence(seed).spawn(2)
        rng, count = np.random.default_rng(weights), self.draws * self.chains
        if density.size == 0:
            values, attributes = remainder(density, {}, count, rng)
            return tree(density.bound, values, self.chains, None, inference_library="exact",
                        engine="exact draws: nothing is unknown but weights that integrate out", **attributes)
        points, statistics = self.walk(density, int(hyper.generate_state(1)[0]), progress)
        values = density.values(points)
        exact_draws, attributes = remainder(density, values, count, rng)
        return tree(density.bound, values | exact_draws, self.chains, statistics, inference_library="nutpie",
                    collapsed=1, engine="NUTS over the hyperparameters; all else drawn exactly given these",
                    **attributes)

    def _corrected(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree | str:
        """Walk over the hyperparameters under pseudo-data, and correct the draws, or say why they are not trusted."""
        hyper, rest = np.random.SeedSequence(seed).spawn(2)
        rng, number = np.random.default_rng(rest), int(hyper.generate_state(1)[0])
        statistics: list[xr.Dataset] = []

        def walk(density: HyperparameterDensity) -> np.ndarray:
            points, of_sampler = self.walk(density, number, progress)
            statistics.append(of_sampler)
            return points

        try:
            density, mode = linearised(bound, rng)
            if not density.size:
                return "there are no hyperparameters to walk over"
            sample = walked(density, mode, walk, rng)
        except FloatingPointError as error:
            return f"no pseudo-data stand for the rows: {error}"
        stuck = worst_r_hat(sample.weighted.points[:, : density.size], self.chains)
        if stuck > STUCK:
            return f"chains that walked under them do not agree: R-hat is {stuck:.2f}"
        if sample.trusted:
            values, ratio = sample.values(sample.weighted.resample_chains(self.chains, rng), rng)
            sample = replace(sample, largest_ratio=ratio)
        if not sample.trusted:
            return sample.problem
        result = tree(bound, values, self.chains, statistics[0], inference_library="nutpie", collapsed=1,
                      engine="NUTS over the hyperparameters under Normal pseudo-data; weights drawn given these, and "
                             "all weighted by the rows' own likelihoods")
        result["correction"] = xr.DataTree(xr.Dataset(attrs=sample.summary))
        return result

    def walk(self, density: HyperparameterDensity, seed: int, progress: bool) -> tuple[np.ndarray, xr.Dataset]:
        """Draw points on the sampler's scale, (chain * draw, size), and return the sampler's statistics too."""
        import nutpie
        from nutpie.compiled_pyfunc import from_pyfunc

        highest = Mode.find(density.log_density, density.size).point
        softened = Softened(highest, density.may_vanish)
        walked_density = softened.density(density.log_density)
        mode = Mode.find(walked_density, density.size)
        model = from_pyfunc(
            density.size, lambda: mode.whitened(walked_density), lambda *seeds: lambda v: {"v": v},
            [np.dtype("float64")], [(density.size,)], ["v"],
            make_initial_point_fn=lambda seed: np.random.default_rng(seed).normal(0, START, density.size))
        with started(repr(self)), interruptible():
            # Chains take turns: the density is called from Python, and threads would only contend for the interpreter.
            sampled = nutpie.sample(model, cores=1, draws=self.draws, tune=self.tune or TUNE_HYPER, chains=self.chains,
                                  save_warmup=False, seed=seed, progress_bar=progress,
                                  target_accept=self.target_accept or density.target_accept)
        whitened = sampled["posterior"]["v"].to_numpy().reshape(-1, density.size)
        return softened.points(mode.point + whitened @ mode.root.T), sampled["sample_stats"].to_dataset()


def worst_r_hat(points: np.ndarray, chains: int) -> float:
    """Return the largest R-hat over the columns of draws, one chain after the other; 0 where one chain has none."""
    from arviz_stats.base.array import array_stats

    if chains == 1:
        return 0.0
    columns: Any = points.reshape(chains, -1, points.shape[1])
    r_hats: list[Any] = [array_stats.rhat(columns[..., k]) for k in range(points.shape[1])]
    return max(map(float, r_hats), default=0.0)
