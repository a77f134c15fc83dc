"""Model: a formula, a prior and a family make one generative model."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data import cluster
from bayes_personal.data.columns import is_number, table
from bayes_personal.data.rows import InMemory
from bayes_personal.data.stored import OnDisk, are_stored
from bayes_personal.errors import InputTypeError, InputWarning, SpecificationError, first, shown, warn
from bayes_personal.families import Family, Normal
from bayes_personal.families.parts.varying import LOG_UNIT, LogScale
from bayes_personal.formulas.design import Design, must_not_depend
from bayes_personal.formulas.formula import Formula
from bayes_personal.formulas.terms import outcome
from bayes_personal.hyperpriors.conjugate import Conjugate, NormalConjugate
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN, Hyperprior
from bayes_personal.priors.parts.base import Prior, parts
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.levels import Grouped, examine_groups
from bayes_personal.priors.parts.pieces import Function, Piece, Term
from bayes_personal.priors.population import Population

if TYPE_CHECKING:
    import pymc as pm


@final
@dataclass(frozen=True, repr=False)
class Model:
    """A generative model in which every row i has its own parameters theta_i.

    Parameters
    ----------
    formula
        ``"outcome ~ predictors"``: the outcome y_i and the predictors x_i. Predictors are columns by name, in
        backticks where a name has spaces or signs; their interactions ``a:b``, ``a*b`` (a, b and a:b) and ``a/b`` (a
        and a:b); and functions of columns: formulaic's transforms such as ``C``, ``bs`` and ``poly``, NumPy's functions
        of single numbers such as ``log``, and ``I(...)``, which holds arithmetic and comparisons, as in
        ``I(a / b)``; of dates their parts, such as ``day.dt.month``, and of text its ``name.str.lower()``, upper, strip
        and len. The outcome is a column or an expression of columns: ``post - pre`` is the difference. Nothing else is
        taken, and no formula runs code, wherever it comes from.
    prior
        The sharing assumption, p(theta | c, phi).
    family
        The likelihood, p(y_i | x_i' theta_i).
    mean
        Hyperprior of the population mean mu of every coefficient, in units of outcome / predictor; that of the
        intercept holds at the predictors' means.
    functions
        Functions of your own that the formula calls, by name: each takes columns and returns a value a row, by that
        row alone. A saved posterior holds their names only, and `load` takes them again.

    Raises
    ------
    InputTypeError
        An argument of another type.
    SpecificationError
        A formula that cannot be read, or a prior or family that reads the outcome's own column.
    """

    formula: str
    prior: Prior = Population()
    family: Family = Normal()
    mean: Hyperprior = NATURAL_MEAN
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for value, kind, requirement, name, example in (
                (self.formula, str, "text", "formula", "'outcome ~ predictors'"),
                (self.prior, Prior, "a Prior", "prior", "bp.PartialPooling(column)"),
                (self.family, Family, "a Family", "family", "bp.Normal()"),
                (self.mean, Hyperprior, "a Hyperprior", "mean", "bp.Hyperprior('Normal', mu=0, sigma=5)")):
            if not isinstance(value, kind):
                raise InputTypeError(f"Model({name}=...): need {requirement} such as {name}={example}; "
                                     f"got {shown(value)}.")
        object.__setattr__(self, "functions", dict(self.read.functions))
        self._must_have_priors_of_terms()
        self._must_not_explain_itself()

    def __repr__(self) -> str:
        mean = () if self.prior.replaces_mean else (
            f"mu[k] ~ {self.mean.words('location[k]', 'unit[k]')}, the intercept at the predictors' means",)
        theta = " + ".join(filter(None, ("" if self.prior.replaces_mean else "mu", self.prior.deviation)))
        location, unit = self.family.natural
        natural = f"location[k] = {location} for the intercept, 0 for others; unit[k] = {unit} / sd(x_k)"
        story = (*self.family.story(), f"theta_i = {theta}", *self.prior.story_under(self._law), *mean,
                 *self._story_of_scales(), natural)
        return "\n".join((self.formula, *("    " + line for line in story)))

    @property
    def _law(self) -> Conjugate:
        """The distribution of what cells of a division have of their own: that of counts is one of an intercept."""
        law, alone = self.family.conjugate, list(map(str, self.read.predictors)) == ["1"]
        return law if law is not None and (law.several_coefficients or alone) else NormalConjugate()

    def _story_of_scales(self) -> Iterator[str]:
        """Yield the distributions of log scales that vary."""
        for name, varying, _ in self.family.log_scales(1.0):
            prior = varying.prior
            if prior is None:
                yield f"{name}: a coefficient of theta_i like all others, that no predictor multiplies"
            else:
                yield " + ".join(filter(None, (f"{name}_i = mu[{name}]", prior.deviation)))
                names = "|".join(re.escape(each.name) for each in parts(prior))
                yield from (re.sub(rf"\b({names})_(?=[a-z])", rf"{name}_\1_", line) for line in prior.story())
            if not self.prior.replaces_mean or prior is not None:
                yield f"mu[{name}] ~ {varying.mean.words('location[k]', 'unit[k]')}"
            yield f"location[{name}] is the log of its natural unit, unit[{name}] = {LOG_UNIT:g}"

    def _must_have_priors_of_terms(self) -> None:
        """Refuse a prior of a scale that is not made of terms, or beside which the mean is not Normal."""
        for name, varying, _ in self.family.log_scales(1.0):
            if not self.mean.gaussian:
                raise SpecificationError(f"Model(mean={self.mean!r}): beside a scale that varies the mean has a Normal "
                                         "hyperprior, such as Hyperprior('Normal', mu=0, sigma=5).")
            if varying.prior is None:
                continue
            if not isinstance(varying.prior, Prior):
                raise InputTypeError(f"{varying!r}: need a Prior such as bp.LinearVarying('age'); got "
                                     f"{shown(varying.prior)}.")
            if not varying.prior.linear or any(getattr(each, "on", None) is not None or not hasattr(each, "on")
                                               for each in parts(varying.prior)):
                raise SpecificationError(f"{varying!r}: need a prior made of terms that varies all coefficients, for "
                                         f"{name} is the only one, such as LinearVarying, GaussianProcess or "
                                         "PartialPooling without on=.")

    def _must_not_explain_itself(self) -> None:
        """Refuse an outcome all of whose columns the model reads to explain it."""
        outcome, predictors = self.read.outcome.columns, self.read.columns
        for reader in (self.prior, self.family):
            read = [name for name in outcome if name in reader.columns]
            if read and all(name in read or name in predictors for name in outcome):
                raise SpecificationError(f"{self.read.owner}: {reader!r} reads the outcome's own column {first(read)}, "
                                         "so that the outcome would explain itself. Name another column.")

    def _warn_of_columns_read_twice(self) -> None:
        """Warn of a column with two roles in the model, which the data alone cannot tell apart."""
        read, owner = self.read, self.read.owner
        outcome, predictors, contexts = read.outcome.columns, read.columns, self.prior.columns
        for name in outcome:
            if name in predictors or name in contexts:
                role = "a predictor" if name in predictors else f"read by {self.prior!r}"
                warn(f"{owner}: {name!r} is part of the outcome {read.outcome.text} and {role}: what they "
                     "have in common is explained by itself.", InputWarning)
        for name in predictors:
            if name in contexts:
                warn(f"{owner}: {name!r} is a predictor and read by {self.prior!r}: the data tell what the "
                     "two do together, and only the prior how it is divided between them. Predictions are "
                     "valid; leave it out of one of them where coefficients are interpreted.", InputWarning)

    @property
    def outcome(self) -> str:
        """Name of the outcome: a column, or an expression of columns."""
        return self.read.outcome.text

    @property
    def read(self) -> Formula:
        """The formula in parsed form."""
        return Formula.read(self.formula, self.functions)

    def bind(self, data: Any, *, client: Any = None, progress: bool = False) -> BoundModel:
        """Check the data and learn from the rows what the model must remember of them.

        Parameters
        ----------
        data, client
            As in `fit`.
        progress
            Whether reading files shows a progress bar.
        """
        self._warn_of_columns_read_twice()
        if are_stored(data):
            return self._bind_files(data, client, progress)
        if client is not None:
            raise SpecificationError("client= is for rows in files, which a cluster reads by itself; these are in "
                                     "memory. Leave it out, or write them to Parquet and give the path.")
        rows = table(data)
        design, x = Design.learn(self.read, rows)
        observed = outcome(self.read, rows, design.outcome_state)
        if self.functions and is_number(observed):
            subset = rows.iloc[::-2][:1000]
            by_subset = outcome(self.read, subset, design.outcome_state).to_numpy(float)[:, None]
            by_all_rows = observed.iloc[::-2][:1000].to_numpy(float)[:, None]
            must_not_depend(self.read, (self.outcome,), by_subset, by_all_rows, np.abs(by_all_rows).max(axis=0))
        family = self.family.learned(observed)
        y, constants = family.outcome(observed, rows), family.constants(rows)
        family.examine_outcome(y, constants, str(observed.name))
        family.examine(y, constants, x, design.coefficients)
        location, unit = family.location_scale(y, constants)
        family.must_add_up(constants, rows.index, unit)
        design = with_all_predictors(design, family)
        held = InMemory(rows, design.widened(x), y, constants)
        bound = self._bound(family, held, rows, design, location, unit)
        for term in bound.terms:
            if isinstance(term, Grouped):
                examine_groups(term, rows, bool(bound.family_parameters))
                if (term.positions < x.shape[1]).sum() == x.shape[1]:
                    self.family.examine_within(y, x, term.at(rows).matrix.indices, repr(term.levels.name))
        bound.warn_of_pinned_mean()
        return bound

    def _bind_files(self, data: Any, client: Any, progress: bool) -> BoundModel:
        integrates = self.family.gaussian or self.family.compiled is not None
        if not integrates or not self.mean.gaussian or not self.prior.linear:
            raise SpecificationError("Rows in files fit models whose Gaussian weights integrate out, or are corrected: "
                                     "a family with a compiled likelihood, as those of this package, a Normal "
                                     "hyperprior of the mean, and a prior that is linear in such weights; got "
                                     f"{self.family!r}, {self.mean!r} and {self.prior!r}. Read the table first, for "
                                     "example with pandas.read_parquet.")
        from bayes_personal.binding import learning
        from bayes_personal.data.files import opened

        if client is not None:
            cluster.must_be_open(client)
        files = opened(data)
        watched = replace(files, progress=progress)
        learned = learning.learn(self.read, self.family, watched)
        design = with_all_predictors(learned.coding.design, learned.coding.family)
        learned = replace(learned, coding=replace(learned.coding, design=design))
        columns = tuple(dict.fromkeys((*learned.columns, *self.prior.columns)))
        rows = OnDisk(files, columns, learned.coding, len(learned.coding.design.coefficients), client, progress)
        coding = learned.coding
        return self._bound(coding.family, rows, watched, coding.design, learned.location, learned.unit)

    def unobserved(self, frame: Any) -> BoundModel:
        """Bind the model to rows whose outcome is not known, with the natural unit 1 and the location 0."""
        if self.family.remembers:
            raise SpecificationError(f"{self.family!r} learns its levels from an outcome, and these rows have none. "
                                     "State them, as in levels=['low', 'middle', 'high'].")
        rows = table(frame)
        design, x = Design.learn(self.read, rows)
        design = with_all_predictors(design, self.family)
        held = InMemory(rows, design.widened(x), np.full(len(rows), np.nan), self.family.constants(rows))
        return self._bound(self.family, held, rows, design, 0.0, 1.0)

    def _bound(self, family: Family, rows: InMemory | OnDisk, frame: Any, design: Design, location: float,
               unit: float) -> BoundModel:
        intercept = np.array([name == "Intercept" for name in design.plain_names])
        locations, units = np.where(intercept, location, 0.0), unit / design.spread
        scales = family.log_scales(unit)
        for place, scale in enumerate(scales, len(units) - len(scales)):
            locations[place], units[place] = scale.location, LOG_UNIT
        coefficients = Coefficients(design.coefficients, locations, units, design.center, family.conjugate,
                                    family.compiled is not None and not design.predictor.any(), design.predictor,
                                    design.plain_names)
        pieces = self._pieces(frame, coefficients, scales)
        terms = tuple(piece for piece in pieces if isinstance(piece, Term))
        fields = tuple(piece for piece in pieces if isinstance(piece, Function))
        bound = BoundModel(family, self.mean, rows, design, unit, coefficients, terms, fields, log_scales=scales)
        if bound.mean is None and self.mean != NATURAL_MEAN:
            raise SpecificationError(f"Model(mean={self.mean!r}): under {self.prior!r} no coefficient has a common "
                                     "mean. Leave it out, or give it to Conditional(..., mean=...).")
        return bound

    def _pieces(self, frame: Any, coefficients: Coefficients, scales: tuple[LogScale, ...]) -> tuple[Piece, ...]:
        """Return the pieces of the model's prior, and of the priors that scales have of their own."""
        own = [scale for scale in scales if scale.varying.prior is not None]
        of_model = coefficients.first(len(coefficients.names) - len(own))
        pieces = self.prior.terms(frame, of_model)
        varies = {of_model.names[k] for piece in pieces for k in piece.positions}
        for name, varying, _ in scales:
            if varying.prior is None and name not in varies:
                raise SpecificationError(f"{self.family!r}: {name} does not vary under {self.prior!r}. Name {name!r} "
                                         "in on=, take a prior under which something varies, or give the scale its "
                                         "own, as in Varying(LinearVarying('age')).")
            if varying.prior is not None:
                alone = varying.prior.of((name,))
                pieces += alone.terms(frame, replace(coefficients, prefix=f"{name}_"))
        return pieces

    def pymc(self, frame: Any) -> "pm.Model":
        """Return the generative `pm.Model` of these data, in their own units."""
        from bayes_personal.model.program import program

        return program(self.bind(frame))

    def graph(self, frame: Any) -> "Graph":
        """Return the generative model of these data as a Mermaid diagram, which notebooks draw."""
        from pymc import model_to_mermaid

        return Graph(model_to_mermaid(self.pymc(frame)))


def with_all_predictors(design: Design, family: Family) -> Design:
    """Return the design with all linear predictors of a row: copies of the formula's, and the constants of log scales
    that vary."""
    if family.each_with_coefficients:
        design = design.copied(family.each_with_coefficients)
    scales = family.log_scales(1.0)
    return design.with_constants([scale.name for scale in scales]) if scales else design


class Graph(str):
    """The text of a Mermaid diagram, which notebooks draw."""

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self}\n```"
