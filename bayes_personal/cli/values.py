"""Priors, families and methods that a person writes as in Python, read without running any of it."""

import ast
from inspect import signature
from typing import Any

import bayes_personal as bp
from bayes_personal.errors import BayesPersonalError, SpecificationError, did_you_mean
from bayes_personal.families import Family
from bayes_personal.priors import Prior

CLASSES = {name: value for name in sorted(bp.__all__) if isinstance(value := getattr(bp, name), type)}
WORDS = {
    "prior": {name: value for name, value in CLASSES.items() if issubclass(value, Prior)},
    "family": {name: value for name, value in CLASSES.items() if issubclass(value, Family)},
    "method": {name: value for name, value in CLASSES.items() if hasattr(value, "sample")},
    "hyperprior": {"Hyperprior": bp.Hyperprior},
    "scale": {"Varying": bp.Varying},
}
KNOWN = {name: value for words in WORDS.values() for name, value in words.items()}


def parse(role: str, text: str) -> Any:
    """Return the prior, family or method that `text` writes as in Python; only constructors of this package are run."""
    by_name = {name.lower(): method for name, method in WORDS["method"].items()} if role == "method" else {}
    if text.strip() in by_name:
        return by_name[text.strip()]()
    try:
        value = evaluate(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "nested too deeply"
        raise SpecificationError(f"--{role} {text!r} is not Python: {reason}. Write it as in "
                                 f"{example(role)}.") from error
    except BayesPersonalError as error:
        raise SpecificationError(f"--{role} {text!r}: {error}") from error
    kinds = (Prior,) if role == "prior" else tuple(WORDS[role].values())
    if not isinstance(value, kinds):
        raise SpecificationError(f"--{role} {text!r} is no {role}: write it as in {example(role)}. There are: "
                                 f"{', '.join(WORDS[role])}.")
    return value


def example(role: str) -> str:
    """Return an example of the text."""
    return {"prior": "'PartialPooling(\"subject\")'", "family": "'Normal()'", "method": "'NUTS(draws=2000)'"}[role]


def evaluate(node: ast.expr) -> Any:
    """Return the value of a literal, a list, a call of one of `KNOWN`, or a sum of priors; anything else is refused."""
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=entries) | ast.Tuple(elts=entries):
            return tuple(map(evaluate, entries))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            summands = evaluate(left), evaluate(right)
            if all(isinstance(summand, Prior) for summand in summands):
                return summands[0] + summands[1]
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="bp"), attr=name)):
            return construct(name, node)
        case ast.Name(id=name):
            raise SpecificationError(f"{name} stands alone. Text, such as the name of a column, goes in quotes: "
                                     f"{name!r}; a class is called: {name}(). {did_you_mean(name, KNOWN)}")
    raise SpecificationError(f"{ast.unparse(node)} is refused: write calls of {', '.join(KNOWN)}, text in quotes, "
                             "numbers, lists of these, and + between priors.")


def construct(name: str, call: ast.Call) -> Any:
    """Call a class of this package."""
    if name not in KNOWN:
        raise SpecificationError(f"There is no {name!r} to call. {did_you_mean(name, KNOWN)}")
    constructor = KNOWN[name]
    named = {keyword.arg: evaluate(keyword.value) for keyword in call.keywords if keyword.arg is not None}
    if len(named) < len(call.keywords):
        raise SpecificationError(f"{ast.unparse(call)}: write each argument once, by its name, without **.")
    positional = [evaluate(argument) for argument in call.args]
    try:
        signature(constructor).bind(*positional, **named)
    except TypeError as error:
        raise SpecificationError(f"{ast.unparse(call)}: {error}. {name} takes "
                                 f"{', '.join(signature(constructor).parameters) or 'no argument'}.") from error
    return constructor(*positional, **named)
