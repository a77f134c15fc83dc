"""Expressions of a formula, such as log(x) or post - pre: syntax trees that are evaluated, never run as code.

Python's parser builds the tree. Any node other than a column, a number, arithmetic, a comparison or a call of a known
function is refused when the expression is read, and no code is ever compiled: a formula may come from any source.
"""

import ast
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError, did_you_mean
from bayes_personal.formulas.functions import (
    CODINGS,
    CONSTANTS,
    CONTRASTS,
    DATES,
    NUMPY,
    TEXTS,
    TRANSFORMED,
    called_with,
    form_of_text,
    must_be_values,
    part_of_date,
    remedy,
)
from bayes_personal.formulas.syntax import Names, levels, short, spelled, with_plain_names

# Limits of an expression: far more than anybody writes, and few enough for any machine to read.
CHARACTERS, DEPTH = 10_000, 100

ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_}
SIGNS: Mapping[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos,
                                              ast.Invert: operator.invert}
COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge}

ALLOWED = ("Write columns, numbers, + - * / **, comparisons and calls of known functions, or make the column first, "
           "with frame.assign(...).")
# Messages for kinds of nodes that are refused, with an alternative where there is one.
REFUSED: Mapping[type, str] = {
    ast.BoolOp: "'and' and 'or' do not work on columns. Write (a > 0) & (b > 0), or |.",
    ast.Not: "'not' does not work on columns. Write ~(a > 0).",
    ast.BitXor: "'^' is no power in an expression. Write **.",
    ast.Subscript: "rows of a column cannot be chosen in a formula. Choose them in the frame.",
    ast.Compare: "Compare two at a time, in brackets: (a > 0) & (b < 1).",
    ast.IfExp: "'if' does not work on columns. Write np.where(condition, this, that).",
}


@final
@dataclass(frozen=True, eq=False)
class Scope:
    """The columns, functions and state with which an expression is computed.

    Attributes
    ----------
    columns : columns of the rows, by name
    functions : the user's own functions, by name
    state : state that transforms learned from the training rows, by their call; filled where it is empty
    spec : formulaic's record, which its transforms may read
    """

    columns: pd.DataFrame
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    spec: Any = None


@final
@dataclass(frozen=True)
class Expression:
    """An expression that was read.

    Attributes
    ----------
    text : spelling of the expression, independent of how it was spaced
    tree : Python's syntax tree of the expression, with names as they were written
    columns : columns that the expression reads, in order
    calls : names of the functions that it calls
    """

    text: str
    tree: ast.expr = field(compare=False, repr=False)
    columns: tuple[str, ...]
    calls: tuple[str, ...]

    @classmethod
    def read(cls, text: str, functions: Collection[str] = ()) -> "Expression":
        """Read text, which may call `functions` in addition to those that formulas know.

        Raises
        ------
        SpecificationError
            Text that is not an expression, or that does more than formulas may do.
        """
        return _read(text, frozenset(functions))

    @classmethod
    def of_column(cls, name: str) -> "Expression":
        """Return the expression that is a column, unchanged."""
        return cls(name, ast.Name(name, ast.Load()), (name,), ())

    @property
    def column(self) -> str | None:
        """The name of the column, where the expression is a column, unchanged."""
        return self.tree.id if isinstance(self.tree, ast.Name) else None

    @property
    def levels_of(self) -> str | None:
        """The column x of C(x), whose values only name levels."""
        match self.tree:
            case ast.Call(func=ast.Name(id="C"), args=[ast.Name(id=name), *_]):
                return name
        return None

    @property
    def first_argument(self) -> "Expression | None":
        """The x of f(x, ...), where the expression is a call."""
        match self.tree:
            case ast.Call(args=[first, *_]):
                return Expression(spelled(first), first, tuple(node.id for node in ast.walk(first)
                                                               if isinstance(node, ast.Name)), ())
        return None

    def value(self, scope: Scope) -> Any:
        """Compute the expression in the rows of a scope."""
        return _value(self.tree, scope)


