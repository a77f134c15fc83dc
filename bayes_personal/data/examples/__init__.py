"""Nine small datasets from the literature, to learn with and to test against.

Each is a CSV file of this folder, and a large one is compressed; the facts about all of them (units, source, licence,
reference) are in `index.toml`.
"""

import tomllib
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import pandas as pd

from bayes_personal.errors import InputError, did_you_mean, shown

__all__ = ["datasets", "load_dataset"]

_FOLDER = files(__name__)
_FIELDS = ["name", "rows", "columns", "outcome", "units", "purpose", "source", "licence", "reference"]


@cache
def _index() -> dict[str, dict[str, Any]]:
    return tomllib.loads(_FOLDER.joinpath("index.toml").read_text(encoding="utf-8"))


def datasets() -> pd.DataFrame:
    """List the datasets that come with the package, one row each.

    Returns
    -------
    pandas.DataFrame
        Columns: ``name``, ``rows`` (how many), ``columns`` (each with its unit in brackets),
        ``outcome`` (the column a model usually explains), ``units`` (what one row is), ``purpose``,
        ``source``, ``licence``, ``reference``.

    Examples
    --------
    >>> datasets()["name"].tolist()
    ['sleepstudy', 'radon', 'eight_schools', 'nile', 'coal', 'georgia', 'galaxies', 'sachs', 'iris']
    """
    table = pd.DataFrame([{"name": name, **facts} for name, facts in _index().items()], columns=_FIELDS)
    described = ["; ".join(f"{c} [{unit}]" for c, unit in facts["columns"].items()) for facts in _index().values()]
    return table.assign(columns=described)


def load_dataset(name: str) -> pd.DataFrame:
    """Read one of the datasets that come with the package.

    Parameters
    ----------
    name : str
        One of the names in ``datasets()``.

    Returns
    -------
    pandas.DataFrame
        A fresh copy, without missing values; labels (subjects, counties, ...) are text.

    Raises
    ------
    InputError
        No dataset has that name.

    Examples
    --------
    >>> load_dataset("eight_schools").head(2)
      school  effect  se
    0      A      28  15
    1      B       8  10
    """
    if not isinstance(name, str) or name not in _index():
        raise InputError(f"There is no dataset {shown(name)}. {did_you_mean(str(name).lower(), _index())}")
    labels = {c: str for c, unit in _index()[name]["columns"].items() if unit.startswith("label")}
    [file] = (file for file in _FOLDER.iterdir() if file.name in (f"{name}.csv", f"{name}.csv.gz"))
    with as_file(file) as path:
        return pd.read_csv(path, dtype=labels)
