"""Posteriors in files: one NetCDF file, whose groups ArviZ and xarray open as they open any other.

Its root attributes hold the format, the version of this package and the model as JSON; the group `FRAME` holds the
training rows, one Arrow stream an array. Of rows in files it holds where they are. A checksum stands at its end.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.stored import OnDisk
from bayes_personal.errors import (
    BayesPersonalError,
    FileError,
    InputError,
    InputTypeError,
    InputWarning,
    SpecificationError,
    VersionError,
    first,
    warn,
)
from bayes_personal.model.model import Model
from bayes_personal.model.specification import decode, encode
from bayes_personal.posterior import arrow
from bayes_personal.system.sealing import examine, is_sealed, seal
from bayes_personal.system.writing import PRIVATE, must_be_writable, write_whole

FORMAT = 2
# The format without a checksum, and without fingerprints of rows in files.
UNSEALED = 1
PACKAGE = "bayes-personal"
PREFIX = "bayes_personal_"
FRAME = f"{PREFIX}frame"
FILES = "files"
FUNCTIONS = "functions"
# Relative difference of sums over the same rows on another machine.
SAME = 1e-9

# What reading a file raises where its bytes are not what `write` wrote.
DAMAGE = (BayesPersonalError, pa.ArrowException, AttributeError, LookupError, MemoryError, OSError, RuntimeError,
          TypeError, ValueError)


def write(model: Model, bound: BoundModel, tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write a model, its training rows and its draws to one NetCDF file, whole or not at all.

    The file contains the training rows: their index and every column that the model reads (outcome, predictors,
    contexts, known constants). Share it only where you may share those data. No other column is written. Of rows in
    files it contains where the files are, how many rows each has and of which types, and no row.

    Parameters
    ----------
    model, bound, tree
        What a posterior consists of.
    path
        Of the file. An existing file is replaced once the new one is complete on the disk, and kept otherwise; it
        keeps its permissions, and a new one is for its owner alone.

    Raises
    ------
    FileError
        A folder that does not exist, a path that cannot be written or is no regular file, a full disk.
    InputError
        Draws of other groups, contexts or coefficients than the model has, as after a change of `tree`.
    InputTypeError
        A column, label, name or attribute that the file cannot hold.
    SpecificationError
        A prior or family of your own that does not say which columns it reads, or hides an argument; rows in files
        that are not on this machine's file system.
    """
    must_be_writable(path)
    document = _document(model, bound, tree)
    try:
        # To memory first: HDF5 takes the process down with it where the disk is full.
        content = document.to_netcdf(None, engine="h5netcdf")
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"NetCDF cannot hold a label or a value of posterior.tree: {error}. Remove NUL characters "
                             "from labels, and from the tree what is neither number nor text.") from error
    with content:
        write_whole(path, content, seal(content), mode=PRIVATE)


def read(path: str | os.PathLike[str],
         functions: Mapping[str, Callable[..., Any]] | None = None) -> tuple[Model, BoundModel, xr.DataTree]:
    """Read what `write` wrote: the same draws, and the model bound to its training rows again.

    Nothing that a file holds is run. A prior or family of your own must be imported first.

    Parameters
    ----------
    path
        Of the file.
    functions
        Functions of a user's own that the model's formula calls, by name.

    Raises
    ------
    FileError
        A file that does not exist, is damaged or was not written by `write`; a model whose class is not imported; files
        with the training rows that are gone or have changed.
    VersionError
        A file of a format that this version does not know.

    Warns
    -----
    InputWarning
        A file of format 1, which has no checksum: damage to it may go unnoticed.
    """
    tree, is_whole = _read(Path(path).expanduser())
    own = {str(name): tree.attrs.pop(name) for name in list(tree.attrs) if str(name).startswith(PREFIX)}
    if f"{PREFIX}format" not in own:
        raise FileError(f"{str(path)!r} was not written by posterior.save; it is a NetCDF file with the groups "
                        f"{first(tree.groups, 10)}. Open it with arviz.from_netcdf.")
    written = own[f"{PREFIX}format"]
    if written not in (UNSEALED, FORMAT):
        raise VersionError(f"{str(path)!r} has format {written}, written by {PACKAGE} {own.get(f'{PREFIX}version')}; "
                           f"this is {PACKAGE} {version(PACKAGE)}, which reads formats {UNSEALED} and {FORMAT}. "
                           "Install the version that wrote it, or fit again.")
    damaged = f"{str(path)!r} is damaged, or was changed since it was saved. Take another copy of it, or fit again."
    if written == FORMAT and not is_whole:
        raise FileError(f"{damaged} (Its checksum is missing: it is truncated, or another program wrote it.)")
    if not is_whole:
        warn(f"{str(path)!r} has format {UNSEALED}, which carries no checksum: damage to it may go unnoticed. "
             "Save it again with posterior.save.", InputWarning)
    try:
        document, layout = json.loads(own[f"{PREFIX}model"]), json.loads(own[f"{PREFIX}layout"])
        frame = None if FILES in layout else arrow.unpack(tree[FRAME].to_dataset(), layout)
        tree = _restored(tree, layout)
    except DAMAGE as error:
        raise FileError(f"{damaged} ({error})") from error
    try:
        model = decode(document, functions)
    except (RecursionError, SpecificationError) as error:
        by, here = own.get(f"{PREFIX}version"), version(PACKAGE)
        other = "" if by == here else f", written by {PACKAGE} {by} and read by {here}"
        raise FileError(f"The model of {str(path)!r}{other} cannot be made: {error}") from error
    with _warned_already():
        bound = (_bound_again(model, layout[FILES], str(path)) if frame is None else
                 _bound_to(model, frame, layout, str(path), damaged))
    disagreement = _disagreement(bound, tree)
    if disagreement:
        raise FileError(f"{str(path)!r}: {disagreement} The rows or the draws have changed since it was saved. Take "
                        "another copy of it, or fit again.")
    return model, bound, tree


