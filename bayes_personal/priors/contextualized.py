"""Contextualized: coefficients are a neural network of context."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.data import context
from bayes_personal.data.context import Context
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter, normals
from bayes_personal.priors.parts.base import as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.in_context import InContext
from bayes_personal.priors.parts.pieces import Function, HiddenLayer, Piece, Term
from bayes_personal.system.arguments import one_of, whole_number

# Steepness of hidden units, in units of the contexts' spread; spread of the places where they bend; sharpness of the
# choice among archetypes.
STEEPNESS = Hyperprior("HalfNormal", sigma=3.0)
OFFSET = 1.5
SHARPNESS = Hyperprior("HalfNormal", sigma=5.0)
HIDDEN = {"bayesian": 16, "last-layer": 64}
# Rows at which the network is followed from draw to draw.
FOLLOWED = 12


@final
@dataclass(frozen=True, init=False, repr=False)
class Contextualized(InContext):
    """Coefficients are a neural network of context, whose weights have a posterior.

    Generative story, of q contexts c, standardised, and H hidden units:
    ``h(c) = tanh(steepness / sqrt(q) W1' c + 1.5 b)``, ``theta_i = mu + scale * W2' h(c_i) / sqrt(H)``, all weights
    ``~ Normal(0, 1)``, ``steepness ~ HalfNormal(3)``. The prior of theta does not grow with H; for many hidden units
    it is a Gaussian process.

    With K archetypes the network chooses among them: ``theta_i = mu + sum over k of g_k(c_i) scale * a_k``,
    ``g = softmax(sharpness W2' h(c) / sqrt(H))``, ``a_k ~ Normal(0, 1)``, ``sharpness ~ HalfNormal(5)``.

    With ``network="last-layer"`` W1, b and a steepness for every hidden unit are drawn once, from `seed`, and stay as
    they are: theta is then linear in Gaussian weights W2, which for a Normal family are integrated out exactly.

    Where the intercept varies, it is that at the predictors' means. Hidden units and archetypes have no names, and
    chains number them differently: R-hat is taken of what the network says at a few training rows
    (``<name>_followed``), and weights are not diagnosed. A network by itself, without archetypes, is drawn by `Gibbs`,
    which integrates the second layer out, in time proportional to the rows; all others by `NUTS`.

    Right for interactions of several contexts, and for any shape, given data. Fails with few rows, where the prior of
    the network decides; for one or two smooth contexts `GaussianProcess` is sharper and faster. For thousands of rows
    ``ADVI(batch=256)`` finds theta in minutes, but its intervals are too narrow: for 20 000 rows of five
    contexts 90 % intervals held 50 to 86 % of theta.

    Parameters
    ----------
    *contexts
        Columns: numbers, booleans, dates, text or categories.
    hidden
        Hidden units H; 16 by default, and 64 where only the last layer is learned.
    archetypes
        Number of archetypes K; by default there are none, and the network gives the coefficients themselves.
    network
        "bayesian", or "last-layer".
    seed
        Seed of the first layer, where only the last one is learned.
    on
        Coefficients that vary; all by default.
    scale
        Hyperprior of the standard deviations of the coefficients over contexts, in units of outcome / predictor.

    Raises
    ------
    SpecificationError
        No context, no hidden unit, fewer than 2 archetypes or archetypes of a network of which only the last layer is
        learned, an unknown network or coefficient, a scale that can be negative.
    InputError
        A context that is missing, infinite, or the same in all rows.

    References
    ----------
    Neal (1996), Bayesian Learning for Neural Networks, doi:10.1007/978-1-4612-0745-0. Al-Shedivat, Dubey and Xing
    (2020), doi:10.48550/arXiv.1705.10301. Lengerich, Ellington, Rubbi, Kellis and Xing (2023),
    doi:10.48550/arXiv.2310.11340.
    """

    kind: ClassVar = "network"
    contexts: tuple[str, ...]
    hidden: int | None
    archetypes: int | None
    network: Literal["bayesian", "last-layer"]
    seed: int
    on: tuple[str, ...] | None
    scale: Hyperprior

    def __init__(self, *contexts: str, hidden: int | None = None, archetypes: int | None = None,
                 network: Literal["bayesian", "last-layer"] = "bayesian", seed: int = 0,
                 on: tuple[str, ...] | list[str] | str | None = None, scale: Hyperprior = NATURAL_SCALE) -> None:
        self.hold(contexts=contexts, hidden=hidden, archetypes=archetypes, network=network, seed=seed, on=as_names(on),
                  scale=scale)
        owner = self.owner
        must_be_positive(owner, scale=scale)
        one_of(owner, HIDDEN, network=network)
        if hidden is not None:
            whole_number(owner, 1, hidden=hidden)
        if archetypes is not None:
            whole_number(owner, 2, archetypes=archetypes)
            if network == "last-layer":
                raise SpecificationError(f"{owner}: archetypes={archetypes} are chosen by a network all of whose "
                                         "layers are learned; leave out network='last-layer'.")
        whole_number(owner, 0, seed=seed)

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return HIDDEN[self.network] if self.hidden is None else self.hidden

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        owner = self.owner
        contexts = context.learn(frame, self.contexts, owner)
        positions = coefficients.select(self.on, owner)
        if self.network == "last-layer":
            return (LastLayer(self, contexts, positions, coefficients),)
        rows = np.unique(np.linspace(0, len(frame) - 1, FOLLOWED).astype(int))
        followed = readings(contexts, frame.iloc[rows])
        return (NeuralNetwork(self, contexts, followed, positions, coefficients),)

    @property
    def linear(self) -> bool:
        return self.network == "last-layer"

    @property
    def in_common(self) -> tuple[str, ...]:
        if self.linear:
            return ()
        return ("W1, b and the steepness",) if self.archetypes is None else ("the choice g among archetypes",)

    @property
    def deviation(self) -> str:
        return restricted(f"network({', '.join(self.contexts)})", self.on)

    def story(self) -> tuple[str, ...]:
        name, h = self.name, f"tanh(steepness / sqrt({len(self.contexts)}) W1' c + {OFFSET:g} b)"
        scale = f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}"
        contexts = "c = contexts standardised, a categorical one as indicators; the intercept at the predictors' means"
        if self.network == "last-layer":
            return (contexts, f"network = {name}_scale * W2' {h} / sqrt({self.units}), W2 ~ Normal(0, 1)",
                    f"W1, b and the steepness of each hidden unit drawn once, from seed {self.seed}", scale)
        steep = f"{name}_steepness ~ {STEEPNESS.words()}, W1, b, W2 ~ Normal(0, 1)"
        if self.archetypes is None:
            return (contexts, f"network = {name}_scale * W2' {h} / sqrt({self.units})", steep, scale)
        return (contexts,
                f"network = sum over {self.archetypes} archetypes k of g_k {name}_scale * a_k, a_k ~ Normal(0, 1)",
                f"g = softmax({name}_sharpness W2' {h} / sqrt({self.units}))", steep,
                f"{name}_sharpness ~ {SHARPNESS.words()}", scale)


def readings(contexts: tuple[Context, ...], frame: pd.DataFrame) -> np.ndarray:
    """Return the standardised contexts of some rows, (unit, reading)."""
    return np.concatenate([context.at(frame) for context in contexts], axis=1)


def numbered(name: str, count: int) -> dict[str, tuple[str, ...]]:
    """Return a dimension whose labels are the numbers from 1 to `count`."""
    return {name: tuple(str(place + 1) for place in range(count))}


@final
@dataclass(frozen=True, eq=False)
class NeuralNetwork(Function):
    """A network all of whose layers are learned.

    Attributes
    ----------
    followed : standardised contexts of a few training rows, (row, reading)
    """

    prior: Contextualized
    contexts: tuple[Context, ...]
    followed: np.ndarray
    positions: np.ndarray
    coefficients: Coefficients

    def parameters(self) -> tuple[Parameter, ...]:
        name, archetypes = self.name, self.prior.archetypes
        reading = {f"{name}_reading": tuple(label for context in self.contexts for label in context.labels)}
        hidden = numbered(f"{name}_hidden", self.prior.units)
        outputs = self.varying if archetypes is None else numbered(f"{name}_archetype", archetypes)
        shared = (self.prior.scale.bind(f"{name}_scale", 0.0, self.unit, self.varying),
                  STEEPNESS.bind(f"{name}_steepness"),
                  normals(f"{name}_first_layer", reading | hidden, diagnosed=False),
                  normals(f"{name}_offset_layer", hidden, diagnosed=False),
                  normals(f"{name}_second_layer", hidden | outputs, diagnosed=False))
        if archetypes is None:
            return shared
        return (*shared, SHARPNESS.bind(f"{name}_sharpness"),
                normals(f"{name}_component", outputs | self.varying, diagnosed=False))

    @property
    def hidden_layer(self) -> HiddenLayer | None:
        if self.prior.archetypes is not None:
            return None
        scale, steepness, first, offset, second = self.parameters()
        return HiddenLayer(scale, steepness, first, offset, second, float(np.sqrt(len(self.contexts))), OFFSET)

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        name = self.name
        steepness = values[f"{name}_steepness"][..., None, None] / np.sqrt(len(self.contexts))
        hidden = xp.tanh(steepness * xp.matmul(features, values[f"{name}_first_layer"])
                         + OFFSET * values[f"{name}_offset_layer"][..., None, :])
        output = xp.matmul(hidden, values[f"{name}_second_layer"]) / np.sqrt(self.prior.units)
        scale = values[f"{name}_scale"][..., None, :]
        if self.prior.archetypes is None:
            return output * scale
        logit = output * values[f"{name}_sharpness"][..., None, None]
        share = xp.exp(logit - logit.max(axis=-1)[..., None])
        share = share / share.sum(axis=-1)[..., None]
        return xp.matmul(share, values[f"{name}_component"]) * scale

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_followed": numbered(f"{self.name}_row", len(self.followed)) | self.varying}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        return {f"{self.name}_followed": self.deviation(values, self.followed, xp)}

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(readings(self.contexts, frame))

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts


@final
@dataclass(frozen=True, eq=False)
class LastLayer(Term):
    """Hidden units that are drawn once, and their weights, which are learned."""

    prior: Contextualized
    contexts: tuple[Context, ...]
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return numbered(f"{self.name}_hidden", self.prior.units)

    def parameters(self) -> tuple[Parameter, ...]:
        return (self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),)

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        return values[f"{self.name}_scale"][..., None, :] / np.sqrt(self.prior.units), None

    def at(self, frame: pd.DataFrame) -> Features:
        rng, inputs = np.random.default_rng(self.prior.seed), readings(self.contexts, frame)
        steepness = np.abs(rng.normal(0, dict(STEEPNESS.parameters)["sigma"], self.prior.units))
        weights = rng.normal(size=(inputs.shape[1], self.prior.units)) * steepness / np.sqrt(len(self.contexts))
        return Features(np.tanh(inputs @ weights + OFFSET * rng.normal(size=self.prior.units)))

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts
