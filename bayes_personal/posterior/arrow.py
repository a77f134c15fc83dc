"""A frame as Arrow streams in xarray's arrays of bytes, every dtype, label and index given back as it was.

A file that is read may have been made by anybody: no array is unpacked whose size in memory its bytes do not show.
"""

import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xarray as xr

from bayes_personal.errors import InputTypeError
from bayes_personal.model.specification import decode, encode

# The type of a message that holds the labels of a column of categories.
DICTIONARY = 2


def pack(frame: pd.DataFrame) -> tuple[xr.Dataset, dict[str, Any]]:
    """Turn a frame into one Arrow stream an array, the index after the columns."""
    names = list(frame.index.names)
    levels = frame.index.set_names([None] * len(names)).to_frame(index=False)
    parts = [part for name, values in frame.items() for part in _checked(values, f"Column {name!r}")]
    parts += [part for name, (_, values) in zip(names, levels.items(), strict=True)
              for part in _checked(values, f"Index level {name!r}")]
    streams = {str(place): ((f"byte_{place}",), _stream(array)) for place, (_, array) in enumerate(parts)}
    return xr.Dataset(streams), {"columns": list(frame.columns), "index": [encode(name) for name in names],
                                 "dtypes": [dtype for dtype, _ in parts]}


def unpack(group: xr.Dataset, layout: dict[str, Any]) -> pd.DataFrame:
    """Return the frame that `pack` was given.

    Raises
    ------
    InputTypeError
        Arrays that `pack` does not write, which may be larger in memory than in the file.
    """
    arrays = (_read(group[str(place)].values.tobytes()) for place in range(len(layout["dtypes"])))
    parts = iter(list(zip(layout["dtypes"], arrays, strict=True)))
    columns = {name: _unpack(parts) for name in layout["columns"]}
    levels, names = [_unpack(parts) for _ in layout["index"]], [decode(name) for name in layout["index"]]
    index = (pd.Index(levels[0], dtype=levels[0].dtype, name=names[0]) if len(levels) == 1
             else pd.MultiIndex.from_arrays(levels, names=names))
    return pd.DataFrame({name: column.set_axis(index) for name, column in columns.items()}, index=index)


