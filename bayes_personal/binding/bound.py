"""A model with its data, in which all shapes are known, and the linear algebra that leads to eta and theta."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, final

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayes_personal.data.columns import unit_labels
from bayes_personal.data.rows import InMemory
from bayes_personal.data.stored import OnDisk
from bayes_personal.errors import InputWarning, SpecificationError, first, warn
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.varying import LOG_UNIT, LogScale
from bayes_personal.formulas.design import Design
from bayes_personal.hyperpriors.distributions import Support
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.division import Division
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.names import distinct_names
from bayes_personal.priors.parts.pieces import Choice, Elsewhere, Function, GaussianFunction, Term, weights

# Least scale, in natural units, of a hyperprior of the mean that leaves room for a constant.
LEAST_ROOM = 0.1


@final
@dataclass(frozen=True, eq=False)
class BoundModel:
    """A model with its data: every shape is known, and nothing is sampled.

    `values` in the methods are arrays by the names of variables, with any leading batch axes: hyperparameters, the mean
    at the predictors' means, and the whitened weights ``<term>_z``.

    `population` is the mean of all coefficients, at the predictors' means, where it is known and so is not a variable.
    `log_scales` are the linear predictors that rows have beside the first one, with one coefficient each.
    """

    family: Family
    mean_prior: Hyperprior
    rows: InMemory | OnDisk
    design: Design
    unit: float
    coefficients: Coefficients
    terms: tuple[Term, ...]
    nonlinear: tuple[Function, ...] = ()
    population: np.ndarray | None = None
    log_scales: tuple[LogScale, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The training rows."""
        return self.rows.frame

    @property
    def x(self) -> np.ndarray:
        """Predictors of the training rows, (unit, coefficient)."""
        return self.rows.x

    @property
    def y(self) -> np.ndarray:
        """Outcomes of the training rows, (unit,)."""
        return self.rows.y

    @property
    def constants(self) -> np.ndarray:
        """Known constants of the training rows' likelihoods, (unit,)."""
        return self.rows.constants

    def with_rows(self, places: np.ndarray) -> Self:
        """Return the model of some training rows, which must be in memory, with all that was learned from all rows."""
        return replace(self, rows=InMemory(self.frame.iloc[places], self.x[places], self.y[places],
                                           self.constants[places]))

    @cached_property
    def units(self) -> np.ndarray:
        """Labels of the training rows, the coordinate ``unit`` of arrays with a value for each row, (unit,)."""
        return unit_labels(self.rows.index)

    @property
    def pieces(self) -> tuple[Term | Function, ...]:
        """All pieces: the terms, then the functions."""
        return (*self.terms, *self.nonlinear)

    @property
    def choice(self) -> Choice | None:
        """The piece with alternatives among which every row chooses."""
        return next((piece for piece in self.nonlinear if isinstance(piece, Choice)), None)

    @property
    def division(self) -> Division | None:
        """The piece that is constant within unseen cells, which are summed out."""
        return next((piece for piece in self.nonlinear if isinstance(piece, Division)), None)

    @property
    def gaussian_functions(self) -> tuple[GaussianFunction, ...]:
        """The pieces whose values at the training contexts are Gaussian given their hyperparameters."""
        return tuple(piece for piece in self.nonlinear if isinstance(piece, GaussianFunction))

    @property
    def second_stage(self) -> Term | None:
        """The term that is estimated after the population, which is frozen before it."""
        return next((term for term in self.terms if term.freezes_population is not None), None)

    @property
    def elsewhere(self) -> Elsewhere | None:
        """The inference about unseen groups, made after everything else, of the term that has one."""
        return next((term.elsewhere for term in self.terms if term.elsewhere is not None), None)

    @cached_property
    def _computed(self) -> dict[Any, Any]:
        """The results that `once` has computed."""
        return {}

    def once[Result](self, function: "Callable[[BoundModel], Result]") -> Result:
        """Return a function's result for this model, which is computed once and shared by all callers."""
        if function not in self._computed:
            self._computed[function] = function(self)
        return self._computed[function]

    def features_at(self, frame: pd.DataFrame) -> tuple[Features, ...]:
        """Return f(c) of any rows, piece by piece."""
        return tuple(piece.at(frame) for piece in self.pieces)

    @cached_property
    def features(self) -> tuple[Features, ...]:
        """f(c) of the training rows, piece by piece."""
        return self.features_at(self.frame)

    @cached_property
    def everywhere(self) -> np.ndarray:
        """Positions of all coefficients."""
        return np.arange(len(self.coefficients.names))

    @cached_property
    def shared(self) -> np.ndarray:
        """Positions of the coefficients whose common mean is to be estimated."""
        if self.population is not None:
            return self.everywhere[:0]
        replaced = [piece.replaced for piece in self.pieces]
        return np.setdiff1d(self.everywhere, np.concatenate([self.everywhere[:0], *replaced]))

    @cached_property
    def mean(self) -> Parameter | None:
        """The population mean with the intercept at the predictors' means; None without a common mean."""
        k, all_of = self.shared, self.coefficients
        if not len(k):
            return None
        plain = len(k) == len(self.everywhere) and not all_of.center.any()
        name, dim = ("mu", "coefficient") if plain else ("mu_centered", "shared")
        coords, arguments = {dim: tuple(all_of.names[j] for j in k)}, {}
        if self.log_scales:
            assert all_of.predictor is not None
            hyperpriors = self.mean_prior, *(scale.varying.mean for scale in self.log_scales)
            each = [hyperpriors[all_of.predictor[j]].arguments(all_of.location[j], all_of.unit[j]) for j in k]
            arguments = {argument: np.array([own[argument] for own in each]) for argument in each[0]}
        else:
            arguments = self.mean_prior.arguments(all_of.location[k], all_of.unit[k])
        return Parameter(name, self.mean_prior.distribution, arguments, all_of.location[k], all_of.unit[k], coords)

    @cached_property
    def predictor_units(self) -> np.ndarray:
        """The natural unit of each linear predictor, (predictor,)."""
        return np.array([self.unit] * self.design.copies + [LOG_UNIT] * len(self.log_scales))

    def warn_of_pinned_mean(self) -> None:
        """Warn where a term leaves the constant to a mean whose hyperprior has no room for it."""
        if self.mean is None:
            return
        arguments = self.mean.arguments
        room = np.broadcast_to(arguments.get("sigma", arguments.get("beta", np.inf)), self.mean.unit.shape)
        tight = self.shared[room < LEAST_ROOM * self.mean.unit]
        for term in self.terms:
            pinned = [self.coefficients.names[k] for k in tight if k in term.positions]
            if term.without_constant and pinned:
                warn(f"Model(mean={self.mean_prior!r}): the mean of {first(pinned)} has hardly any room, and "
                     f"{term.prior.owner} has no constant of its own: what all rows have in common is mu's. "
                     "Widen the hyperprior, or centre the outcome yourself.", InputWarning)

    @cached_property
    def family_parameters(self) -> tuple[Parameter, ...]:
        """The family's own hyperparameters."""
        return self.family.parameters(self.unit)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All hyperparameters but the mean."""
        return (*(parameter for piece in self.pieces for parameter in piece.parameters()), *self.family_parameters)

    @cached_property
    def hyperparameters(self) -> tuple[Parameter, ...]:
        """All hyperparameters; the mean, where there is one, comes first."""
        return (*((self.mean,) if self.mean else ()), *self.parameters)

    @cached_property
    def support(self) -> Support:
        """The set of possible outcomes; on the real line, the linear predictor is in their units."""
        values = {parameter.name: parameter.unit for parameter in self.family_parameters}
        eta = np.zeros((1, self.coefficients.linear_predictors))
        return self.family.likelihood(eta, values, np.ones(1), np).support

    @cached_property
    def weight_names(self) -> frozenset[str]:
        """Names of the variables that are weights of terms: whitened, or in data units."""
        return frozenset(f"{term.name}_{kind}" for term in self.terms for kind in ("z", "effect"))

    def undiagnosed(self, collapsed: bool) -> frozenset[str]:
        """Return the names of the variables whose draws say nothing about the sampler.

        These are hyperparameters declared so, whitened weights, which follow from other variables, and the cells of
        divisions, which every draw numbers anew. Where the weights were integrated out (`collapsed`), no chain moved
        them: they were drawn afterwards, from their exact conditional.
        """
        names = {parameter.name for parameter in self.parameters if not parameter.diagnosed}
        names |= {f"{piece.name}_z" for piece in (*self.terms, *self.gaussian_functions)}
        names |= set(self.division.latent if self.division else ())
        return frozenset(names | self.weight_names if collapsed else names)

    @cached_property
    def dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Labelled dimensions of every variable, by the name of the variable."""
        result = {parameter.name: dict(parameter.coords) for parameter in self.hyperparameters}
        if self.mean:
            result["mu"] = {"coefficient": self.coefficients.names}
        for term in self.terms:
            ((name, labels),) = term.varying.items()
            for kind in ("z", "effect"):
                result[f"{term.name}_{kind}"] = term.features | term.varying
            result[f"{term.name}_correlation"] = {name: labels, f"{name}_other": labels}
        for piece in self.pieces:
            result |= piece.reported_dims
        if self._family_reports:
            result |= self.family.reported_dims
        of_mean = dict(self.mean.coords if self.mean else {})
        return distinct_names(result, {"coefficient": self.coefficients.names} | of_mean)

    @cached_property
    def fixed_mean(self) -> np.ndarray:
        """Prior means of the coefficients without a common mean to be estimated, 0 for the others, (coefficient,)."""
        result = np.zeros(len(self.everywhere)) if self.population is None else self.population.copy()
        for piece in self.pieces:
            if piece.prior_mean is not None:
                result[piece.replaced] = piece.prior_mean[np.isin(piece.positions, piece.replaced)]
        return result

    def centred_mean(self, values: Mapping[str, Any], xp: Any) -> Any:
        """Return the mean of the coefficients, with the intercept at the predictors' means, (..., coefficient)."""
        if self.mean is None:
            return self.fixed_mean
        return self.fixed_mean + xp.matmul(values[self.mean.name], np.eye(len(self.everywhere))[self.shared])

    def eta(self, values: Mapping[str, Any], xp: Any, rows: Any = None) -> Any:
        """Return x_i' theta_i of the training rows, (..., unit, predictor), without the part that `branches` adds.

        `rows` are the places of some training rows, and may be symbolic; by default all rows.
        """
        if rows is None:
            return self.eta_at(values, self.x, self.features, xp)
        features = tuple(features.take(rows, xp) for features in self.features)
        return self.eta_at(values, xp.take(self.x, rows, axis=0), features, xp)

    def eta_at(self, values: Mapping[str, Any], x: Any, features: tuple[Features, ...], xp: Any) -> Any:
        """Return x_i' theta_i of rows with predictors x where the pieces have `features`, as `eta` does."""
        mean, of_mean = self.centred_mean(values, xp), self.coefficients.predictors(x, self.everywhere).T
        eta = xp.stack([xp.matmul(mean[..., of], of_mean[of])
                        for of in self.coefficients.of_predictors(self.everywhere)], axis=-1)
        for piece, piece_features in zip(self.pieces, features, strict=True):
            if isinstance(piece, Term):
                deviation = piece_features.times(weights(piece, values, values[f"{piece.name}_z"], xp), xp)
            elif isinstance(piece, Choice):
                continue
            else:
                deviation = piece.deviation(values, piece_features.matrix, xp)
            products = deviation * self.coefficients.predictors(x, piece.positions)
            eta = eta + self.coefficients.total(products, piece.positions, xp)
        return eta

    def family_values(self, values: Mapping[str, Any], axes: int = 1) -> dict[str, Any]:
        """Return the family's own hyperparameters, with `axes` axes after those of the draws, to broadcast with y."""
        return {parameter.name: values[parameter.name][(..., *(None,) * axes)] for parameter in self.family_parameters}

    def eta_of(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return x_i' theta_i of any rows, (..., unit, predictor), from theta (..., unit, coefficient)."""
        return np.stack([np.einsum("...nk,nk->...n", theta[..., of], x[:, of])
                         for of in self.coefficients.of_predictors(self.everywhere)], axis=-1)

    def single(self, eta: Any) -> Any:
        """Return eta without its last axis, for computations that take one linear predictor a row, (..., unit)."""
        if eta.shape[-1] != 1:
            raise SpecificationError(f"{self.family!r} has {eta.shape[-1]} linear predictors a row, and this "
                                     "computation takes one.")
        return eta[..., 0]

    def branches(self, values: Mapping[str, Any], features: tuple[Features, ...], x: np.ndarray,
                 xp: Any) -> tuple[Any, Any] | None:
        """Return the log probability of each branch, (..., unit, branch), and what it adds to eta, with predictors.

        The rows are those where the pieces have `features`. The result is None for a model without branches.
        """
        choice = self.choice
        if choice is None:
            return None
        matrix = features[self.pieces.index(choice)].matrix
        products = choice.deviation(values, matrix, xp) * self.coefficients.predictors(x, choice.positions)[:, None, :]
        added = self.coefficients.total(products, choice.positions, xp)
        return choice.log_gate(values, matrix, xp) + 0 * added[..., 0], added

    def log_likelihood(self, outcome: Any, eta: Any, family_values: Mapping[str, Any], constants: Any,
                       branches: tuple[Any, Any] | None) -> np.ndarray:
        """Return log p(y | eta), summed over the branches of a row, which are along one more axis."""
        if branches is None:
            return self.family.likelihood(eta, family_values, constants, np).log_density(outcome)
        gate, added = branches
        expanded = {name: value[..., None] for name, value in family_values.items()}
        likelihood = self.family.likelihood(eta[..., None, :] + added, expanded, np.asarray(constants)[..., None], np)
        density: Any = logsumexp(gate + likelihood.log_density(np.asarray(outcome)[..., None]), axis=-1)
        return density

    @property
    def _family_reports(self) -> bool:
        """Whether the intercept has a population mean, and the family reports what follows from it."""
        names = [self.coefficients.names[k] for k in self.shared]
        return bool(self.family.reported_dims) and "Intercept" in names

    def derived(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        """Return derived quantities: the mean and the effects in data units, correlations, and reports of pieces."""
        result = {}
        if self.mean is not None and self.mean.name != "mu":
            result["mu"] = xp.matmul(self.centred_mean(values, xp), self.coefficients.to_data_units(self.everywhere))
        for term in self.terms:
            root = term.scales(values, xp)[1]
            if root is not None:
                result[f"{term.name}_correlation"] = xp.matmul(root, root.mT)
            if f"{term.name}_z" not in values:
                # A very large number of weights, which are drawn again whenever they are needed.
                continue
            effect = weights(term, values, values[f"{term.name}_z"], xp)
            result[f"{term.name}_effect"] = xp.matmul(effect, self.coefficients.to_data_units(term.positions))
        for piece in self.pieces:
            result |= piece.reported(values, xp)
        if self._family_reports:
            mu = result["mu"] if "mu" in result else values["mu"]
            result |= self.family.reported(values, mu[..., self.coefficients.names.index("Intercept")], xp)
        return result

    def simulated(self, values: Mapping[str, Any], rng: np.random.Generator,
                  labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, Any]:
        """Draw theta and outcome of the training rows; also return the values, completed by the drawn fields.

        `labels` say which branch each row takes, (unit,); it is drawn where they are not given.
        """
        for field in self.gaussian_functions:
            size = tuple(map(len, (field.places | field.varying).values()))
            values = {**values, **field.colored(values, rng.standard_normal(size), np)}
        if self.division is not None:
            matrix = self.features[self.pieces.index(self.division)].matrix
            values = {**values, **self.division.simulated(values, matrix, rng)}
        branches = self.branches(values, self.features, self.x, np)
        if branches is not None and labels is None:
            shares = np.exp(branches[0]).cumsum(axis=-1)
            labels = (rng.random((len(self.rows), 1)) >= shares / shares[:, -1:]).sum(axis=-1)
        theta = self.theta(values, self.features, len(self.rows), labels)
        likelihood = self.family.likelihood(self.eta_of(theta, self.x), values, self.constants, np)
        return theta, likelihood.draw(rng, (len(self.rows),)), values

    def theta(self, values: Mapping[str, Any], features: tuple[Features, ...], rows: int,
              labels: np.ndarray | None = None) -> np.ndarray:
        """Return theta in data units at rows where the pieces have `features`, (..., unit, coefficient).

        `values` hold ``mu`` and every ``<term>_effect``, in data units, and the parameters of fields. `labels` say
        which branch each row takes, (..., unit); without labels, no branch contributes.
        """
        if self.mean is None:
            mean = self.fixed_mean @ self.coefficients.to_data_units(self.everywhere)
        else:
            mean = values["mu"]
        deviations = []
        for piece, piece_features in zip(self.pieces, features, strict=True):
            if isinstance(piece, Term):
                deviations.append((piece.positions, piece_features.times(values[f"{piece.name}_effect"], np)))
                continue
            deviation = piece.deviation(values, piece_features.matrix, np)
            if isinstance(piece, Choice):
                if labels is None:
                    continue
                deviation = np.take_along_axis(deviation, labels[..., None, None], axis=-2)[..., 0, :]
            deviations.append((piece.positions, deviation @ self.coefficients.to_data_units(piece.positions)))
        shape = deviations[0][1].shape[:-1] if deviations else (*mean.shape[:-1], rows)
        theta = np.empty((*shape, mean.shape[-1]))
        theta[...] = mean[..., None, :]
        for positions, deviation in deviations:
            for place, k in enumerate(positions):
                theta[..., k] += deviation[..., place]
        return theta
