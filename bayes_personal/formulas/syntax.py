"""The spelling of formulas: their lexemes, and syntax trees whose names are as they were written."""

import ast
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy

# Text in quotes, a name in backticks, a number, a name, and any other character.
LEXEME = re.compile(r"""(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|`(?P<ticked>[^`]+)`|"""
                    r"""(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>(?:\w|[^\x00-\x7f\s])+)|"""
                    r"""(?P<space>\s+)|(?P<other>.)""", re.DOTALL)

# Words that mean something in an expression; any other may be the name of a column.
WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else", "for", "async", "await", "lambda", "yield", "True",
                   "False", "None"})


def short(text: str, limit: int = 200) -> str:
    """Text in quotes, its middle left out where it is long."""
    half = limit // 2
    return repr(text if len(text) <= limit else f"{text[:half]} ... {text[-half:]}")


def with_plain_names(text: str) -> tuple[str, dict[str, str]]:
    """The text with a plain name for every name, and what each stands for.

    Python would take names that Unicode calls compatible for one another, and frames do not.
    """
    plain: dict[str, str] = {}
    pieces = []
    for found in LEXEME.finditer(text):
        name = found["ticked"] or found["name"]
        if found["space"]:
            pieces.append(" ")
        elif found["other"] in ("{", "}"):
            pieces.append("(" if found["other"] == "{" else ")")
        elif name is None or name == found["name"] and name in WORDS:
            pieces.append(found[0])
        else:
            # Apart, for two names side by side would be a third.
            pieces.append(f" {plain.setdefault(name, f'n{len(plain)}')} ")
    return "".join(pieces).strip(), {alias: name for name, alias in plain.items()}


def levels(tree: ast.expr) -> Iterator[tuple[ast.AST, int]]:
    """Every node and how deep it lies."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


class Names(ast.NodeTransformer):
    """Put the names as they were written back into a tree; Q('a name') is that column."""

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
    """Put backticks around names that could not be read without."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        found = LEXEME.match(node.id)
        plain = found is not None and found["name"] == node.id and node.id not in WORDS
        return node if plain else ast.Name(f"`{node.id}`", ast.Load())


def spelled(tree: ast.AST) -> str:
    """A tree as text, which reads as the same tree."""
    return ast.unparse(Ticked().visit(deepcopy(tree)))
