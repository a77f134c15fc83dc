"""Network: the nodes of a network, each a regression on its parents, make one generative model of whole rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.columns import table
from bayes_personal.data.moments import Moments
from bayes_personal.data.stored import are_stored
from bayes_personal.errors import (
    LISTED,
    InputError,
    InputTypeError,
    InputWarning,
    SpecificationError,
    first,
    said_once,
    shown,
    warn,
)
from bayes_personal.families import Family, Normal
from bayes_personal.formulas.design import dependent
from bayes_personal.formulas.formula import Formula
from bayes_personal.formulas.nodes import EXAMPLE, Nodes, spelled, ticked
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN, Hyperprior, must_be_positive
from bayes_personal.model.model import Model
from bayes_personal.model.node_orders import drawn_orders, must_be_orders, parents_first
from bayes_personal.priors.parts.base import Prior
from bayes_personal.priors.population import Population
from bayes_personal.system.arguments import whole_number

# In natural units an edge is a standardised coefficient, and networks with large ones explode from parent to child.
NETWORK_MEAN = Hyperprior("Normal", mu=0.0, sigma=0.5, relative=True)
NETWORK_SCALE = Hyperprior("HalfNormal", sigma=0.5, relative=True)
# Names in `on` for the coefficients of a node's parents, and for all its other coefficients.
EDGES, MEANS = "edges", "means"
# All nodes written before a node are its parents, or all other nodes are.
BEFORE, OTHERS = "before", "others"


@final
@dataclass(frozen=True, repr=False)
class Network:
    """A generative model of several outcomes, in which every row i has its own network theta_i.

    Generative story, node by node in the order of the formula: ``x_ij ~ Normal(w_ij' z_i + sum_l b_ijl x_il,
    sigma_j)``, where l are the parents of node j and z_i the predictors of the formula. theta_ij = (w_ij, b_ij) has the
    prior of a `Model` of the node j, with hyperparameters of the node's own. Given theta_i the row is a draw of
    ``MvNormal`` whose precision is ``(I - b_i)' diag(sigma^-2) (I - b_i)``, positive definite whatever b_i is (modified
    Cholesky decomposition; a Bayesian network where parents are stated). Partial correlations, correlations and the
    directed edges b are readings of one fit: `bayes_personal.network`.

    With ``parents="others"`` every node is a regression on all others, so that no order is stated. The product of their
    likelihoods is a pseudo-likelihood and no density of the rows: networks are then selected, not compared, and the
    intervals of strong edges are too wide, for each regression takes its parents as given.

    Under `Partition` and `TreePartition` the whole network changes together: one set of cuts for all nodes, summed out
    exactly, with one frequency of cuts. Under `Mixture` and `Repulsive` a row has one type for all nodes, summed out of
    all of them together: ``p(x_i) = sum over types k of w_ik product over nodes j of p(x_ij | parents, a_jk)``; the
    archetypes of `Repulsive` repel each other by the coefficients of all nodes. Rows can often be told apart in several
    ways: chains start near the modes that climbs from random points find, in proportion to their mass. Under
    `Contextualized` all nodes have one neural network of contexts, and each node output weights of its own. Where the
    chains of the default method do not agree, under all of these, they are drawn once more and three times as long.

    Right when nodes are linear in each other with errors of the same size in all rows, or of sizes that vary as
    ``family=Normal(sigma=Varying())`` states it. Fails where the errors' sizes change otherwise; and where parameters
    vary, the order of the nodes is an assumption too: what is constant in one order varies in another. ``orders=8``
    fits eight random orders and pools them equally, at eight times the cost: the density of a row is then ``p(x_i) =
    mean over orders o of product over nodes j of p(x_ij | the nodes before j in o)``, and a reading is the mixture of
    its posteriors in all orders.

    Parameters
    ----------
    formula
        ``"raf + mek + erk ~ age"``: columns of the nodes, in their order, and what the mean of every node depends on,
        beside its parents; ``~ 1`` where that is nothing.
    prior
        The sharing assumption, as in `Model`. Its ``on=`` takes names of coefficients: predictors, nodes that are
        parents, ``"edges"`` for all parents, and ``"means"`` for the intercept and the predictors.
    family
        The likelihood of every node given its parents, or a mapping from nodes to families; nodes that it does not name
        are Normal. A node that is not Normal is a column of numbers.
    mean
        Hyperprior of the population mean of all coefficients, as in `Model`, and of the coefficients of each group or
        type under `Conditional` and `Mixture`. Its default is narrower than a model's, which would let simulated
        networks explode, and chains seldom leave types that few rows take.
    parents
        "before": all nodes written before it; "others": all other nodes; or a mapping from nodes to their parents, in
        which nodes without parents may be left out.
    functions
        As in `Model`.
    orders
        How many random orders of the nodes are pooled equally; 1 is the order of the formula. They are distinct, and
        follow from the number of nodes alone: `ordered` returns the network in each. Only with ``parents="before"``.
    scale
        Hyperprior of the scales of the prior, where these have their default, ``HalfNormal(1)``: edges are small, and
        so are their differences. Wide scales hide changes of a few edges.

    Raises
    ------
    InputTypeError
        An argument of another type.
    SpecificationError
        A formula that cannot be read; a single node, a node that stands there twice, that is a predictor, or that the
        prior or a family reads; parents that are no nodes, or are each other's descendants; more orders than the nodes
        have, or several orders of nodes whose parents are stated.

    References
    ----------
    Pourahmadi (1999), doi:10.1093/biomet/86.3.677. Geiger and Heckerman (1994), Uncertainty in Artificial Intelligence
    10:235. Besag (1975), doi:10.2307/2987782, on pseudo-likelihoods.
    """

    formula: str
    prior: Prior = Population()
    family: Family | Mapping[str, Family] | tuple[tuple[str, Family], ...] = Normal()
    mean: Hyperprior = NETWORK_MEAN
    parents: str | Mapping[str, Sequence[str]] | tuple[tuple[str, tuple[str, ...]], ...] = BEFORE
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict, hash=False)
    orders: int = 1
    scale: Hyperprior = NETWORK_SCALE

    def __post_init__(self) -> None:
        for value, kind, requirement, name, example in (
                (self.prior, Prior, "a Prior", "prior", "bp.PartialPooling(column)"),
                (self.mean, Hyperprior, "a Hyperprior", "mean", "bp.Hyperprior('Normal', mu=0, sigma=5)"),
                (self.scale, Hyperprior, "a Hyperprior", "scale", "bp.Hyperprior('HalfNormal', sigma=5)")):
            if not isinstance(value, kind):
                raise InputTypeError(f"Network({name}=...): need {requirement} such as {name}={example}; "
                                     f"got {shown(value)}.")
        self._must_be_nodes()
        must_be_positive(self.owner, scale=self.scale)
        object.__setattr__(self, "functions", dict(self._covariates.functions))
        object.__setattr__(self, "family", self._checked_family())
        object.__setattr__(self, "parents", self._checked_parents())
        must_be_orders(self.owner, self.orders, len(self.nodes), self.parents, BEFORE)
        self._must_not_choose_itself()
        if not self.pseudo:
            self._parents_first()

    def __repr__(self) -> str:
        one = self.ordered(0)
        edges = "; ".join(f"{node} ~ {' + '.join(parents)}" for node in one.order if (parents := one.parents_of(node)))
        last = one.order[-1]
        density = ("a pseudo-likelihood: every node given all others" if self.pseudo else
                   f"p(row i) = {'the mean over orders of ' * self.pooled}the product of p(x_ij | its parents) over "
                   f"the nodes j{', given z_i' if 'z_i' in ' '.join(self.prior.in_common) else ''}")
        common = self.prior.in_common
        own = f"all nodes have in common {', '.join(common)}; each has" if common else "each node has"
        if self.pooled:
            shown_orders = "; ".join(", ".join(self.ordered(k).nodes) for k in range(min(self.orders, LISTED)))
            more = f"; and {self.orders - LISTED} more" * (self.orders > LISTED)
            edges = f"all nodes before it, in {self.orders} orders pooled equally: {shown_orders}{more}"
            own = f"in each order {own}"
        return "\n".join((f"{self.formula}, of every node: {edges}", f"    {density}",
                          f"    {own} hyperparameters of its own, as here {last}:",
                          *(f"    {line}" for line in repr(one.node(last)).splitlines()[1:])))

    @property
    def owner(self) -> str:
        """The name of the network in messages."""
        return f"Network({self.formula!r})"

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Columns of the nodes, in the order of the formula."""
        return Nodes.read(self.formula).names

    @property
    def pseudo(self) -> bool:
        """Whether the product of the nodes' likelihoods is no density of the rows."""
        return self.parents == OTHERS

    @property
    def pooled(self) -> bool:
        """Whether several orders of the nodes are pooled."""
        return self.orders > 1

    def ordered(self, place: int) -> "Network":
        """Return the network written in one of its orders, counted from 0; itself where it has a single one."""
        whole_number("ordered", 0, place=place)
        if place >= self.orders:
            raise SpecificationError(f"{self.owner}: got ordered({place}), and it has {self.orders} order"
                                     f"{'s' * self.pooled}, counted from 0. Take a smaller number.")
        if not self.pooled:
            return self
        nodes = [spelled(self.nodes[position]) for position in self._orders[place]]
        return replace(self, formula=f"{' + '.join(nodes)} ~ {Nodes.read(self.formula).predictors}", orders=1)

    @cached_property
    def _orders(self) -> tuple[tuple[int, ...], ...]:
        """The orders, each by the positions of its nodes in the formula."""
        return drawn_orders(self.orders, len(self.nodes))

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The nodes, parents first."""
        return self.nodes if self.pseudo else self._parents_first()

    @property
    def gaussian(self) -> bool:
        """Whether every node is Normal given its parents."""
        return all(self.family_of(node).normal for node in self.nodes)

    @property
    def ising(self) -> bool:
        """Whether nodes are yes or no given all others, as in an Ising model."""
        return self.pseudo and all(self.family_of(node).binary for node in self.nodes)

    @property
    def reading(self) -> Literal["partial", "interaction", "directed"]:
        """The reading of edges that every posterior of the network has."""
        return "partial" if self.gaussian else "interaction" if self.ising else "directed"

    def parents_of(self, node: str) -> tuple[str, ...]:
        """Return the parents of a node, in the order of the formula."""
        if self.parents == BEFORE:
            return self.nodes[: self.nodes.index(node)]
        if self.parents == OTHERS:
            return tuple(other for other in self.nodes if other != node)
        assert isinstance(self.parents, tuple)
        return dict(self.parents).get(node, ())

    def family_of(self, node: str) -> Family:
        """Return the family of a node."""
        if isinstance(self.family, Family):
            return self.family
        assert isinstance(self.family, tuple)
        return dict(self.family).get(node, Normal())

    def node(self, name: str) -> Model:
        """Return the model of a node given its parents."""
        if self.pooled:
            raise SpecificationError(f"{self.owner}: it pools {self.orders} orders, and a node has other parents in "
                                     "each. Take one of them, as in network.ordered(0).")
        parents, predictors = self.parents_of(name), Nodes.read(self.formula).predictors
        means = tuple(dict.fromkeys(("Intercept", *self._covariates.columns)))
        members = {other: (other,) if other in parents else () for other in self.nodes} | {
            EDGES: parents, MEANS: means}
        scales = tuple(scale.name for scale in self.family_of(name).log_scales(1.0))
        own = self.prior.within(members, frozenset((*means, *parents, *scales)))
        if own is None and any(scale.varying.prior is None for scale in self.family_of(name).log_scales(1.0)):
            raise SpecificationError(f"{self.owner}: nothing of the node {name!r} varies under {self.prior!r}, and so "
                                     f"its scale does not. Name it too, as in on=['{EDGES}', '{scales[0]}'].")
        prior = (own or Population()).with_defaults(self.mean, self.scale)
        mean = NATURAL_MEAN if prior.replaces_mean else self.mean
        return Model(" + ".join((f"{ticked(name)} ~ {predictors}", *map(ticked, parents))), prior,
                     self.family_of(name), mean, self.functions)

    def bind(self, data: Any) -> dict[str, BoundModel]:
        """Check the data, and bind the model of every node, parents first.

        Raises
        ------
        InputError, InputTypeError, SpecificationError
            As in `Model.bind`, and nodes that are linear combinations of others or of predictors, which leave no error.
        """
        if are_stored(data):
            raise SpecificationError(f"{self.owner}: a network reads rows in memory. Read the table first, for example "
                                     "with pandas.read_parquet.")
        frame = table(data)
        if len(frame) < len(self.nodes):
            warn(f"Network: {len(self.nodes)} nodes and {len(frame)} rows, so that much of the posterior is its "
                 "prior.", InputWarning)
        with said_once():
            # What is said of a context would be said again for every node.
            return {node: self._bound(node, frame) for node in self.order}

    def _bound(self, node: str, frame: pd.DataFrame) -> BoundModel:
        """Bind the model of a node, whose messages then name it."""
        try:
            bound = self.node(node).bind(frame)
        except (InputError, InputTypeError) as error:
            raise type(error)(f"node {node!r}: {error}") from error
        missing = [parent for parent in self.parents_of(node) if parent not in bound.coefficients.names]
        if missing:
            raise InputTypeError(f"{self.owner}: {first(missing)} must be a column of numbers, for {node!r} depends on "
                                 "it. Code what is yes or no as 1 and 0.")
        self._must_be_shared(bound)
        self._must_leave_an_error(node, bound)
        return bound

    @property
    def _covariates(self) -> Formula:
        """The right-hand side, with an outcome that is none of the nodes."""
        stated = f"`a node` ~ {Nodes.read(self.formula).predictors}"
        try:
            return Formula.read(stated, self.functions)
        except SpecificationError as error:
            raise SpecificationError(str(error).replace(stated, self.formula)) from error

    def _must_be_nodes(self) -> None:
        """Refuse nodes that cannot be those of a network."""
        nodes = self.nodes
        repeated = [node for node in nodes if nodes.count(node) > 1]
        if repeated:
            raise SpecificationError(f"{self.owner}: the node {repeated[0]!r} stands there twice. Write it once.")
        if len(nodes) < 2:
            raise SpecificationError(f"{self.owner}: {first(nodes)} is its only node; a network has two or more. "
                                     f"{EXAMPLE}, or take bp.Model({self.formula!r}) for a single outcome.")
        named = [node for node in nodes if node in (EDGES, MEANS, "Intercept")]
        if named:
            raise SpecificationError(f"{self.owner}: {named[0]!r} has a meaning of its own in on=, and cannot be the "
                                     "name of a node. Rename that column.")
        among = [node for node in nodes if node in self._covariates.columns]
        if among:
            raise SpecificationError(f"{self.owner}: the node {among[0]!r} is a predictor too, so that it would "
                                     "explain itself. Leave it out on the right-hand side; parents= says which nodes "
                                     "depend on it.")

    def _must_not_choose_itself(self) -> None:
        """Refuse a node whose value would choose its own distribution."""
        for family in map(self.family_of, self.nodes):
            family.must_be_numeric(self.owner)
        for reader in (self.prior, *dict.fromkeys(map(self.family_of, self.nodes))):
            read = [node for node in self.nodes if node in reader.columns]
            if read:
                raise SpecificationError(f"{self.owner}: {reader!r} reads the node {read[0]!r}, whose value would then "
                                         "choose its own distribution. Take it out of the nodes, or name another "
                                         "column.")

    def _checked_family(self) -> Family | tuple[tuple[str, Family], ...]:
        """Return the family, or pairs of a node and its family."""
        if isinstance(self.family, Family):
            return self.family
        pairs = pairs_of(self.family)
        if pairs is None or not all(isinstance(family, Family) for _, family in pairs):
            raise InputTypeError(f"Network(family=...): need a Family such as family=bp.Normal(), or a mapping from "
                                 f"nodes to families; got {shown(self.family)}.")
        self._must_know([node for node, _ in pairs], "family")
        return pairs

    def _checked_parents(self) -> str | tuple[tuple[str, tuple[str, ...]], ...]:
        """Return "before" or "others", or pairs of a node and its parents."""
        if isinstance(self.parents, str) and self.parents in (BEFORE, OTHERS):
            return self.parents
        pairs = None if isinstance(self.parents, str) else pairs_of(self.parents)
        if pairs is None or not all(isinstance(parents, list | tuple) for _, parents in pairs):
            raise SpecificationError(f"Network(parents={shown(self.parents)}): need {BEFORE!r}, {OTHERS!r}, or a "
                                     "mapping from nodes to lists of their parents, as in parents={'mek': ['raf']}.")
        self._must_know([name for node, parents in pairs for name in (node, *parents)], "parents")
        return tuple((node, tuple(other for other in self.nodes if other in parents)) for node, parents in pairs)

    def _must_know(self, names: Sequence[Any], argument: str) -> None:
        """Refuse names that are no nodes."""
        unknown = [name for name in names if name not in self.nodes]
        if unknown:
            raise SpecificationError(f"{self.owner}: {argument}= names {first(unknown)}, and the nodes are "
                                     f"{first(self.nodes, 30)}.")

    def _parents_first(self) -> tuple[str, ...]:
        """Return the nodes, parents first, and otherwise as they are written."""
        return parents_first(self.owner, {node: self.parents_of(node) for node in self.nodes})

    def _must_be_shared(self, bound: BoundModel) -> None:
        """Refuse families and parents with which nodes cannot have divisions, or types of rows, in common."""
        if bound.division is not None and not self.gaussian:
            raise SpecificationError(f"{self.owner}: under {self.prior!r} all nodes change together, which takes nodes "
                                     "that are all Normal. Take family=bp.Normal(), or another prior.")
        if bound.choice is not None and self.pseudo:
            raise SpecificationError(f"{self.owner}: under {self.prior!r} a row has one type for all nodes, which "
                                     "takes a density of whole rows, and parents='others' states none. Take "
                                     "parents='before', or another prior.")

    def _must_leave_an_error(self, node: str, bound: BoundModel) -> None:
        """Refuse a node that others explain exactly, or of which its parents explain one exactly."""
        design, parents = bound.design, self.parents_of(node)
        slopes = np.array([name != "Intercept" for name in design.coefficients]) & (design.predictor == 0)
        if not self.family_of(node).normal or len(bound.y) <= len(design.coefficients):
            return
        names = [*np.array(design.coefficients)[slopes].tolist(), node]
        moments = Moments.of(np.column_stack([bound.x[:, slopes], bound.y]))
        center = np.append(design.center[slopes], moments.mean[-1])
        spread = moments.spread_about(center)
        for place, others in dependent(moments.gram(center) / np.outer(spread, spread)):
            *related, last = (names[k] for k in sorted((place, *others)))
            if not {last, *related}.isdisjoint((node, *parents)):
                raise InputError(f"{self.owner}: {last!r} is a linear combination of {first(related, 10)}, so that "
                                 "nothing of it is left to chance. Leave one of them out.")


def pairs_of(value: Any) -> tuple[tuple[str, Any], ...] | None:
    """Return a mapping, or pairs that stand for one, as pairs; None for anything else."""
    pairs = tuple(value.items()) if isinstance(value, Mapping) else value
    good = isinstance(pairs, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
    return pairs if good else None
