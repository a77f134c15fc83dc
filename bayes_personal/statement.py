"""A frozen dataclass spelled as the shortest call that makes it: what is at its default is left out."""

import inspect
from typing import Any


def statement(value: Any) -> str:
    """The call, arguments without a default first and by position."""
    said = []
    for name, parameter in inspect.signature(type(value)).parameters.items():
        current = getattr(value, name)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            said += map(repr, current)
        elif parameter.default is inspect.Parameter.empty:
            said.append(repr(current))
        elif current != parameter.default:
            said.append(f"{name}={current!r}")
    return f"{type(value).__name__}({', '.join(said)})"
