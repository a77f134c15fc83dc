"""What priors have in common that are called with the columns that parameters depend on."""

from typing import Any, ClassVar

from bayes_personal.errors import InputTypeError
from bayes_personal.priors.parts.base import Prior, variable
from bayes_personal.system.arguments import context_column


class InContext(Prior):
    """A prior whose call begins with the columns that parameters depend on, any number of them.

    Its constructor is its own, for the fields of a dataclass cannot be given so: it holds them and then checks them.
    """

    contexts: tuple[str, ...]
    kind: ClassVar[str]

    def hold(self, **values: Any) -> None:
        """Set fields, which are frozen from then on."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
        kind = type(self).__name__
        for each in self.contexts:
            if isinstance(each, list | tuple):
                raise InputTypeError(f"{kind}({each!r}): a column's name must be text; give each column as an argument "
                                     f"of its own, as in {kind}('age', 'dose').")
            context_column(kind, context=each)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.contexts

    @property
    def name(self) -> str:
        return variable("_".join((self.kind, *self.contexts)))