@lru_cache(maxsize=4096)
def _read(text: str, functions: frozenset[str]) -> Expression:
    if len(text) > CHARACTERS:
        raise SpecificationError(f"an expression of {len(text):,} characters is too long: at most {CHARACTERS:,}. "
                                 "Make the column first, with frame.assign(...).")
    source, names = with_plain_names(text)
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError) as error:
        product = "':' has no meaning inside an expression: write a * b for a product. " * (":" in text)
        raise SpecificationError(f"{short(text)} is not an expression. {product}{ALLOWED}") from error
    except (RecursionError, MemoryError) as error:
        raise SpecificationError(_too_deep(text)) from error
    if max((depth for _, depth in levels(tree)), default=0) > DEPTH:
        raise SpecificationError(_too_deep(text))
    tree = Names(names).visit(tree)
    reader = _Reader(functions)
    reader.check(tree)
    return Expression(spelled(tree), tree, tuple(reader.columns), tuple(reader.calls))


def _too_deep(text: str) -> str:
    return (f"{short(text)} is nested too deeply: at most {DEPTH} levels. Make the column first, with "
            "frame.assign(...).")


@dataclass
class _Reader:
    """Collects the columns and calls of an expression, and refuses whatever formulas may not do."""

    functions: Collection[str]
    columns: dict[str, None] = field(default_factory=dict)
    calls: dict[str, None] = field(default_factory=dict)

    def check(self, node: ast.AST) -> None:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return
            case ast.Name(id=name) if "`" not in name:
                self.columns[name] = None
            case ast.Name(id=name):
                raise SpecificationError(f"no formula can name the column {name!r}, for it has a backtick. Rename it.")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                self.check(left)
                self.check(right)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in SIGNS:
                self.check(operand)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                self.check(left)
                self.check(right)
            case ast.List(elts=entries) | ast.Tuple(elts=entries):
                for entry in entries:
                    self.check(entry)
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if name in CONSTANTS:
                return
            case ast.Attribute(value=ast.Name(id="contr"), attr=name) if name in CONTRASTS:
                return
            case ast.Attribute(value=ast.Attribute(value=column, attr="dt"), attr=name) if name in DATES:
                self.check(column)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=column, attr="str"), attr=name), args=[],
                          keywords=[]) if name in TEXTS:
                self.check(column)
            case ast.Call(func=function, args=given, keywords=named):
                self.call(function, node)
                for argument in (*given, *(keyword.value for keyword in named)):
                    if not _is_coding(argument, node):
                        self.check(argument)
                if any(keyword.arg is None for keyword in named):
                    raise SpecificationError(f"{spelled(node)}: write each argument by itself, without **.")
            case _:
                raise SpecificationError(refusal(node))

    def call(self, function: ast.expr, node: ast.Call) -> None:
        match function:
            case ast.Name(id=name) if name in TRANSFORMED or name in NUMPY or name in self.functions:
                self.calls[name] = None
            case ast.Name(id=name):
                argument = next((part.id for part in ast.walk(node) if isinstance(part, ast.Name) and part != function),
                                "x")
                near = did_you_mean(name, [*TRANSFORMED, "Q"])
                raise SpecificationError(f"knows no function {name!r}. " + (remedy(name, argument) or f"{near} NumPy's "
                                         "functions of single numbers are known too, such as np.sqrt. Give a function "
                                         f"of your own to Model(..., functions={{{name!r}: ...}}), or make the column "
                                         "first, with frame.assign(...)."))
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if name in NUMPY:
                return
            case ast.Attribute(value=ast.Name(id="contr"), attr=name) if name in CONTRASTS:
                return
            case ast.Attribute(value=ast.Name(id="np"), attr=name):
                raise SpecificationError(f"{short(spelled(node))} is refused: np.{name} is none of NumPy's functions "
                                         f"that take each row by itself. {nearest(name, NUMPY)}{ALLOWED}")
            case ast.Attribute(value=ast.Name(id="contr"), attr=name):
                raise SpecificationError(f"{spelled(node)}: there are no contrasts {name!r}. "
                                         f"{did_you_mean(name, CONTRASTS)}")
            case _:
                raise SpecificationError(refusal(function))


