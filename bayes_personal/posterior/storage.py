"""Posteriors in files: one NetCDF file each, whose groups ArviZ and xarray open like any other.

The root attributes hold the format, the version of this package and the model as JSON; the group `FRAME` holds the
training rows, one Arrow stream an array, or where the rows are if they are in files. A network has a group for each
node, with the groups of that node's draws; one that pools orders of its nodes has a group for each node of each order.
A checksum ends the file.
"""

import json
import os
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
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
from bayes_personal.model.network_model import Network
from bayes_personal.model.specification import decode, encode
from bayes_personal.posterior import arrow
from bayes_personal.system.sealing import examine, is_sealed, seal
from bayes_personal.system.writing import PRIVATE, must_be_writable, write_whole

FORMAT = 2
# The format of networks, which has a group for each node.
NETWORK_FORMAT = 3
# The format without a checksum, and without fingerprints of rows in files.
UNSEALED = 1
PACKAGE = "bayes-personal"
PREFIX = "bayes_personal_"
FRAME = f"{PREFIX}frame"
FILES = "files"
FUNCTIONS = "functions"
# Tolerated relative difference of sums over the same rows on another machine.
SAME = 1e-9

# The model and the draws of every outcome, by the group that holds them: "" of a model, and "node_0", "node_1" etc. of
# a network, in the order of its formula; "order_0_node_0" etc. where it pools several orders.
type Parts = Mapping[str, tuple[BoundModel, xr.DataTree]]

# Errors that reading a file raises where its bytes are not those that `write` wrote.
DAMAGE = (BayesPersonalError, pa.ArrowException, AttributeError, LookupError, MemoryError, OSError, RuntimeError,
          TypeError, ValueError)


def write(model: Model | Network, parts: Parts, path: str | os.PathLike[str]) -> None:
    """Write a model, its training rows and its draws to one NetCDF file, whole or not at all.

    The file contains the training rows: their index and every column that the model reads (outcome, predictors,
    contexts, known constants). Share it only where you may share those data. No other column is written. Of rows in
    files it contains where the files are, how many rows each has and of which types, and no row.

    Parameters
    ----------
    model, parts
        What a posterior consists of.
    path
        Path of the file. An existing file is replaced once the new one is complete on the disk, and kept
        otherwise; it keeps its permissions, and a new file is for its owner alone.

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
    document = _document(model, parts)
    try:
        # Written to memory first, because HDF5 kills the process where the disk is full.
        content = document.to_netcdf(None, engine="h5netcdf")
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"NetCDF cannot hold a label or a value of posterior.tree: {error}. Remove NUL characters "
                             "from labels, and from the tree what is neither number nor text.") from error
    with content:
        write_whole(path, content, seal(content), mode=PRIVATE)


def read(path: str | os.PathLike[str],
         functions: Mapping[str, Callable[..., Any]] | None = None) -> tuple[Model | Network, Parts]:
    """Read what `write` wrote: the same draws, and the model bound to its training rows again.

    Nothing that a file holds is run. A prior or family of your own must be imported first.

    Parameters
    ----------
    path
        Path of the file.
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
    header = {str(name): tree.attrs.pop(name) for name in list(tree.attrs) if str(name).startswith(PREFIX)}
    if f"{PREFIX}format" not in header:
        raise FileError(f"{str(path)!r} was not written by posterior.save; it is a NetCDF file with the groups "
                        f"{first(tree.groups, 10)}. Open it with arviz.from_netcdf.")
    written = header[f"{PREFIX}format"]
    if written not in (UNSEALED, FORMAT, NETWORK_FORMAT):
        raise VersionError(f"{str(path)!r} has format {written}, written by {PACKAGE} "
                           f"{header.get(f'{PREFIX}version')}; this is {PACKAGE} {version(PACKAGE)}, which reads "
                           f"formats {UNSEALED} to {NETWORK_FORMAT}. Install the version that wrote it, or fit again.")
    damaged = f"{str(path)!r} is damaged, or was changed since it was saved. Take another copy of it, or fit again."
    if written != UNSEALED and not is_whole:
        raise FileError(f"{damaged} (Its checksum is missing: it is truncated, or another program wrote it.)")
    if not is_whole:
        warn(f"{str(path)!r} has format {UNSEALED}, which carries no checksum: damage to it may go unnoticed. "
             "Save it again with posterior.save.", InputWarning)
    try:
        document, layout = json.loads(header[f"{PREFIX}model"]), json.loads(header[f"{PREFIX}layout"])
        frame = None if FILES in layout else arrow.unpack(tree[FRAME].to_dataset(), layout)
        tree = _restored(tree, layout)
    except DAMAGE as error:
        raise FileError(f"{damaged} ({error})") from error
    try:
        model = decode(document, functions)
    except (RecursionError, SpecificationError) as error:
        writer, reader = header.get(f"{PREFIX}version"), version(PACKAGE)
        versions = "" if writer == reader else f", written by {PACKAGE} {writer} and read by {reader}"
        raise FileError(f"The model of {str(path)!r}{versions} cannot be made: {error}") from error
    with _without_warnings():
        bounds = ({"": _bound_to_files(model, layout[FILES], str(path))} if frame is None else
                  _bound_to_frame(model, frame, layout, str(path), damaged))
    parts = {}
    for group, bound in bounds.items():
        if group and group not in tree.children:
            raise FileError(f"{damaged} (It has no draws of {group}.)")
        own = xr.DataTree.from_dict(tree.children[group].to_dict(relative=True)) if group else tree
        disagreement = _disagreement(bound, own)
        if disagreement:
            raise FileError(f"{str(path)!r}: {disagreement} The rows or the draws have changed since it was saved. "
                            "Take another copy of it, or fit again.")
        parts[group] = bound, own
    return model, parts


