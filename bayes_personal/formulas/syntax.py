"""The spelling of formulas: their lexemes, and syntax trees that keep the names as they were written."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

from bayes_personal.errors import SpecificationError

# A text in quotes, a name in backticks, a number, a name, or any other character.
LEXEME = re.compile(r"""(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|`(?P<ticked>[^`]+)`|"""
                    r"""(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>(?:\w|[^\x00-\x7f\s])+)|"""
                    r"""(?P<space>\s+)|(?P<other>.)""", re.DOTALL)

OPEN, CLOSED = ("(", "[", "{"), (")", "]", "}")
# Deepest brackets of a formula: far deeper than anybody writes.
BRACKETS = 100

# Words with a meaning in an expression; any other word may be the name of a column.
WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else", "for", "async", "await", "lambda", "yield", "True",
                   "False", "None"})


def short(text: str, limit: int = 200) -> str:
    """Return text in quotes, without its middle where it is long."""
    half = limit // 2
    return repr(text if len(text) <= limit else f"{text[:half]} ... {text[-half:]}")


def with_plain_names(text: str) -> tuple[str, dict[str, str]]:
    """Return the text with a plain name in place of every name, and the original of each plain name.

    Python would treat names that Unicode calls compatible as one name, unlike frames.
    """
    plain: dict[str, str] = {}
    pieces = []
    for lexeme in LEXEME.finditer(text):
        name = lexeme["ticked"] or lexeme["name"]
        if lexeme["space"]:
            pieces.append(" ")
        elif lexeme["other"] in ("{", "}"):
            pieces.append("(" if lexeme["other"] == "{" else ")")
        elif name is None or name == lexeme["name"] and name in WORDS:
            pieces.append(lexeme[0])
        else:
            # Spaces keep two adjacent names from merging into one.
            pieces.append(f" {plain.setdefault(name, f'n{len(plain)}')} ")
    return "".join(pieces).strip(), {alias: name for name, alias in plain.items()}


def levels(tree: ast.expr) -> Iterator[tuple[ast.AST, int]]:
    """Yield every node and its depth."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


class Names(ast.NodeTransformer):
    """Restores the original names in a tree; Q('a name') becomes the column of that name."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names[node.id], ast.Load())

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        return ast.Attribute(self.visit(node.value), self.names[node.attr], ast.Load())

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        return ast.keyword(self.names[node.arg] if node.arg else None, self.visit(node.value))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="Q"), args=[ast.Constant(value=str() as name)], keywords=[]):
                return ast.Name(name, ast.Load())
        return node


class Ticked(ast.NodeTransformer):
    """Puts backticks around names that could not be read without them."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        lexeme = LEXEME.match(node.id)
        plain = lexeme is not None and lexeme["name"] == node.id and node.id not in WORDS
        return node if plain else ast.Name(f"`{node.id}`", ast.Load())


def spelled(tree: ast.AST) -> str:
    """Return a tree as text that reads as the same tree."""
    return ast.unparse(Ticked().visit(deepcopy(tree)))


def sides(text: str) -> tuple[list[re.Match[str]], list[re.Match[str]]]:
    """Return the lexemes left and right of the tilde."""
    lexemes = list(LEXEME.finditer(text))
    tildes = list(outside_brackets(lexemes, "~"))
    if len(tildes) > 1:
        raise SpecificationError("there is more than one '~'. Write 'outcome ~ predictors'.")
    if not tildes or not text_of(lexemes[:tildes[0]]).strip():
        raise SpecificationError("it names no outcome. Write 'outcome ~ predictors'.")
    if not text_of(lexemes[tildes[0] + 1:]).strip():
        raise SpecificationError("it names no predictors, not even an intercept. Write 'outcome ~ 1'.")
    return lexemes[:tildes[0]], lexemes[tildes[0] + 1:]


def text_of(lexemes: Sequence[re.Match[str]]) -> str:
    return "".join(lexeme[0] for lexeme in lexemes)


def outside_brackets(lexemes: Sequence[re.Match[str]], sign: str) -> Iterator[int]:
    """Yield the places of a sign outside brackets; refuse brackets that do not match."""
    waiting: list[str] = []
    for place, lexeme in enumerate(lexemes):
        if lexeme["other"] in OPEN:
            waiting.append(CLOSED[OPEN.index(lexeme[0])])
            if len(waiting) > BRACKETS:
                raise SpecificationError(f"brackets are nested too deeply: at most {BRACKETS} levels.")
        elif lexeme["other"] in CLOSED and (not waiting or waiting.pop() != lexeme[0]):
            raise SpecificationError(f"{lexeme[0]!r} closes no bracket behind {short(text_of(lexemes[:place])[-40:])}.")
        elif lexeme["other"] == sign and not waiting:
            yield place
    if waiting:
        raise SpecificationError(f"a bracket is open at its end, where {waiting[-1]!r} is needed.")
