"""Which cases of a test run every time; the others wait for the slow suite."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def cases(values: Iterable[Any], every_run: Collection[Any]) -> list[Any]:
    """Return all values as parameters of a test, those outside `every_run` marked as slow."""
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)),
                         marks=[] if value in every_run else [pytest.mark.slow]) for value in values]
