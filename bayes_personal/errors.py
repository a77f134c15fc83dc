"""What goes wrong, in words: every error names what was got, what is needed, and what to do."""

import os
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

# Names that a message lists.
LISTED = 30
# Where the files of this package lie.
PACKAGE = str(Path(__file__).parent) + os.sep
# Characters of a value that a message repeats, and of what it says of longer ones.
SHOWN, BEGINNING = 200, 60


class BayesPersonalError(Exception):
    """Base class of every error this package raises on purpose."""


class InputError(BayesPersonalError, ValueError):
    """A value that the model cannot take: its column, how many rows, the first of them, and the remedy."""


class InputTypeError(BayesPersonalError, TypeError):
    """A column or argument of a type that the model cannot take."""


class SpecificationError(BayesPersonalError, ValueError):
    """A model, prior, family or hyperprior that contradicts itself."""


class NotFittedError(BayesPersonalError, ValueError):
    """Something that needs a posterior was given a model that has not been fitted."""


class FileError(BayesPersonalError, ValueError):
    """A saved posterior that is truncated, foreign, or of another version."""


class VersionError(FileError):
    """A saved posterior whose file format this version cannot read."""


class InputWarning(UserWarning):
    """The input is unusual; the result stays valid, with the caveat that the message names."""


class MisfitWarning(UserWarning):
    """The data contradict an assumption of the model; the draws are those of the model that was stated."""


class ConvergenceWarning(UserWarning):
    """The sampler's own diagnostics say that the draws must not be trusted yet."""


class CacheWarning(UserWarning):
    """Compiled functions cannot be kept on disk: results are the same, and every process compiles them anew."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of this package that called it."""
    warnings.warn(message, category, skip_file_prefixes=(PACKAGE,))


def first(labels: Iterable[object], limit: int = 3) -> str:
    """The first few labels, spelled for a message."""
    shown = [repr(getattr(label, "item", lambda label=label: label)()) for label in labels]
    return ", ".join(shown[:limit]) + (", ..." if len(shown) > limit else "")


def shown(value: object) -> str:
    """A value as a message repeats it: on one line, and of what is long, such as a frame, its type and beginning."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"<{type(value).__name__}: {text[:BEGINNING]} ...>"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The names that exist, the nearest of them first; of very many only some."""
    known = [str(k) for k in known]
    near = get_close_matches(name, known, n=1)
    more = f" and {len(known) - LISTED:,} more" * (len(known) > LISTED)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"There are: {', '.join(known[:LISTED])}{more}."
