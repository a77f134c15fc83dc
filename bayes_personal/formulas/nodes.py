"""The formula of a network: its nodes in order, and what the mean of every node depends on."""

from typing import NamedTuple

from bayes_personal.errors import InputTypeError, SpecificationError, shown
from bayes_personal.formulas.syntax import LEXEME, outside_brackets, short, sides, text_of

EXAMPLE = "Write 'raf + mek + erk ~ 1'"


class Nodes(NamedTuple):
    """The sides of ``"raf + mek + erk ~ age"``.

    Attributes
    ----------
    names : columns of the nodes, in the order in which they are written
    predictors : the right-hand side, as it is written
    """

    names: tuple[str, ...]
    predictors: str

    @classmethod
    def read(cls, text: str) -> "Nodes":
        """Read a formula; `Formula` reads its right-hand side.

        Raises
        ------
        InputTypeError
            A formula that is not text.
        SpecificationError
            Nodes that are not names of columns joined by ``+``.
        """
        if not isinstance(text, str):
            raise InputTypeError(f"A network's formula is text such as 'raf + mek + erk ~ 1'; got {shown(text)}.")
        try:
            left, right = sides(text)
            ends = [*outside_brackets(left, "+"), len(left)]
            names = tuple(column(text_of(left[start:end]).strip())
                          for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False))
        except SpecificationError as error:
            raise SpecificationError(f"The formula {short(text)} cannot be read: {error}") from error
        return cls(names, text_of(right).strip())


def several(text: str) -> bool:
    """Return whether the left-hand side of a formula is a list of columns, joined by ``+``."""
    try:
        return len(Nodes.read(text).names) > 1
    except SpecificationError:
        return False


def column(text: str) -> str:
    """Return the column that a node names: a name with or without dots, or any text in backticks."""
    lexemes = list(LEXEME.finditer(text))
    if len(lexemes) == 1 and lexemes[0]["ticked"]:
        return lexemes[0]["ticked"]
    if not lexemes or not lexemes[0]["name"] or not all(
            lexeme["name"] or lexeme["number"] or lexeme["other"] == "." for lexeme in lexemes):
        raise SpecificationError(f"a node is a column by its name, and {short(text)} is none. {EXAMPLE}, with names "
                                 "in `backticks` where they have spaces or signs, and compute columns first, as in "
                                 "frame.assign(log_raf=np.log(frame['raf'])).")
    return text


def ticked(name: str) -> str:
    """Return the name of a column as a formula writes it."""
    return f"`{name}`"


def spelled(name: str) -> str:
    """Return the name of a column as people write it in a formula: in backticks only where it needs them."""
    return name if name.isascii() and name.isidentifier() else ticked(name)