def _bound(model: Model | Network, frame: pd.DataFrame) -> dict[str, BoundModel]:
    """Bind a model to rows, by the group of each outcome."""
    if isinstance(model, Model):
        return {"": model.bind(frame)}
    bounds = [bounds[node] for one in orders(model) for bounds in [one.bind(frame)] for node in one.nodes]
    return dict(zip(models(model), bounds, strict=True))


def _bound_to_frame(model: Model | Network, frame: pd.DataFrame, layout: dict[str, Any], path: str,
                    damaged: str) -> dict[str, BoundModel]:
    """Bind the model to the rows that its file holds, and refuse functions that give other values than before."""
    try:
        bounds = _bound(model, frame)
        changed = list(dict.fromkeys(name for group, bound in bounds.items()
                                     for name in _changes(bound, layout[FUNCTIONS + group])
                                     )) if model.functions else []
    except DAMAGE as error:
        raise FileError(f"{damaged} ({error})") from error
    if changed:
        raise FileError(f"{path!r}: {first(model.functions)} gives other values than when the posterior was saved, by "
                        f"{' and '.join(changed)}. Give the same function.")
    return bounds


def _disagreement(bound: BoundModel, tree: xr.DataTree) -> str | None:
    """Say how the groups, contexts or coefficients of the draws differ from those of the rows; None if they agree."""
    draws = tree["posterior"].data_vars if "posterior" in tree else {}
    for name, dims in bound.dims.items():
        if name not in draws:
            continue
        draw_labels = {str(dim): list(map(str, draws[name][dim].to_numpy())) for dim in draws[name].dims[2:]}
        model_labels = {dim: list(map(str, labels)) or draw_labels.get(dim) for dim, labels in dims.items()}
        wrong = [dim for dim in model_labels | draw_labels if model_labels.get(dim) != draw_labels.get(dim)]
        if wrong:
            return (f"The draws of {name} do not belong to the training rows: along {wrong[0]!r} they have "
                    f"{first(draw_labels.get(wrong[0], ())) or 'nothing'}, and the model "
                    f"{first(model_labels.get(wrong[0]) or ()) or 'nothing'}.")
    return None


def _bound_to_files(model: Model, described: dict[str, Any], path: str) -> BoundModel:
    """Bind the model to its rows in files, and refuse files that have changed."""
    from bayes_personal.data.files import described_dataset

    try:
        bound = model.bind(described_dataset(described))
    except DAMAGE as error:
        raise FileError(f"The training rows of {path!r} cannot be read as they were. {error}") from error
    changed = _changes(bound, described["learned"])
    if changed:
        name = changed[0]
        raise FileError(f"The training rows of {path!r} have changed: {name} is {_fingerprint(bound)[name]}, and was "
                        f"{described['learned'][name]}. Bring the files back as they were, or fit again.")
    return bound


def _fingerprint(bound: BoundModel) -> dict[str, list[float]]:
    """Return numbers that change when the rows do."""
    return {"the predictors' spread": bound.design.spread.tolist(), "the outcome's standard deviation": [bound.unit],
            "where the coefficients are expected": bound.coefficients.location.tolist()}


def _changes(bound: BoundModel, saved: dict[str, list[float]]) -> list[str]:
    """Return the names of the numbers of a fingerprint that differ from those saved."""
    return [name for name, value in _fingerprint(bound).items()
            if not np.allclose(value, saved[name], rtol=SAME, atol=0)]


def _read(path: Path) -> tuple[xr.DataTree, bool]:
    """Read every group of a NetCDF file into memory, and whether its checksum says that the file is whole."""
    # Unlike Path.is_file, os.path.isfile answers where a name is too long to look up.
    if not os.path.isfile(path):
        problem = ("is a folder" if os.path.isdir(path) else "is no regular file" if os.path.exists(path) else
                "does not exist")
        raise FileError(f"{str(path)!r} {problem}: name a file that posterior.save wrote.")
    try:
        # Opened once, so that the bytes that are read are the bytes that were examined.
        with path.open("rb") as file:
            is_whole = is_sealed(file)
            examine(file)
            with xr.open_datatree(file, engine="h5netcdf", phony_dims="sort") as tree:
                return tree.load(), is_whole
    except DAMAGE as error:
        raise FileError(f"{str(path)!r} ({path.stat().st_size:,} bytes) cannot be read as NetCDF 4: it is truncated, "
                        f"damaged or another kind of file. Take another copy of it, or fit again. ({error})") from error


