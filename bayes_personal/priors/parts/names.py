"""Names of dimensions: columns may have any name, but no dimension may have the name of a variable."""

from collections.abc import Hashable, Iterator, Mapping

# Names of dimensions and variables of every posterior, and names with another meaning in ArviZ.
RESERVED = frozenset({"chain", "draw", "sample", "group", "unit", "coefficient", "model", "variable", "component",
                      "method", "shared", "y"})


def variable(name: str) -> str:
    """Return a column's name as a variable's name, without slashes, which a saved file would read as a path."""
    return name.replace("/", "|")


def distinct_names[Label: Hashable](dims: Mapping[str, Mapping[str, tuple[Label, ...]]],
                                    exempt: Mapping[str, tuple[Label, ...]]) -> dict[str, dict[str, tuple[Label, ...]]]:
    """Return the labelled dimensions of every variable, renamed so that none shares its name with a variable or with a
    dimension that has other labels.

    A dimension keeps its name where this name is free. The name ends in "_level" where a variable has it, where it is
    reserved, or where an earlier dimension of this name has other labels.

    Parameters
    ----------
    dims
        Labelled dimensions of every variable, before renaming.
    exempt
        Dimensions that may have a reserved name.
    """
    assigned: dict[str, tuple[Label, ...]] = dict(exempt)

    def called(name: str, labels: tuple[Label, ...]) -> str:
        return next(candidate for candidate in candidates(name) if
                    (candidate in exempt or candidate not in RESERVED and candidate not in dims)
                    and assigned.setdefault(candidate, labels) == labels)

    return {variable: {called(name, labels): labels for name, labels in labelled.items()}
            for variable, labelled in dims.items()}


def candidates(name: str) -> Iterator[str]:
    """Yield possible names of a dimension, the best first."""
    while True:
        yield name
        name = f"{name}_level"
