"""A formula: the expression of its outcome, and the terms of its predictors as formulaic combines them.

formulaic sees the operators, and a number in place of every column and expression: no text of a user reaches it.
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
from bayes_personal.formulas.syntax import LEXEME, short

# Characters and terms of a formula: far more than anybody writes, and few enough for any machine to read.
CHARACTERS, TERMS, BRACKETS = 200_000, 10_000, 100

# What may stand between predictors.
SIGNS = (*"+-*/:^()",)
# Those between which a number would be a factor.
SCALING = ("*", "/", ":")
NUMBER = re.compile(r"[0-9.]+")
OPEN, CLOSED = ("(", "[", "{"), (")", "]", "}")
DATED = re.compile(rf"\.dt\.({'|'.join(DATES)})$")
GROUPS = "Groups are the prior's business: prior=PartialPooling({0}) has an intercept and slopes of each group."


@final
@dataclass(frozen=True, eq=False)
class Formula:
    """A formula that was read.

    Attributes
    ----------
    text : as it was written
    outcome : its left-hand side
    predictors : the terms of its right-hand side, each a product of factors
    expressions : the factors that are computed, by their text; all others are columns as they stand
    functions : those of the user's own that it calls, by name
    """

    text: str
    outcome: Expression
    predictors: SimpleFormula
    expressions: Mapping[str, Expression]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: Any, functions: Mapping[str, Callable[..., Any]] | None = None) -> "Formula":
        """Read ``"outcome ~ predictors"``; nothing in it is run.

        Parameters
        ----------
        text
            Columns by name, in backticks where a name has spaces or signs; numbers, arithmetic, comparisons,
            formulaic's transforms and NumPy's functions of single numbers.
        functions
            More functions that the formula may call, by name. Each takes columns and returns a value a row.

        Raises
        ------
        InputTypeError
            A formula that is not text, or functions that are none.
        SpecificationError
            Anything else than the above, and what no formula could mean.
        """
        if not isinstance(text, str):
            raise InputTypeError(f"A formula is text such as 'outcome ~ predictors'; got {shown(text)}.")
        functions = {} if functions is None else functions
        must_be_functions(functions)
        outcome, predictors, expressions = _read(text, frozenset(functions))
        called = {name for each in (outcome, *expressions.values()) for name in each.calls}
        return cls(text, outcome, predictors, expressions,
                   {name: functions[name] for name in functions if name in called})

    @property
    def owner(self) -> str:
        """How messages call it."""
        return f"formula {short(self.text)}"

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Of all predictors, each once."""
        return tuple(dict.fromkeys(factor for term in self.predictors for factor in term.factors
                                   if factor.eval_method is not Factor.EvalMethod.LITERAL))

    @property
    def uses(self) -> dict[str, list[Expression]]:
        """What the predictors do with each column."""
        result: dict[str, list[Expression]] = {}
        for factor in self.factors:
            expression = self.expressions.get(factor.expr) or Expression.of_column(factor.expr)
            for name in expression.columns:
                result.setdefault(name, []).append(expression)
        return result

    def columns_of(self, factor: str) -> tuple[str, ...]:
        """The columns that a factor is made of."""
        return self.expressions[factor].columns if factor in self.expressions else (factor,)

    @property
    def computed(self) -> bool:
        """Whether a predictor is anything beside columns as they stand and their products."""
        return bool(self.expressions)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the predictors are made of."""
        return tuple(self.uses)

    def levels_of(self, factor: str) -> str | None:
        """The column x of the factor x or C(x)."""
        return self.expressions[factor].levels_of if factor in self.expressions else factor

    def outcome_columns(self, available: Collection[Hashable]) -> tuple[str, ...]:
        """The columns, among those there are, that the outcome is made of.

        A column called as the outcome is spelled stands for it, such as the column ``log(y)`` that `simulate` makes.
        """
        return (self.outcome.text,) if self.outcome.text in available else self.outcome.columns


@lru_cache
def _read(text: str, functions: frozenset[str]) -> tuple[Expression, SimpleFormula, dict[str, Expression]]:
    try:
        if len(text) > CHARACTERS:
            raise SpecificationError(f"{len(text):,} characters are too many: at most {CHARACTERS:,}")
        left, right = _sides(text)
        outcome = _outcome(left, functions)
        predictors, expressions = _predictors(right, functions)
    except SpecificationError as error:
        raise SpecificationError(f"The formula {short(text)} cannot be read: {error}") from error
    both = {name for factor in predictors for each in factor.factors for name in (
        expressions[each.expr].columns if each.expr in expressions else (each.expr,))}
    if set(outcome.columns) <= both:
        raise SpecificationError(f"The formula {short(text)} has its outcome among the predictors, which then explain "
                                 "it by itself. Remove it there.")
    return outcome, predictors, expressions


def _sides(text: str) -> tuple[list[re.Match[str]], list[re.Match[str]]]:
    """The lexemes left and right of the tilde."""
    lexemes = list(LEXEME.finditer(text))
    tildes = list(_outside_brackets(lexemes, "~"))
    if len(tildes) > 1:
        raise SpecificationError("there is more than one '~'. Write 'outcome ~ predictors'.")
    if not tildes or not _text(lexemes[:tildes[0]]).strip():
        raise SpecificationError("it names no outcome. Write 'outcome ~ predictors'.")
    if not _text(lexemes[tildes[0] + 1:]).strip():
        raise SpecificationError("it names no predictors, not even an intercept. Write 'outcome ~ 1'.")
    return lexemes[:tildes[0]], lexemes[tildes[0] + 1:]


def _text(lexemes: Sequence[re.Match[str]]) -> str:
    return "".join(each[0] for each in lexemes)


def _outcome(lexemes: Sequence[re.Match[str]], functions: frozenset[str]) -> Expression:
    """The left-hand side as one expression."""
    bars = list(_outside_brackets(lexemes, "|"))
    if bars:
        remedies = [remedy(each["name"]) for each in lexemes[bars[0]:] if each["name"]]
        raise SpecificationError(next(filter(None, remedies), "it names more than one outcome. Write 'outcome ~ "
                                                              "predictors'."))
    text = _text(lexemes).strip()
    word = list(LEXEME.finditer(text))
    kind, name = _word(word) if _is_word(word[0]) and _word_ends(word, 0) == len(word) else ("expression", text)
    if kind == "column":
        return Expression.of_column(name)
    result = Expression.read(text, functions)
    if result.column is not None:
        return Expression.of_column(result.column)
    match result.tree:
        case ast.Tuple() | ast.List() | ast.BinOp(op=ast.Add()) if len(result.columns) > 1:
            raise SpecificationError("it names more than one outcome. Write 'outcome ~ predictors', and I(a + b) where "
                                     "a sum is meant.")
    if not result.columns:
        raise SpecificationError(f"it names no outcome, for {short(text)} reads no column. Write 'outcome ~ "
                                 "predictors'.")
    return result


def _outside_brackets(lexemes: Sequence[re.Match[str]], sign: str) -> Iterator[int]:
    """Where a sign stands that no bracket holds; brackets must match."""
    waiting: list[str] = []
    for place, each in enumerate(lexemes):
        if each["other"] in OPEN:
            waiting.append(CLOSED[OPEN.index(each[0])])
            if len(waiting) > BRACKETS:
                raise SpecificationError(f"brackets are nested too deeply: at most {BRACKETS} levels.")
        elif each["other"] in CLOSED and (not waiting or waiting.pop() != each[0]):
            raise SpecificationError(f"{each[0]!r} closes no bracket behind {short(_text(lexemes[:place])[-40:])}.")
        elif each["other"] == sign and not waiting:
            yield place
    if waiting:
        raise SpecificationError(f"a bracket is open at its end, where {waiting[-1]!r} is needed.")


def _predictors(lexemes: Sequence[re.Match[str]],
                functions: frozenset[str]) -> tuple[SimpleFormula, dict[str, Expression]]:
    """The terms of the right-hand side, and what each computed factor is."""
    known: dict[tuple[str, str], int] = {}
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
        parts.append(text if kind == "sign" else f"`#{known.setdefault((kind, text), len(known))}`")
    names = [text for _, text in known]
    twice = [text for kind, text in known if kind == "column" and text in expressions]
    if twice:
        raise SpecificationError(f"the column {twice[0]!r} is called as an expression is spelled. Rename the column.")
    factors = {f"#{place}": Factor(text, eval_method="lookup" if kind == "column" else "python")
               for (kind, text), place in known.items()}
    try:
        terms: Any = Terms.from_spec("".join(parts), parser=PARSER)
    except SpecificationError as error:
        raise SpecificationError(_with_names(str(error), names)) from None
    except (FormulaicError, SyntaxError) as error:
        said = re.split(r"\.\s|\n", re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)))[0].rstrip(".")
        raise SpecificationError(f"{_with_names(said, names)}. Write 'outcome ~ predictors' with each predictor by "
                                 "name, and names with spaces or signs in `backticks`.") from error
    written: Any = [Term([factors[factor.expr] if factor.expr in factors else factor for factor in term.factors])
                    for term in terms]
    # formulaic declares that this makes any Formula.
    formula: Any = SimpleFormula(written, _ordering="none")
    return formula, expressions


def _must_not_scale(words: Sequence[str]) -> None:
    """Refuse numbers that would rescale a predictor, or interact with it: its coefficient would be of another unit."""
    for place, word in enumerate(words):
        before, after = "".join(words[max(place - 2, 0) : place]), "".join(words[place + 1 : place + 2])
        if not NUMBER.fullmatch(word) or before.endswith(("**", "^")):
            continue
        if word not in ("0", "1") or before.endswith(SCALING) or after.startswith(SCALING):
            raise SpecificationError(f"the number {word} would rescale a predictor, or interact with it. 1 is the "
                                     "intercept, and 0 leaves it out. Arithmetic of columns goes in I(...), such as "
                                     "I(x / 100) or I((a + b) / 2).")


def _with_names(message: str, names: Sequence[str]) -> str:
    """A message that names columns and expressions where formulaic saw their numbers."""
    return re.sub(r"#(\d+)", lambda found: names[int(found[1])], message)


def _pieces(lexemes: Sequence[re.Match[str]]) -> Iterator[tuple[str, str]]:
    """The columns and expressions of one side of a formula, and the signs between them."""
    place = 0
    while place < len(lexemes):
        each, start = lexemes[place], place
        if _is_word(each) or each["other"] == "{":
            place = _word_ends(lexemes, place)
            yield _word(lexemes[start:place])
            continue
        if each["quoted"]:
            raise SpecificationError(f"the text {short(each[0])} is no predictor. A column goes by its name, in "
                                     "`backticks` where that has spaces or signs.")
        if each["other"] == "|":
            group = next((found["ticked"] or found["name"] for found in lexemes[place:]
                          if found["ticked"] or found["name"]), "column")
            raise SpecificationError(f"'|' has no meaning among predictors. {GROUPS.format(repr(group))}")
        nested = _text(lexemes[place:place + 3]) == "%in%"
        if not (each["space"] or nested or each["other"] in SIGNS):
            compared = " A comparison goes in I(...), such as I(x > 0)." if each[0] in "<>=!" else ""
            raise SpecificationError(f"{each[0]!r} has no meaning in a formula.{compared} Write 'outcome ~ predictors' "
                                     "with each predictor by name, and names with spaces or signs in `backticks`.")
        place += 3 if nested else 1
        yield "sign", _text(lexemes[start:place])


def _is_word(lexeme: re.Match[str]) -> bool:
    """Whether it is part of a name, as in Sepal.Length, or of a number."""
    return bool(lexeme["name"] or lexeme["ticked"] or lexeme["number"]) or lexeme["other"] == "."


def _word_ends(lexemes: Sequence[re.Match[str]], place: int) -> int:
    """Behind a name or a number, and the brackets of what it calls."""
    start = place
    while place < len(lexemes):
        each = lexemes[place]
        called = place > start and each["other"] in ("(", "[") and not re.fullmatch(
            r"[\d.]+", _text(lexemes[start:place]))
        if called or each["other"] == "{" and place == start:
            depth = 0
            for end in range(place, len(lexemes)):
                depth += (lexemes[end]["other"] in OPEN) - (lexemes[end]["other"] in CLOSED)
                if depth == 0:
                    break
            place = end + 1
            if each["other"] == "{":
                return place
        elif _is_word(each):
            place += 1
        elif each["space"] and lexemes[place - 1]["name"] and place + 1 < len(lexemes) and (
                lexemes[place + 1]["other"] == "("):
            place += 1
        else:
            break
    return place


def _word(lexemes: Sequence[re.Match[str]]) -> tuple[str, str]:
    """What a word is: a number, a column or an expression."""
    text = _text(lexemes)
    if text == ".":
        raise SpecificationError("'.' stands for no column here. Write each predictor by name.")
    if NUMBER.fullmatch(text):
        return "sign", text
    if len(lexemes) == 1 and lexemes[0]["ticked"]:
        return "column", lexemes[0]["ticked"]
    computed = any(each["ticked"] or each["other"] not in (None, ".") for each in lexemes) or DATED.search(text)
    return ("expression" if computed else "column"), text


def _limited(operator: Operator) -> Operator:
    """An operator of formulaic that is refused where it would do nothing, or more than any machine can."""
    apply: Any = operator._to_terms

    def minus(left: Any, right: Any) -> Any:
        nothing = [term for term in right if term not in left and str(term) != "1"]
        if nothing:
            raise SpecificationError(f"'- {nothing[0]}' takes away a term that is not there. Write I(a - b) for a "
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
