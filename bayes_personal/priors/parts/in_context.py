"""The base of priors that are called with the columns that parameters depend on."""

from typing import Any, ClassVar

from bayes_personal.errors import InputTypeError
from bayes_personal.priors.parts.base import Prior, variable
from bayes_personal.system.arguments import context_column


class InContext(Prior):
    """A prior whose call begins with the columns that parameters depend on, any number of them.

    A dataclass cannot take its fields in this way, so each such prior has a constructor, which holds and then checks
    its arguments.
    """

    contexts: tuple[str, ...]
    kind: ClassVar[str]

    def hold(self, **values: Any) -> None:
        """Set the fields of the frozen dataclass, and check the columns' names."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
        kind = type(self).__name__
        for context in self.contexts:
            if isinstance(context, list | tuple):
                raise InputTypeError(f"{kind}({context!r}): a column's name must be text; give each column as an "
                                     f"argument of its own, as in {kind}('age', 'dose').")
            context_column(kind, context=context)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.contexts

    @property
    def name(self) -> str:
        return variable("_".join((self.kind, *self.contexts)))