def _stream(array: pa.Array) -> np.ndarray:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([array], names=["values"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def _read(stream: bytes) -> pa.Array:
    """Read the array that `_stream` wrote."""
    messages = pa.ipc.MessageReader.open_stream(stream)
    for message in messages:
        if message.type in ("record batch", "dictionary") and _is_compressed(message.metadata.to_pybytes()):
            raise InputTypeError("The training rows are compressed, which posterior.save never does.")
    with pa.ipc.open_stream(stream) as reader:
        _must_be_plain(reader.schema.field(0).type)
        array = reader.read_all().column(0).combine_chunks()
    # No value takes less than a bit.
    if len(array) > 8 * len(stream):
        raise InputTypeError(f"{len(stream):,} bytes of training rows claim to be {len(array):,} values.")
    return array


def _is_compressed(metadata: bytes) -> bool:
    """Return whether the buffers of an Arrow message are compressed, as its format says (Message.fbs)."""
    def field(table: int, number: int) -> int:
        """Return the offset of a field of a table; 0 where the table has none."""
        fields = table - struct.unpack_from("<i", metadata, table)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", metadata, fields)[0]:
            return 0
        offset = struct.unpack_from("<H", metadata, fields + 4 + 2 * number)[0]
        return table + offset if offset else 0

    def inner(table: int, number: int) -> int:
        place = field(table, number)
        return place + struct.unpack_from("<I", metadata, place)[0]

    message = struct.unpack_from("<I", metadata)[0]
    batch = inner(message, 2)
    if metadata[field(message, 1)] == DICTIONARY:
        batch = inner(batch, 1)
    return field(batch, 3) > 0


def _must_be_plain(kind: pa.DataType) -> None:
    """Refuse types of which a few bytes can be many values."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    inner = ([kind.field(place).type for place in range(kind.num_fields)]
             if pa.types.is_struct(kind) or pa.types.is_union(kind) else [kind])
    for inner_type in inner:
        if pa.types.is_dictionary(inner_type):
            inner_type = inner_type.value_type
        if inner_type.num_fields:
            raise InputTypeError(f"The training rows are of Arrow's type {kind}, which posterior.save never writes.")


def _checked(values: pd.Series, label: str) -> list[tuple[str, pa.Array]]:
    """Return the parts of an array, after a check that they restore it exactly."""
    refused = (f"{label} holds {values.dtype} values such as {values.iloc[0]!r}, which the file cannot hold. Fit to "
               "text, numbers, booleans, dates or categories instead.")
    try:
        parts = list(_pack(values))
        restored = _unpack(iter(parts))
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise InputTypeError(f"{refused} ({error})") from error
    if restored.dtype != values.dtype or not restored.equals(values.reset_index(drop=True)):
        raise InputTypeError(refused)
    if restored.dtype == object and list(map(repr, restored)) != list(map(repr, values)):
        raise InputTypeError(refused)
    return parts


def _pack(values: pd.Series) -> Iterator[tuple[str, pa.Array]]:
    """Yield an array as Arrow arrays, each with the name of its dtype: codes and then categories, or a single array."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        yield "ordered" if dtype.ordered else "unordered", pa.array(values.cat.codes.to_numpy())
        yield from _pack(pd.Series(dtype.categories, dtype=dtype.categories.dtype))
    elif pd.api.types.is_object_dtype(dtype):
        yield "object", _union(values.to_list())
    elif isinstance(dtype, pd.ArrowDtype):
        yield "arrow", _combined(pa.array(values))
    elif isinstance(dtype, pd.SparseDtype):
        yield str(dtype), _combined(pa.array(values.sparse.to_dense()))
    elif isinstance(dtype, pd.StringDtype) and dtype.na_value is pd.NA:
        yield f"string[{dtype.storage}]", _combined(pa.array(values))
    else:
        yield str(dtype), _combined(pa.array(values))


def _unpack(parts: Iterator[tuple[str, pa.Array]]) -> pd.Series:
    """Restore the next array."""
    dtype, array = next(parts)
    if dtype in ("ordered", "unordered"):
        categories = _unpack(parts)
        return pd.Series(pd.Categorical.from_codes(array.to_numpy(), pd.Index(categories, dtype=categories.dtype),
                                                   ordered=dtype == "ordered"))
    if dtype == "object":
        return pd.Series(array.to_pylist(), dtype=object)
    if dtype == "arrow":
        return pd.Series(array, dtype=pd.ArrowDtype(array.type))
    if "dateutil" in dtype:
        raise InputTypeError(f"A column's dtype {dtype!r} names a file.")
    kind = pd.api.types.pandas_dtype(dtype)
    if isinstance(kind, np.dtype) and kind.itemsize > np.dtype(complex).itemsize or pa.types.is_dictionary(array.type):
        raise InputTypeError(f"A column of Arrow's {array.type} is said to be {dtype!r}.")
    read = getattr(kind, "__from_arrow__", None)
    return pd.Series(read(array)) if read else pd.Series(array.to_pandas()).astype(kind)


def _combined(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _union(values: list[Any]) -> pa.Array:
    """Hold Python objects of several types: other Arrow arrays refuse them, or make them all of one type.

    Decimals of different precisions are different types here: Arrow would write 2 as 2.0 beside 1.1.
    """
    of_each = [(type(value), value.as_tuple().exponent if isinstance(value, Decimal) else None) for value in values]
    kinds = list(dict.fromkeys(of_each))
    children = [[value for value, of_value in zip(values, of_each, strict=True) if of_value == kind] for kind in kinds]
    codes = np.array([kinds.index(kind) for kind in of_each])
    offsets = np.zeros(len(values), dtype=np.int32)
    for code in range(len(kinds)):
        offsets[codes == code] = np.arange((codes == code).sum())
    return pa.UnionArray.from_dense(pa.array(codes, pa.int8()), pa.array(offsets), list(map(pa.array, children)))
