"""Checks of a saved posterior's file before any of its content is read.

A checksum at the end detects every flipped bit. It is no secret, and anyone who makes a file can make its checksum too,
so the file's structure is examined as well: no part of it may lead to other files, or claim to be larger than the file.
"""

from collections.abc import Iterator
from hashlib import sha256
from math import prod
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue] (compiled, without a stub)

from bayes_personal.errors import FileError

# HDF5 does not read bytes that follow its own, so every reader of NetCDF opens the file.
MARK = b"\nbayes_personal sha256 "
LENGTH = len(MARK) + 2 * sha256().digest_size
CHUNK = 2**20

# The label by which HDF5 marks a dimension without values.
BARE = b"This is a netCDF dimension but not a netCDF variable."

# Attributes by which variables and dimensions name each other.
REFERENCES = ("DIMENSION_LIST", "REFERENCE_LIST")
# How a dataset refers to a text: its length and its place.
TEXT = np.dtype([("length", "<u4"), ("place", "V12")])
PLAIN = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS)


def seal(content: bytes | memoryview) -> bytes:
    """Return the checksum that follows the bytes of a file."""
    return MARK + sha256(content).hexdigest().encode()


def is_sealed(file: BinaryIO) -> bool:
    """Return whether a file ends in a checksum; a wrong checksum is refused.

    Raises
    ------
    FileError
        Bytes that do not match the checksum.
    """
    size = file.seek(0, 2) - LENGTH
    file.seek(max(size, 0))
    seal = file.read()
    if not seal.startswith(MARK):
        return False
    file.seek(0)
    digest = sha256()
    while size > 0:
        chunk = file.read(min(CHUNK, size))
        digest.update(chunk)
        size -= len(chunk) or size
    if seal != MARK + digest.hexdigest().encode():
        raise FileError("its bytes do not agree with the checksum at its end")
    return True


def examine(file: BinaryIO) -> None:
    """Refuse an HDF5 file that leads outside of itself, or whose parts claim more bytes than it has.

    Sizes are read from the file's own tables, and no memory is allocated according to them.

    Raises
    ------
    FileError
        Links other than those that form the tree, an object in two places, storage in other files, filters, and parts
        that would take more memory than the whole file.
    """
    size, claimed = file.seek(0, 2), 0
    with h5py.File(file, "r") as root:
        for name, part in _claims(root, file):
            claimed += part
            if claimed > size:
                raise FileError(f"up to {name} its parts claim {claimed:,} bytes, and the file has {size:,}")


def _claims(root: h5py.File, file: BinaryIO) -> Iterator[tuple[str, int]]:
    """Yield the name of every part of the file, and the number of bytes it claims."""
    for name, item in _items(root):
        for key in item.attrs:
            attribute, where = item.attrs.get_id(key), f"attribute {key!r} of {name}"
            count, is_text = prod(attribute.shape), _is_text(attribute.dtype, where, key in REFERENCES)
            yield where, count * attribute.get_type().get_size()
            if is_text and count != 1:
                raise FileError(f"{where} has {count} texts")
            if is_text:
                yield where, len(item.attrs[key])
        if isinstance(item, h5py.Dataset):
            yield from ((name, size) for size in _values(item, name, file))
        elif not isinstance(item, h5py.Group):
            raise FileError(f"{name} is neither a group nor a variable")


def _is_text(dtype: np.dtype, where: str, references: bool = False) -> bool:
    """Return whether values are text of any length, stored elsewhere in the file; refuse other such values."""
    is_text = dtype.hasobject and h5py.check_string_dtype(dtype) is not None
    if dtype.hasobject and not (is_text or references):
        raise FileError(f"{where} holds neither numbers nor text")
    return is_text


def _items(root: h5py.File) -> Iterator[tuple[str, Any]]:
    """Yield every group and variable, starting with the root group; refuse any that has two places."""
    # Groups and variables are distinguished below; h5py's types allow for more.
    waiting: list[Any] = [root["/"]]
    seen = {h5o.get_info(root.id).addr}
    while waiting:
        group = waiting.pop()
        yield group.name, group
        for name in group:
            full = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise FileError(f"{full} is a link to another place or another file")
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in seen:
                raise FileError(f"{full} stands in the file twice")
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            else:
                yield full, item


def _values(item: h5py.Dataset, name: str, file: BinaryIO) -> Iterator[int]:
    """Yield the number of bytes a variable claims, and that of the texts it refers to."""
    plan, stored = item.id.get_create_plist(), item.id.get_storage_size()
    if plan.get_layout() not in PLAIN or plan.get_external_count() or plan.get_nfilters():
        raise FileError(f"{name} is stored in pieces, packed, or in another file")
    label = item.attrs.get("NAME")
    if isinstance(label, bytes) and BARE in label:
        # No reader looks for values here.
        return
    is_text, count = _is_text(item.dtype, name), prod(item.shape or ())
    claimed = count * (TEXT.itemsize if is_text else item.id.get_type().get_size())
    yield claimed
    if claimed > stored:
        raise FileError(f"{name} claims {claimed:,} bytes, and {stored:,} are there")
    if is_text and count:
        if plan.get_layout() != h5py.h5d.CONTIGUOUS or claimed != stored:
            raise FileError(f"{name} holds text in an unknown form")
        file.seek(item.id.get_offset())
        yield int(np.frombuffer(file.read(claimed), TEXT)["length"].sum(dtype=np.uint64))