def _bound_to(model: Model, frame: pd.DataFrame, layout: dict[str, Any], path: str, damaged: str) -> BoundModel:
    """The model with the rows that its file holds, and functions that give the values that they gave."""
    try:
        bound = model.bind(frame)
        other = [name for name, value in _fingerprint(bound).items()
                 if model.functions and not np.allclose(value, layout[FUNCTIONS][name], rtol=SAME, atol=0)]
    except DAMAGE as error:
        raise FileError(f"{damaged} ({error})") from error
    if other:
        raise FileError(f"{path!r}: {first(model.functions)} gives other values than when the posterior was saved, by "
                        f"{' and '.join(other)}. Give the same function.")
    return bound


def _disagreement(bound: BoundModel, tree: xr.DataTree) -> str | None:
    """How draws are of other groups, contexts or coefficients than the rows have."""
    draws = tree["posterior"].data_vars if "posterior" in tree else {}
    for name, dims in bound.dims.items():
        if name not in draws:
            continue
        found = {str(dim): list(map(str, draws[name][dim].to_numpy())) for dim in draws[name].dims[2:]}
        wanted = {dim: list(map(str, labels)) or found.get(dim) for dim, labels in dims.items()}
        wrong = [dim for dim in wanted | found if wanted.get(dim) != found.get(dim)]
        if wrong:
            return (f"The draws of {name} do not belong to the training rows: along {wrong[0]!r} they have "
                    f"{first(found.get(wrong[0], ())) or 'nothing'}, and the model "
                    f"{first(wanted.get(wrong[0]) or ()) or 'nothing'}.")
    return None


def _bound_again(model: Model, described: dict[str, Any], path: str) -> BoundModel:
    """The model with its rows in files, which must be what they were."""
    from bayes_personal.data.files import described_dataset

    try:
        bound = model.bind(described_dataset(described))
    except DAMAGE as error:
        raise FileError(f"The training rows of {path!r} cannot be read as they were. {error}") from error
    for name, value in _fingerprint(bound).items():
        if not np.allclose(value, described["learned"][name], rtol=SAME, atol=0):
            raise FileError(f"The training rows of {path!r} have changed: {name} is {value}, and was "
                            f"{described['learned'][name]}. Bring the files back as they were, or fit again.")
    return bound


def _fingerprint(bound: BoundModel) -> dict[str, list[float]]:
    """Numbers that change where the rows do."""
    return {"the predictors' spread": bound.design.spread.tolist(), "the outcome's standard deviation": [bound.unit],
            "where the coefficients are expected": bound.coefficients.location.tolist()}


def _read(path: Path) -> tuple[xr.DataTree, bool]:
    """Every group of a NetCDF file, in memory, the file closed; and whether its checksum says that it is whole."""
    # Unlike Path.is_file, os.path.isfile answers where a name is too long to look up.
    if not os.path.isfile(path):
        what = ("is a folder" if os.path.isdir(path) else "is no regular file" if os.path.exists(path) else
                "does not exist")
        raise FileError(f"{str(path)!r} {what}: name a file that posterior.save wrote.")
    try:
        # Opened once, so that what is read is what was examined.
        with path.open("rb") as file:
            is_whole = is_sealed(file)
            examine(file)
            with xr.open_datatree(file, engine="h5netcdf", phony_dims="sort") as tree:
                return tree.load(), is_whole
    except DAMAGE as error:
        raise FileError(f"{str(path)!r} ({path.stat().st_size:,} bytes) cannot be read as NetCDF 4: it is truncated, "
                        f"damaged or another kind of file. Take another copy of it, or fit again. ({error})") from error