def nearest(name: str, names: Iterable[str]) -> str:
    """Ask whether a similar name was meant; empty where no name is similar."""
    near = get_close_matches(name, list(names), n=1)
    return f"Did you mean {near[0]!r}? " if near else ""


def refusal(node: ast.AST) -> str:
    """Explain why formulas cannot contain a node, and what to write instead."""
    kind = type(node.op if isinstance(node, ast.UnaryOp | ast.BinOp) else node)
    if isinstance(node, ast.Attribute):
        return (f"{short(spelled(node))} is refused: of a column there are its .dt.{', '.join(DATES)} and its "
                f".str.{'(), '.join(TEXTS)}(). A column with a dot in its name goes in `backticks`. {ALLOWED}")
    return f"{short(spelled(node))} is refused. {REFUSED.get(kind, ALLOWED)}"


def _value(node: ast.AST, scope: Scope) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return scope.columns[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(ARITHMETIC[type(op)], _value(left, scope), _value(right, scope))
        case ast.UnaryOp(op=op, operand=operand):
            return SIGNS[type(op)](_number(_value(operand, scope)))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return COMPARISONS[type(op)](_value(left, scope), _value(right, scope))
        case ast.List(elts=entries) | ast.Tuple(elts=entries):
            return [_value(entry, scope) for entry in entries]
        case ast.Attribute(value=ast.Name(id="np"), attr=name):
            return CONSTANTS[name]
        case ast.Attribute(value=ast.Name(id="contr"), attr=name):
            return CONTRASTS[name]()
        case ast.Attribute(value=ast.Attribute(value=column, attr="dt"), attr=name):
            return part_of_date(_value(column, scope), name)
        case ast.Call(func=ast.Attribute(value=ast.Attribute(value=column, attr="str"), attr=name)):
            return form_of_text(_value(column, scope), name)
        case ast.Call(func=ast.Name() | ast.Attribute() as function, args=given, keywords=named):
            return _called(spelled(function), node, [_argument(argument, node, scope) for argument in given],
                           {str(keyword.arg): _argument(keyword.value, node, scope) for keyword in named}, scope)
    raise SpecificationError(refusal(node))


def _is_coding(argument: ast.expr, call: ast.Call) -> bool:
    """Return whether an argument names the contrasts of a factor, as in C(x, Sum)."""
    is_factor = isinstance(call.func, ast.Name) and call.func.id == "C"
    return is_factor and isinstance(argument, ast.Name) and argument.id in CODINGS and argument is not call.args[0]


def _argument(argument: ast.expr, call: ast.Call, scope: Scope) -> Any:
    if isinstance(argument, ast.Name) and _is_coding(argument, call):
        return TRANSFORMED[argument.id]()
    return _value(argument, scope)


def _called(name: str, node: ast.Call, given: list[Any], named: dict[str, Any], scope: Scope) -> Any:
    plain = name.removeprefix("np.")
    if name.startswith("contr."):
        function = CONTRASTS[name.removeprefix("contr.")]
    elif plain in NUMPY:
        function = NUMPY[plain][0]
    else:
        function = TRANSFORMED.get(name) or scope.functions[name]
    arguments = called_with(name, function, given, named)
    if getattr(function, "__is_stateful_transform__", False):
        arguments |= {"_state": scope.state.setdefault(spelled(node), {}), "_spec": scope.spec}
    result = function(*given, **arguments)
    if name in scope.functions:
        must_be_values(name, result, len(scope.columns))
    return result


def _number(value: Any) -> Any:
    if value is None or isinstance(value, str | list):
        raise SpecificationError(f"arithmetic is of columns and numbers; got {value!r}.")
    return value


def _arithmetic(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not isinstance(_number(left), int | float) or not isinstance(_number(right), int | float):
        return operation(left, right)
    # Computed in float64, where a power of powers is infinite at once instead of an integer of a billion digits.
    result = float(operation(np.float64(left), np.float64(right)))
    integral = isinstance(left, int) and isinstance(right, int) and result.is_integer() and abs(result) <= 2**53
    return int(result) if integral else result
