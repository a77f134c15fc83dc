"""Whether draws can be trusted: the complaints against them, and the variable each is about."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Self, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.samplers.corrected import SETTLED
from bayes_personal.samplers.group_weights import may_be_drawn
from bayes_personal.samplers.importance import LARGEST_K, LEAST_ESS

R_HAT, ESS_A_CHAIN, E_BFMI, PARETO_K = 1.01, 100, 0.3, 0.7


@final
@dataclass(frozen=True)
class Worst:
    """The worst value of a statistic, and the variable with its labels, or the chain, where it is found."""

    value: float
    where: str


UNCALIBRATED = ("standard deviations from ADVI are not calibrated: in simulations 90 % intervals of a network's theta "
                "held 50 to 86 % of it")


@final
@dataclass(frozen=True)
class Variational:
    """How a variational fit ended.

    Attributes
    ----------
    pareto_k : shape of the tail of the importance ratios p / q; above 0.7 the fit misses the posterior
    converged : whether the loss had stopped falling
    iterations : steps of the optimiser
    """

    pareto_k: float
    converged: bool
    iterations: int

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why the fit must not be trusted; there is always a reason."""
        checks = (
            (True, UNCALIBRATED),
            (not self.converged, f"ADVI did not converge in {self.iterations} iterations; raise max_iterations"),
            (not self.pareto_k <= PARETO_K,
             f"Pareto k is {self.pareto_k:.2f}, above {PARETO_K}: the fit misses the posterior; use NUTS"))
        return tuple(words for failed, words in checks if failed)

    @property
    def words(self) -> tuple[str, ...]:
        """How the fit ended, a line a statement."""
        return (f"ADVI {'converged' if self.converged else 'did not converge'} in {self.iterations} iterations",
                f"Pareto k {self.pareto_k:.2f}")


@final
@dataclass(frozen=True)
class Importance:
    """How well importance sampling went.

    Attributes
    ----------
    pareto_k, largest_k : shape of the tail of the importance ratios, and up to which one they can be trusted
    ess : Kish's effective sample size of the weights
    log_evidence, log_evidence_se : log of the marginal likelihood, and its standard error; None after a cut, which is
        weighted at each draw of a population; `pareto_k` and `ess` are then the worst of 99 % of these draws
    rule_error : where rows have no Normal likelihood, standard deviation of the error of the log likelihood from
        integrals over the weights of groups; None for a Normal family
    largest_ratio : where they have not, largest ratio of the density of a group's weights to that of the candidates of
        its draws, and after a cut also of the hyperparameters at a draw of the population to that of theirs; None for a
        Normal family
    steps : where they have not, after a cut, steps of the chain of hyperparameters at each draw of the population; None
        elsewhere
    """

    pareto_k: float
    ess: float
    log_evidence: float | None = None
    log_evidence_se: float | None = None
    rule_error: float | None = None
    largest_ratio: float | None = None
    largest_k: float = LARGEST_K
    steps: float | None = None

    @classmethod
    def of(cls, node: xr.DataTree | xr.DataArray) -> Self:
        """Read the attributes of a group of a tree."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: float(node.attrs[name]) for name in names if name in node.attrs})

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why the draws must not be trusted; empty when nothing speaks against them."""
        cut = self.log_evidence is None and (self.rule_error is None or self.steps is not None)
        remedy = "take freeze='plug-in'" if cut else "use NUTS(collapse=False)" if self.rule_error is not None else \
            "use NUTS"
        error, ratio = self.rule_error or 0.0, self.largest_ratio or 1.0
        checks = ((not self.pareto_k <= self.largest_k,
                   f"Pareto k is {self.pareto_k:.2f}, above {self.largest_k:.2f}; {remedy}"),
                  (not self.ess >= LEAST_ESS, f"the importance weights leave {self.ess:.0f} draws, fewer than "
                                              f"{LEAST_ESS:.0f}; {remedy}"),
                  (not error <= SETTLED, f"integrals over the weights of groups have an error of {error:.3f}, above "
                                         f"{SETTLED}, in the log likelihood; {remedy}"),
                  (not may_be_drawn(ratio), "chains do not forget their start: the largest ratio of their draws is "
                                            f"{ratio:.0f}; {remedy}"))
        return tuple(words for failed, words in checks if failed)

    @property
    def words(self) -> tuple[str, ...]:
        """How the importance sampling went, a line a statement."""
        lines = [f"Pareto k {self.pareto_k:.2f}, importance ESS {self.ess:.0f}"]
        if self.log_evidence is not None:
            lines.append(f"log evidence {self.log_evidence:.2f} +- {self.log_evidence_se:.2f}")
        if self.rule_error:
            lines.append(f"groups integrated with an error of {self.rule_error:.3f} in the log likelihood, largest "
                         f"ratio of their draws {self.largest_ratio:.1f}")
        if self.steps is not None:
            lines.append(f"hyperparameters drawn by {self.steps:.0f} steps at each draw of the population")
        return tuple(lines)


    @property
    def explanation(self) -> str:
        """What the numbers mean, in words."""
        result = (f"Draws are weighted by the ratio of the posterior to what they were drawn from: Pareto k tells how "
                  f"heavy the tail of these weights is, which can be trusted up to {self.largest_k:.2f}, and the "
                  "importance ESS how many independent draws they are worth.")
        if self.rule_error:
            result += (" The weights of groups are integrated on nodes, whose error in the log likelihood should be "
                       "far below 1, and drawn by as many steps as the largest ratio asks for.")
        return result