def _document(model: Model, bound: BoundModel, tree: xr.DataTree) -> xr.DataTree:
    """All that goes to the file."""
    rows, frame, layout = bound.rows, None, {}
    disagreement = _disagreement(bound, tree)
    if disagreement:
        raise InputError(f"{disagreement} Save the tree as it was fitted.")
    if not isinstance(rows, OnDisk):
        frame, layout = arrow.pack(read_columns(model, bound))
    layout |= {"texts": [], "attributes": []}
    groups = {node.path: _plain(node.path, node.to_dataset(inherit=False), layout) for node in tree.subtree}
    document = encode(model)
    # Found out now, while there still is a posterior in memory.
    again = decode(document, model.functions)
    if isinstance(rows, OnDisk):
        layout[FILES] = rows.files.described(rows.columns) | {"learned": _fingerprint(bound)}
    elif frame is not None:
        _rebind(again, arrow.unpack(frame, layout))
        if model.functions:
            layout[FUNCTIONS] = _fingerprint(bound)
        groups[FRAME] = frame
    result = xr.DataTree.from_dict(groups)
    result.attrs |= {f"{PREFIX}format": FORMAT, f"{PREFIX}version": version(PACKAGE),
                   f"{PREFIX}model": json.dumps(document), f"{PREFIX}layout": json.dumps(layout)}
    return result


@contextmanager
def _warned_already() -> Iterator[None]:
    """Binding a model to rows of which `fit` has given its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        yield


def _rebind(model: Any, frame: pd.DataFrame) -> None:
    """Make sure that the model binds to the rows that are written."""
    try:
        with _warned_already():
            model.bind(frame)
    except (BayesPersonalError, LookupError) as error:
        raise SpecificationError(f"The model cannot be bound to the columns it names ({first(frame.columns, 10)}): "
                                 f"{error} A prior or family of your own names every column it reads in `columns`."
                                 ) from error


def read_columns(model: Model, bound: BoundModel) -> pd.DataFrame:
    """The columns of the training rows, which are in memory, that the model reads."""
    names = {*model.read.outcome_columns(bound.frame), *bound.design.columns, *model.prior.columns,
             *model.family.columns}
    return bound.frame.loc[:, [name in names for name in bound.frame]]


def _plain(path: str, group: xr.Dataset, layout: dict[str, Any]) -> xr.Dataset:
    """A group as NetCDF holds it: other objects and attributes become JSON, and `layout` remembers which."""
    result = group.drop_encoding()
    for name in map(str, (*group.variables, *group.dims)):
        if name == "." or "\0" in name:
            raise InputTypeError(f"{path}: NetCDF cannot hold the name {name!r}. Rename that column, and fit again.")
    for name, variable in group.variables.items():
        if variable.dtype.hasobject and not all(isinstance(entry, str) for entry in variable.values.flat):
            text = [_json(entry, f"{path}/{name}") for entry in variable.values.flat]
            result[name] = (variable.dims, np.array(text, dtype=object).reshape(variable.shape), variable.attrs)
            layout["texts"].append([path, name])
    for place, attributes in ((None, result.attrs), *((name, result[name].attrs) for name in result.variables)):
        for name, value in list(attributes.items()):
            if isinstance(value, bool) or not isinstance(value, str | int | float | np.number):
                text = _json(attributes.pop(name), f"{path} attribute {name!r}")
                layout["attributes"].append([path, place, name, text])
    return result


def _json(value: Any, where: str) -> str:
    try:
        return json.dumps(value)
    except TypeError as error:
        raise InputTypeError(f"{where}: the file cannot hold the {type(value).__name__} {value!r}. Remove it from "
                             "posterior.tree, or put text or numbers there.") from error


def _restored(tree: xr.DataTree, layout: dict[str, Any]) -> xr.DataTree:
    """The tree as it was before `_plain`."""
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree if node.name != FRAME}
    for path, name in layout["texts"]:
        variable = groups[path].variables[name]
        values = np.empty(variable.size, dtype=object)
        values[:] = [json.loads(entry) for entry in variable.values.flat]
        groups[path][name] = (variable.dims, values.reshape(variable.shape), variable.attrs)
    for path, place, name, value in layout["attributes"]:
        (groups[path] if place is None else groups[path][place]).attrs[name] = json.loads(value)
    return xr.DataTree.from_dict(groups)
