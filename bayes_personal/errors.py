"""Errors and warnings: every message names the value it got, what is needed, and what to do."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

# Largest number of names that a message lists.
LISTED = 30
# Folder of this package.
PACKAGE = str(Path(__file__).parent) + os.sep
# Characters of the longest value that a message repeats, and of the beginning shown of a longer one.
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
    """A model that has not been fitted, given to a function that needs a posterior."""


class FileError(BayesPersonalError, ValueError):
    """A saved posterior that is truncated, foreign, or of another version."""


class VersionError(FileError):
    """A saved posterior whose file format this version cannot read."""


class InputWarning(UserWarning):
    """An unusual input: the result stays valid, with the caveat that the message names."""


class MisfitWarning(UserWarning):
    """Data that contradict an assumption of the model: the draws are those of the model as stated."""


class ConvergenceWarning(UserWarning):
    """Draws that cannot be trusted yet, according to the sampler's own diagnostics."""


class CacheWarning(UserWarning):
    """Compiled functions that cannot be kept on disk: results are the same, but every process compiles again."""


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning that points to the line outside this package from which the call came."""
    warnings.warn(message, category, skip_file_prefixes=(PACKAGE,))


@contextmanager
def said_once() -> Iterator[None]:
    """Issue each distinct warning of a block once, at its end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message, category in dict.fromkeys((str(each.message), each.category) for each in caught):
        warn(message, category)


def first(labels: Iterable[object], limit: int = 3) -> str:
    """Return the first few labels, spelled for a message."""
    spellings = [repr(getattr(label, "item", lambda label=label: label)()) for label in labels]
    return ", ".join(spellings[:limit]) + (", ..." if len(spellings) > limit else "")


def shown(value: object) -> str:
    """Return a value as messages repeat it, on one line; a long one, such as a frame, by its type and beginning."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"<{type(value).__name__}: {text[:BEGINNING]} ...>"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """List the names that exist, the nearest first; a very long list is cut short."""
    names = [str(k) for k in names]
    matches = get_close_matches(name, names, n=1)
    remainder = f" and {len(names) - LISTED:,} more" * (len(names) > LISTED)
    return (f"Did you mean {matches[0]!r}? " if matches else "") + f"There are: {', '.join(names[:LISTED])}{remainder}."