def _document(model: Model | Network, parts: Parts) -> xr.DataTree:
    """Return the content of the file."""
    bound = next(iter(parts.values()))[0]
    rows, frame, layout = bound.rows, None, {}
    for part in parts.values():
        disagreement = _disagreement(*part)
        if disagreement:
            raise InputError(f"{disagreement} Save the tree as it was fitted.")
    if not isinstance(rows, OnDisk):
        read = {name for own, (each, _) in zip(models(model).values(), parts.values(), strict=True)
                for name in columns_read(own, each)}
        frame, layout = arrow.pack(bound.frame.loc[:, [name in read for name in bound.frame]])
    layout |= {"texts": [], "attributes": []}
    whole = parts[""][1] if "" in parts else xr.DataTree.from_dict(
        {f"{group}{node.path}": node.to_dataset(inherit=False) for group, (_, tree) in parts.items()
         for node in tree.subtree})
    groups = {node.path: _plain(node.path, node.to_dataset(inherit=False), layout) for node in whole.subtree}
    document = encode(model)
    # Decoded now, while the posterior is still in memory, in case the model cannot be read back.
    decoded = decode(document, model.functions)
    if isinstance(rows, OnDisk):
        layout[FILES] = rows.files.described(rows.columns) | {"learned": _fingerprint(bound)}
    elif frame is not None:
        _rebind(decoded, arrow.unpack(frame, layout))
        if model.functions:
            layout |= {FUNCTIONS + group: _fingerprint(each) for group, (each, _) in parts.items()}
        groups[FRAME] = frame
    result = xr.DataTree.from_dict(groups)
    written = FORMAT if isinstance(model, Model) else NETWORK_FORMAT
    result.attrs |= {f"{PREFIX}format": written, f"{PREFIX}version": version(PACKAGE),
                   f"{PREFIX}model": json.dumps(document), f"{PREFIX}layout": json.dumps(layout)}
    return result


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Bind a model without the warnings that `fit` has given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        yield


def _rebind(model: Model | Network, frame: pd.DataFrame) -> None:
    """Refuse a model that does not bind to the rows that are written."""
    try:
        with _without_warnings():
            _bound(model, frame)
    except (BayesPersonalError, LookupError) as error:
        raise SpecificationError(f"The model cannot be bound to the columns it names ({first(frame.columns, 10)}): "
                                 f"{error} A prior or family of your own names every column it reads in `columns`."
                                 ) from error


def models(model: Model | Network) -> dict[str, Model]:
    """Return the model of every outcome, in the order of the formula, by the group of its draws."""
    if isinstance(model, Model):
        return {"": model}
    return {f"order_{place}_node_{j}" if model.pooled else f"node_{j}": one.node(node)
            for place, one in enumerate(orders(model)) for j, node in enumerate(one.nodes)}


def orders(network: Network) -> list[Network]:
    """Return the network in each of its orders."""
    return [network.ordered(place) for place in range(network.orders)]


def columns_read(model: Model, bound: BoundModel) -> set[Hashable]:
    """Return the names of the columns that the model reads, of training rows in memory."""
    return {*model.read.outcome_columns(bound.frame), *bound.design.columns, *model.prior.columns,
            *model.family.columns}


def read_columns(model: Model, bound: BoundModel) -> pd.DataFrame:
    """Return the columns that the model reads, of training rows in memory."""
    names = columns_read(model, bound)
    return bound.frame.loc[:, [name in names for name in bound.frame]]


def _plain(path: str, group: xr.Dataset, layout: dict[str, Any]) -> xr.Dataset:
    """Turn a group into one that NetCDF can hold: other values become JSON, and `layout` records which."""
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


def _json(value: Any, label: str) -> str:
    try:
        return json.dumps(value)
    except TypeError as error:
        raise InputTypeError(f"{label}: the file cannot hold the {type(value).__name__} {value!r}. Remove it from "
                             "posterior.tree, or put text or numbers there.") from error


def _restored(tree: xr.DataTree, layout: dict[str, Any]) -> xr.DataTree:
    """Undo `_plain` for every group of a tree."""
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree if node.name != FRAME}
    for path, name in layout["texts"]:
        variable = groups[path].variables[name]
        values = np.empty(variable.size, dtype=object)
        values[:] = [json.loads(entry) for entry in variable.values.flat]
        groups[path][name] = (variable.dims, values.reshape(variable.shape), variable.attrs)
    for path, place, name, value in layout["attributes"]:
        (groups[path] if place is None else groups[path][place]).attrs[name] = json.loads(value)
    return xr.DataTree.from_dict(groups)
