"""Names of dimensions: columns are called what their owner likes, and no dimension may be called like a variable."""

from collections.abc import Hashable, Iterator, Mapping

# Dimensions and variables that all posteriors have, and names that mean something else to ArviZ.
RESERVED = frozenset({"chain", "draw", "sample", "group", "unit", "coefficient", "model", "variable", "component",
                      "method", "shared", "y"})


def variable(name: str) -> str:
    """A column's name as a name of variables: a slash would be read as a path in a saved file."""
    return name.replace("/", "|")


def apart[Label: Hashable](dims: Mapping[str, Mapping[str, tuple[Label, ...]]],
                           own: Mapping[str, tuple[Label, ...]]) -> dict[str, dict[str, tuple[Label, ...]]]:
    """Labelled dimensions of every variable, by its name, none of which is called like a variable or like another.

    A dimension keeps its name where nothing else has it. It ends in "_level" where a variable has that name, where
    the name is reserved, or where a dimension before it has other labels.

    Parameters
    ----------
    dims
        As they would be called.
    own
        Dimensions that may have a reserved name.
    """
    found: dict[str, tuple[Label, ...]] = dict(own)

    def called(name: str, labels: tuple[Label, ...]) -> str:
        return next(each for each in candidates(name) if (each in own or each not in RESERVED and each not in dims)
                    and found.setdefault(each, labels) == labels)

    return {variable: {called(name, labels): labels for name, labels in labelled.items()}
            for variable, labelled in dims.items()}


def candidates(name: str) -> Iterator[str]:
    """What a dimension may be called, best first."""
    while True:
        yield name
        name = f"{name}_level"
