"""A formula: the expression of its outcome, and the terms of its predictors as formulaic combines them.

formulaic sees only the operators, and a number in place of every column and expression: no text of a user reaches it.
"""

import ast
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, final

from formulaic.errors import FormulaicError
from formulaic.formula import Formula as Terms
from formulaic.formula import SimpleFormula
from formulaic.parser import DefaultFormulaParser
from formulaic.parser.parser import DefaultOperatorResolver
from formulaic.parser.types import Factor, Operator, Term

from bayes_personal.errors import InputTypeError, SpecificationError, shown
from bayes_personal.formulas.expression import Expression
from bayes_personal.formulas.functions import DATES, must_be_functions, remedy
from bayes_personal.formulas.syntax import CLOSED, LEXEME, OPEN, outside_brackets, short, sides, text_of

# Limits of a formula: far more than anybody writes, and few enough for any machine to read.
CHARACTERS, TERMS = 200_000, 10_000

# Signs allowed between predictors.
SIGNS = (*"+-*/:^()",)
# Signs next to which a number would be a factor.
SCALING = ("*", "/", ":")
NUMBER = re.compile(r"[0-9.]+")
DATED = re.compile(rf"\.dt\.({'|'.join(DATES)})$")
GROUPS = "Groups are the prior's business: prior=PartialPooling({0}) has an intercept and slopes of each group."


@final
@dataclass(frozen=True, eq=False)
class Formula:
    """A formula that was read.

    Attributes
    ----------
    text : the formula as it was written
    outcome : the left-hand side
    predictors : the terms of the right-hand side, each a product of factors
    expressions : the factors that are computed, by their text; all other factors are columns, unchanged
    functions : the user's own functions that the formula calls, by name
    """

    text: str
    outcome: Expression
    predictors: SimpleFormula
    expressions: Mapping[str, Expression]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: Any, functions: Mapping[str, Callable[..., Any]] | None = None) -> "Formula":
        """Read ``"outcome ~ predictors"`` without running any of it.

        Parameters
        ----------
        text
            Columns by name, in backticks where a name has spaces or signs; numbers, arithmetic, comparisons,
            formulaic's transforms and NumPy's functions of single numbers.
        functions
            More functions that the formula may call, by name. Each takes columns and returns one value a row.

        Raises
        ------
        InputTypeError
            A formula that is not text, or functions that are not callable.
        SpecificationError
            A formula with anything but the above, or without a meaning.
        """
        if not isinstance(text, str):
            raise InputTypeError(f"A formula is text such as 'outcome ~ predictors'; got {shown(text)}.")
        functions = {} if functions is None else functions
        must_be_functions(functions)
        outcome, predictors, expressions = _read(text, frozenset(functions))
        called = {name for expression in (outcome, *expressions.values()) for name in expression.calls}
        return cls(text, outcome, predictors, expressions,
                   {name: functions[name] for name in functions if name in called})

    @property
    def owner(self) -> str:
        """The name of the formula in messages."""
        return f"formula {short(self.text)}"

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The factors of all predictors, each once."""
        return tuple(dict.fromkeys(factor for term in self.predictors for factor in term.factors
                                   if factor.eval_method is not Factor.EvalMethod.LITERAL))

    @property
    def uses(self) -> dict[str, list[Expression]]:
        """The expressions in which the predictors use each column."""
        result: dict[str, list[Expression]] = {}
        for factor in self.factors:
            expression = self.expressions.get(factor.expr) or Expression.of_column(factor.expr)
            for name in expression.columns:
                result.setdefault(name, []).append(expression)
        return result

    def columns_of(self, factor: str) -> tuple[str, ...]:
        """Return the columns from which a factor is computed."""
        return self.expressions[factor].columns if factor in self.expressions else (factor,)

    @property
    def computed(self) -> bool:
        """Whether any predictor is more than a column or a product of columns."""
        return bool(self.expressions)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns from which the predictors are computed."""
        return tuple(self.uses)

    def levels_of(self, factor: str) -> str | None:
        """Return the column x of the factor x or C(x)."""
        return self.expressions[factor].levels_of if factor in self.expressions else factor

    def outcome_columns(self, available: Collection[Hashable]) -> tuple[str, ...]:
        """Return those of the available columns from which the outcome is computed.

        A column whose name is the spelling of the outcome holds the outcome, such as ``log(y)`` from `simulate`.
        """
        return (self.outcome.text,) if self.outcome.text in available else self.outcome.columns


@lru_cache
def _read(text: str, functions: frozenset[str]) -> tuple[Expression, SimpleFormula, dict[str, Expression]]:
    try:
        if len(text) > CHARACTERS:
            raise SpecificationError(f"{len(text):,} characters are too many: at most {CHARACTERS:,}")
        left, right = sides(text)
        outcome = _outcome(left, functions)
        predictors, expressions = _predictors(right, functions)
    except SpecificationError as error:
        raise SpecificationError(f"The formula {short(text)} cannot be read: {error}") from error
    used = {name for term in predictors for factor in term.factors for name in (
        expressions[factor.expr].columns if factor.expr in expressions else (factor.expr,))}
    if set(outcome.columns) <= used:
        raise SpecificationError(f"The formula {short(text)} has its outcome among the predictors, which then explain "
                                 "it by itself. Remove it there.")
    return outcome, predictors, expressions


def _outcome(lexemes: Sequence[re.Match[str]], functions: frozenset[str]) -> Expression:
    """Read the left-hand side as one expression."""
    bars = list(outside_brackets(lexemes, "|"))
    if bars:
        remedies = [remedy(lexeme["name"]) for lexeme in lexemes[bars[0]:] if lexeme["name"]]
        raise SpecificationError(next(filter(None, remedies), "it names more than one outcome. Write 'outcome ~ "
                                                              "predictors'."))
    text = text_of(lexemes).strip()
    word = list(LEXEME.finditer(text))
    kind, name = _word(word) if _is_word(word[0]) and _word_ends(word, 0) == len(word) else ("expression", text)
    if kind == "column":
        return Expression.of_column(name)
    result = Expression.read(text, functions)
    if result.column is not None:
        return Expression.of_column(result.column)
    match result.tree:
        case ast.Tuple() | ast.List() | ast.BinOp(op=ast.Add()) if len(result.columns) > 1:
            raise SpecificationError("it names more than one outcome. Write 'outcome ~ predictors', I(a + b) where a "
                                     "sum is meant, and bp.Network(...) for a network of several.")
    if not result.columns:
        raise SpecificationError(f"it names no outcome, for {short(text)} reads no column. Write 'outcome ~ "
                                 "predictors'.")
    return result


def _predictors(lexemes: Sequence[re.Match[str]],
                functions: frozenset[str]) -> tuple[SimpleFormula, dict[str, Expression]]:
    """Return the terms of the right-hand side, and the expression of each computed factor."""
    numbers: dict[tuple[str, str], int] = {}
    expressions: dict[str, Expression] = {}
    parts = []
    pieces = list(_pieces(lexemes))
    _must_not_scale([text for _, text in pieces if text.strip()])
    for kind, text in pieces:
        if kind == "expression":
            expression = Expression.read(text, functions)
            if not expression.columns:
                raise SpecificationError(f"{short(text)} reads no column. Write 1 for the intercept.")
            if expression.column is None:
                expressions[expression.text] = expression
                text = expression.text
            else:
                kind, text = "column", expression.column
        parts.append(text if kind == "sign" else f"`#{numbers.setdefault((kind, text), len(numbers))}`")
    names = [text for _, text in numbers]
    twins = [text for kind, text in numbers if kind == "column" and text in expressions]
    if twins:
        raise SpecificationError(f"the column {twins[0]!r} is called as an expression is spelled. Rename the column.")
    factors = {f"#{place}": Factor(text, eval_method="lookup" if kind == "column" else "python")
               for (kind, text), place in numbers.items()}
    try:
        terms: Any = Terms.from_spec("".join(parts), parser=PARSER)
    except SpecificationError as error:
        raise SpecificationError(_with_names(str(error), names)) from None
    except (FormulaicError, SyntaxError) as error:
        message = re.split(r"\.\s|\n", re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)))[0].rstrip(".")
        raise SpecificationError(f"{_with_names(message, names)}. Write 'outcome ~ predictors' with each predictor by "
                                 "name, and names with spaces or signs in `backticks`.") from error
    written: Any = [Term([factors[factor.expr] if factor.expr in factors else factor for factor in term.factors])
                    for term in terms]
    # formulaic declares only that this returns some Formula.
    formula: Any = SimpleFormula(written, _ordering="none")
    return formula, expressions


def _must_not_scale(words: Sequence[str]) -> None:
    """Refuse numbers that would rescale a predictor, or interact with it, and so change the unit of its coefficient."""
    for place, word in enumerate(words):
        preceding, following = "".join(words[max(place - 2, 0) : place]), "".join(words[place + 1 : place + 2])
        if not NUMBER.fullmatch(word) or preceding.endswith(("**", "^")):
            continue
        if word not in ("0", "1") or preceding.endswith(SCALING) or following.startswith(SCALING):
            raise SpecificationError(f"the number {word} would rescale a predictor, or interact with it. 1 is the "
                                     "intercept, and 0 leaves it out. Arithmetic of columns goes in I(...), such as "
                                     "I(x / 100) or I((a + b) / 2).")


def _with_names(message: str, names: Sequence[str]) -> str:
    """Return a message with names of columns and expressions in place of the numbers that formulaic saw."""
    return re.sub(r"#(\d+)", lambda match: names[int(match[1])], message)


def _pieces(lexemes: Sequence[re.Match[str]]) -> Iterator[tuple[str, str]]:
    """Yield the columns and expressions of one side of a formula, and the signs between them."""
    place = 0
    while place < len(lexemes):
        part, start = lexemes[place], place
        if _is_word(part) or part["other"] == "{":
            place = _word_ends(lexemes, place)
            yield _word(lexemes[start:place])
            continue
        if part["quoted"]:
            raise SpecificationError(f"the text {short(part[0])} is no predictor. A column goes by its name, in "
                                     "`backticks` where that has spaces or signs.")
        if part["other"] == "|":
            group = next((later["ticked"] or later["name"] for later in lexemes[place:]
                          if later["ticked"] or later["name"]), "column")
            raise SpecificationError(f"'|' has no meaning among predictors. {GROUPS.format(repr(group))}")
        nested = text_of(lexemes[place:place + 3]) == "%in%"
        if not (part["space"] or nested or part["other"] in SIGNS):
            compared = " A comparison goes in I(...), such as I(x > 0)." if part[0] in "<>=!" else ""
            raise SpecificationError(f"{part[0]!r} has no meaning in a formula.{compared} Write 'outcome ~ predictors' "
                                     "with each predictor by name, and names with spaces or signs in `backticks`.")
        place += 3 if nested else 1
        yield "sign", text_of(lexemes[start:place])


def _is_word(lexeme: re.Match[str]) -> bool:
    """Return whether a lexeme is part of a name, as in Sepal.Length, or of a number."""
    return bool(lexeme["name"] or lexeme["ticked"] or lexeme["number"]) or lexeme["other"] == "."


def _word_ends(lexemes: Sequence[re.Match[str]], place: int) -> int:
    """Return the place after a name or a number, and after the brackets of its call."""
    start = place
    while place < len(lexemes):
        lexeme = lexemes[place]
        called = place > start and lexeme["other"] in ("(", "[") and not re.fullmatch(
            r"[\d.]+", text_of(lexemes[start:place]))
        if called or lexeme["other"] == "{" and place == start:
            depth = 0
            for end in range(place, len(lexemes)):
                depth += (lexemes[end]["other"] in OPEN) - (lexemes[end]["other"] in CLOSED)
                if depth == 0:
                    break
            place = end + 1
            if lexeme["other"] == "{":
                return place
        elif _is_word(lexeme):
            place += 1
        elif lexeme["space"] and lexemes[place - 1]["name"] and place + 1 < len(lexemes) and (
                lexemes[place + 1]["other"] == "("):
            place += 1
        else:
            break
    return place


def _word(lexemes: Sequence[re.Match[str]]) -> tuple[str, str]:
    """Return the kind of a word, and its text: a number, a column or an expression."""
    text = text_of(lexemes)
    if text == ".":
        raise SpecificationError("'.' stands for no column here. Write each predictor by name.")
    if NUMBER.fullmatch(text):
        return "sign", text
    if len(lexemes) == 1 and lexemes[0]["ticked"]:
        return "column", lexemes[0]["ticked"]
    computed = any(lexeme["ticked"] or lexeme["other"] not in (None, ".") for lexeme in lexemes) or DATED.search(text)
    return ("expression" if computed else "column"), text


def _limited(operator: Operator) -> Operator:
    """Limit an operator of formulaic: refuse uses without effect, and uses that make too many terms."""
    apply: Any = operator._to_terms

    def minus(left: Any, right: Any) -> Any:
        absent = [term for term in right if term not in left and str(term) != "1"]
        if absent:
            raise SpecificationError(f"'- {absent[0]}' takes away a term that is not there. Write I(a - b) for a "
                                     "difference of columns.")
        return apply(left, right)

    def product(left: Any, right: Any) -> Any:
        if len(left) == 1 and list(left) == list(right) and operator.symbol in ("*", ":"):
            (term,) = left
            raise SpecificationError(f"'{term}{operator.symbol}{term}' stands for an interaction, and is {term} itself."
                                     f" Write I({term}**2) for the square of a column.")
        if len(left) * len(right) > TERMS:
            raise SpecificationError(f"it has more than {TERMS:,} terms. Write those that you need.")
        return apply(left, right)

    def power(base: Any, exponent: Any) -> Any:
        (times,) = exponent
        if len(base) == 1 and str(times) != "1":
            (term,) = base
            raise SpecificationError(f"'{term}{operator.symbol}{times}' stands for interactions, and is {term} itself. "
                                     f"Write I({term}**{times}) for the power of a column.")
        if re.fullmatch(r"\d+", str(times)) and len(base) ** min(int(str(times)), 20) > TERMS:
            raise SpecificationError(f"it has more than {TERMS:,} terms. Write those that you need.")
        return apply(base, exponent)

    checked = {"-": minus, "*": product, "/": product, ":": product, "in": product, "**": power, "^": power}
    if operator.arity != 2 or operator.symbol not in checked:
        return operator
    result = copy(operator)
    result._to_terms = checked[operator.symbol]
    return result


class _Operators(DefaultOperatorResolver):
    """formulaic's operators, limited."""

    @property
    def operators(self) -> list[Operator]:
        return [_limited(operator) for operator in super().operators]


PARSER = DefaultFormulaParser(operator_resolver=_Operators(), feature_flags=DefaultFormulaParser.FeatureFlags.TWOSIDED)