@final
@dataclass(frozen=True)
class Diagnostics:
    """The diagnostics of a sampler's draws.

    R-hat and effective sample sizes are those of hyperparameters, the mean and effects. Whitened weights and partial
    correlations follow from these and are left out. So are constants, loadings, which rotate and change sign, and the
    parameters of single types, archetypes and hidden units, whose labels switch. Draws of a variational fit are
    independent whatever the fit is worth: they have neither R-hat nor effective sample size.

    Attributes
    ----------
    chains, draws : how many chains, and draws in each
    engine : what drew the posterior, in words; empty where that is not on record
    divergences : transitions of NUTS that left the trajectory
    r_hat : largest rank-normalised split R-hat; None for a single chain
    ess_bulk, ess_tail : least effective sample sizes
    e_bfmi : least energy Bayesian fraction of missing information of a chain; None without energies
    variational : how a variational fit ended; None for samplers
    importance : how importance sampling went; None for other samplers
    correction : how well importance weights corrected the draws of a sampler that moved under pseudo-data; None where
        it moved in the model itself
    exact : whether the draws are independent draws of the posterior itself
    population : diagnostics of the stage that estimated a frozen population; None without such a stage

    References
    ----------
    Vehtari et al. (2021), doi:10.1214/20-BA1221. Betancourt (2017), doi:10.48550/arXiv.1701.02434.
    Yao et al. (2018), doi:10.48550/arXiv.1802.02538.
    """

    chains: int
    draws: int
    divergences: int = 0
    r_hat: Worst | None = None
    ess_bulk: Worst | None = None
    ess_tail: Worst | None = None
    e_bfmi: Worst | None = None
    variational: Variational | None = None
    importance: Importance | None = None
    correction: Importance | None = None
    exact: bool = False
    population: "Diagnostics | None" = None
    engine: str = ""

    @classmethod
    def of(cls, tree: xr.DataTree, bound: BoundModel | None = None) -> Self:
        """Diagnose a tree with ArviZ's groups: the variables that the model diagnoses, or every variable."""
        from arviz_stats.base.array import array_stats

        posterior = tree["posterior"].to_dataset()
        chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
        engine = posterior.attrs.get("engine", "")
        population = Diagnostics.of(tree.children["population"], bound) if "population" in tree.children else None
        if "variational" in tree:
            attributes = tree["variational"].attrs
            return cls(chains, draws, variational=Variational(
                float(attributes["pareto_k"]), bool(attributes["converged"]), int(attributes["iterations"])),
                engine=engine)
        if "importance" in tree:
            return cls(chains, draws, population=population, importance=Importance.of(tree["importance"]),
                       engine=engine)
        statistics = tree["sample_stats"].to_dataset() if "sample_stats" in tree else xr.Dataset()
        left_out = bound.undiagnosed(bool(posterior.attrs.get("collapsed"))) if bound else frozenset()
        moving = list(_moving(posterior.drop_vars(left_out, errors="ignore")))
        return cls(
            chains, draws,
            int(statistics["diverging"].sum()) if "diverging" in statistics else 0,
            _worst(moving, array_stats.rhat, np.inf) if chains > 1 else None,
            _worst(moving, lambda values: array_stats.ess(values, method="bulk"), 0.0),
            _worst(moving, lambda values: array_stats.ess(values, method="tail", prob=(0.05, 0.95)), 0.0),
            _least_e_bfmi(statistics["energy"]) if "energy" in statistics else None,
            correction=Importance.of(tree["correction"]) if "correction" in tree else None,
            exact=posterior.attrs.get("inference_library") == "exact", population=population, engine=engine)

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why the draws must not be trusted; empty when nothing speaks against them."""
        inherited = () if self.population is None else self.population.complaints
        return (*(f"population: {complaint}" for complaint in inherited), *self._complaints)

    @property
    def _complaints(self) -> tuple[str, ...]:
        """The complaints of this stage alone."""
        if self.variational is not None:
            return self.variational.complaints
        if self.importance is not None:
            return self.importance.complaints
        wrong = (
            (self.divergences > 0, f"{self.divergences} divergences; raise target_accept"),
            (self.chains == 1 and not self.exact, "one chain has no R-hat; run 4"),
            *((not low <= worst.value <= high, f"{words}, should be at {f'least {low}' if low else f'most {high}'}")
              for worst, words, low, high in self._statistics()))
        of_correction = () if self.correction is None else self.correction.complaints
        return (*(words for failed, words in wrong if failed), *of_correction)

    @property
    def words(self) -> tuple[str, ...]:
        """The diagnostics, a line a statement."""
        inherited = () if self.population is None else self.population.words
        engine = (f"engine: {self.engine}",) if self.engine else ()
        return (*(f"population: {line}" for line in inherited), *engine, *self._words)

    @property
    def explanation(self) -> str:
        """What the numbers of importance sampling mean, in words; empty where there are none."""
        weighted = self.importance or self.correction
        return "" if weighted is None else weighted.explanation

    @property
    def _words(self) -> tuple[str, ...]:
        """The words of this stage alone."""
        if self.variational is not None:
            return (f"{self.draws} independent draws", *self.variational.words)
        if self.importance is not None:
            return (f"{self.draws} draws resampled by their importance", *self.importance.words)
        return (f"{self.chains} chains of {self.draws} draws, {self.divergences} divergences",
                *(f"worst {words}" for _, words, *_ in self._statistics()),
                *(() if self.correction is None else self.correction.words))

    def _statistics(self) -> Iterator[tuple[Worst, str, float, float]]:
        """Yield each available statistic, in words, and the least and most that it should be."""
        enough = ESS_A_CHAIN * self.chains
        for worst, name, form, low, high in (
                (self.r_hat, "R-hat", ".3f", 0, R_HAT), (self.ess_bulk, "bulk ESS", ".0f", enough, np.inf),
                (self.ess_tail, "tail ESS", ".0f", enough, np.inf), (self.e_bfmi, "E-BFMI", ".2f", E_BFMI, np.inf)):
            if worst is not None:
                yield worst, f"{name} {worst.value:{form}} at {worst.where}", low, high

    def __str__(self) -> str:
        return "\n".join(self.words)


Moving = tuple[xr.DataArray, np.ndarray, np.ndarray]


def _moving(posterior: xr.Dataset) -> Iterator[Moving]:
    """Yield each variable, the flat positions of its varying entries, and their draws (entry, chain, draw)."""
    for variable in posterior.data_vars.values():
        values = variable.transpose("chain", "draw", ...).to_numpy()
        values = np.moveaxis(values.reshape(*values.shape[:2], -1), -1, 0)
        moves = (values != values[:, :1, :1]).any(axis=(1, 2))
        if moves.any():
            yield variable, np.flatnonzero(moves), values[moves]


def _worst(moving: list[Moving], statistic: Callable[[np.ndarray], Any], broken: float) -> Worst | None:
    """Return the entry with the most extreme statistic in the direction of `broken`, the value where it is undefined.

    A statistic is undefined where a draw is not finite, and where chains do not move but differ from each other.
    """
    candidates = []
    for variable, positions, values in moving:
        # ArviZ would divide by a variance of zero within the chains.
        defined = np.isfinite(values).all(axis=(1, 2)) & (values != values[:, :, :1]).any(axis=(1, 2))
        results = np.full(len(values), broken)
        results[defined] = statistic(values[defined])
        k = int(np.argmax(results) if broken > 0 else np.argmin(results))
        candidates.append((float(results[k]), variable, int(positions[k])))
    if not candidates:
        return None
    value, variable, position = (max if broken > 0 else min)(candidates, key=lambda candidate: candidate[0])
    return Worst(value, _label(variable, position))


def _label(variable: xr.DataArray, position: int) -> str:
    """Return an entry's variable and labels: ``subject_scale[days]``."""
    dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
    if not dims:
        return str(variable.name)
    places = np.unravel_index(position, [variable.sizes[dim] for dim in dims])
    labels = (str(variable[dim].to_numpy()[place]) for dim, place in zip(dims, places, strict=True))
    return f"{variable.name}[{', '.join(labels)}]"


def _least_e_bfmi(energy: xr.DataArray) -> Worst:
    """Return the least E-BFMI of a chain."""
    from arviz_stats.base.array import array_stats

    by_chain: Any = array_stats.bfmi(energy.transpose("chain", "draw").to_numpy())
    k = int(np.argmin(by_chain))
    return Worst(float(by_chain[k]), f"chain {energy['chain'].to_numpy()[k]}")
