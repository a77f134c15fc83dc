"""A table in Parquet or Arrow files, read one column or one batch of rows at a time."""

import base64
import glob
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from hashlib import sha256
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bayes_personal.data.columns import plain
from bayes_personal.data.moments import SLICE
from bayes_personal.errors import FileError, InputError, InputTypeError, SpecificationError, first

# Arrow creates these functions when it is imported, so type checkers do not know them.
pc: Any = pyarrow.compute
# First bytes of the files.
FORMATS = {b"PAR1": "parquet", b"ARRO": "ipc"}
# The number of each row group of a file, and its count of rows.
Groups = tuple[tuple[int, int], ...]
# Least number of rows in a task of a cluster; a task has complete row groups.
PART = 2**20


def opened(data: Any) -> "Files":
    """Return the table at a path (a file, a folder of files, or a pattern of files) or of a dataset of files."""
    if isinstance(data, ds.Dataset):
        return Files.of(data, "the dataset")
    path = Path(data).expanduser()
    remedy = "Give a Parquet file, a folder of Parquet files, a pattern such as 'rows/*.parquet', or an Arrow file"
    base, files = _matching(path)
    if not files:
        problem = f"The folder {str(path)!r} has no files" if path.is_dir() else (
            f"{str(path)!r} does not exist" if path == base else f"No file matches {str(path)!r}")
        raise InputError(f"{problem}. {remedy}; open what lies elsewhere with pyarrow.dataset.dataset.")
    with files[0].open("rb") as file:
        kind = FORMATS.get(file.read(4))
    if kind is None:
        raise InputError(f"{str(files[0])!r} is neither a Parquet nor an Arrow file. {remedy}; read others as a frame, "
                         "for example with pandas.read_csv.")
    try:
        dataset = ds.dataset(path if path.exists() else list(map(str, files)), format=kind,
                             partitioning=None if path.is_file() else "hive", partition_base_dir=str(base))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{str(path)!r} cannot be read as {kind}: {error}. {remedy}.") from error
    return Files.of(dataset, repr(str(path)))


def _matching(path: Path) -> tuple[Path, list[Path]]:
    """Return the files at a path, in order, and the folder below which folder names give values of all their rows."""
    if path.is_file():
        return path.parent, [path]
    base = path
    if not path.exists():
        while glob.has_magic(str(base)):
            base = base.parent
    paths = path.rglob("*") if base == path else map(Path, glob.iglob(str(path), recursive=True))
    return base, sorted((file for file in paths if file.is_file() and not file.name.startswith((".", "_"))), key=str)


@final
@dataclass(frozen=True, eq=False)
class Files:
    """A table in files.

    Indexing by a name reads the whole column: 8 bytes a row for a number, 8 bytes and its length for a text.

    Attributes
    ----------
    dataset : the files in their order
    groups : number and rows of every row group of each file; a single entry for a file without row groups
    start : place of the first row among all rows
    label : name of the table in messages
    progress : whether reading shows a progress bar
    """

    dataset: ds.FileSystemDataset
    groups: tuple[Groups, ...]
    start: int
    label: str
    progress: bool = False

    @classmethod
    def of(cls, dataset: ds.Dataset, label: str) -> "Files":
        """Return the table of all rows of a dataset of files."""
        if not isinstance(dataset, ds.FileSystemDataset):
            raise InputTypeError(f"Need a dataset of files, as pyarrow.dataset.dataset(paths) makes it; got "
                                 f"{type(dataset).__name__}. Give its to_table() where it fits in memory.")
        if dataset.format.default_extname not in ("parquet", "arrow", "feather"):
            raise InputTypeError(f"Need Parquet or Arrow files; {label} has {dataset.format.default_extname} files. "
                                 "Write it as Parquet with pyarrow.dataset.write_dataset.")
        try:
            dataset.get_fragments()
        except ValueError as error:
            raise InputTypeError(f"{label} has a filter. Write the rows that it leaves with "
                                 "pyarrow.dataset.write_dataset, and give that folder.") from error
        try:
            result = cls(dataset, tuple(map(_groups, dataset.get_fragments())), 0, label)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{label} cannot be read: {error}.") from error
        if not len(result):
            raise InputError(f"{label} has 0 rows.")
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrow's own pickling would open every file again.
        sources = [(fragment.path, fragment.partition_expression) for fragment in self.dataset.get_fragments()]
        table = self.dataset
        return _restored, (sources, table.schema, table.format, table.filesystem, self.groups, self.start, self.label)

    @cached_property
    def size(self) -> int:
        """The number of rows."""
        return sum(rows for groups in self.groups for _, rows in groups)

    def __len__(self) -> int:
        return self.size

    @property
    def columns(self) -> pd.Index:
        """The names of the columns."""
        return pd.Index(self.dataset.schema.names)

    @property
    def index(self) -> pd.RangeIndex:
        """The numbers of the rows, counted over all files."""
        return pd.RangeIndex(self.start, self.start + self.size)

    def __getitem__(self, name: str) -> pd.Series:
        if self.dataset.schema.field(name).type == pa.float64():
            values = np.empty(self.size)
            for piece in self.pieces([name], SLICE):
                values[piece.index[0] - self.start :][: len(piece)] = piece[name]
            return pd.Series(values, index=self.index, name=name, copy=False)
        frame = pa.concat_tables(self._tables([name], SLICE)).to_pandas(ignore_metadata=True)
        return plain(frame.set_axis(self.index))[name]

    def pieces(self, names: Sequence[str], size: int) -> Iterator[pd.DataFrame]:
        """Yield some columns, `size` rows at a time, with the numbers of the rows as index."""
        start = self.start
        for table in self._tables(names, max(size, SLICE // size * size)):
            frame = plain(table.to_pandas(split_blocks=True, ignore_metadata=True))
            frame.index = pd.RangeIndex(start, start + len(frame))
            start += len(frame)
            for row in range(0, len(frame), size):
                yield frame.iloc[row : row + size]

    def _tables(self, names: Sequence[str], size: int) -> Iterator[pa.Table]:
        """Yield some columns, `size` rows at a time, regardless of where row groups and files end."""
        held, count = [], 0
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
                   TimeRemainingColumn())
        with Progress(*columns, disable=not self.progress, transient=True) as bar:
            task = bar.add_task(f"reading {', '.join(names[:3])}{', ...' * (len(names) > 3)}", total=self.size)
            for batch in self._batches(names):
                bar.advance(task, len(batch))
                while count + len(batch) >= size:
                    yield pa.Table.from_batches([*held, batch.slice(0, size - count)])
                    batch, held, count = batch.slice(size - count), [], 0
                if len(batch):
                    held.append(batch)
                    count += len(batch)
            if held:
                yield pa.Table.from_batches(held)

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        # Arrow's scanner reads ahead, up to a whole file where batches are used more slowly than they are read. It is
        # therefore given only a few row groups of Parquet files at a time, and is not used for Arrow files.
        schema = pa.schema(map(self.dataset.schema.field, names))
        scan = ds.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True)
        options = {"columns": {name: ds.field(name) for name in names}, "batch_size": SLICE,
                   "fragment_scan_options": scan}
        where = self.label
        try:
            for unit in self._units(SLICE):
                for fragment, _ in unit:
                    where = f"{self.label}, file {fragment.path!r},"
                    _must_agree(fragment, schema)
                    if isinstance(fragment, ds.ParquetFileFragment):
                        yield from fragment.to_batches(schema=self.dataset.schema, **options)
                    else:
                        yield from _record_batches(fragment, schema)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{where} cannot be read: {error}. Its files must be whole, stay where they are, and have "
                             "the columns and types of the first of them.") from error

    def parts(self) -> Iterator["Files"]:
        """Yield all rows as parts of at least `PART` rows, each with complete row groups of one or more files."""
        start, table = self.start, self.dataset
        for unit in self._units(PART):
            fragments, groups = zip(*unit, strict=True)
            dataset = ds.FileSystemDataset(list(fragments), table.schema, table.format, table.filesystem)
            result = replace(self, dataset=dataset, groups=groups, start=start)
            start += len(result)
            yield result

    def _units(self, least: int) -> Iterator[list[tuple[ds.FileFragment, Groups]]]:
        """Yield consecutive row groups, or files without row groups, that have at least `least` rows together."""
        held, count = [], 0
        for fragment, groups in zip(self.dataset.get_fragments(), self.groups, strict=True):
            chosen = []
            for group in groups:
                chosen.append(group)
                count += group[1]
                if count >= least:
                    yield [*held, (_subset(fragment, chosen), tuple(chosen))]
                    held, chosen, count = [], [], 0
            if chosen:
                held.append((_subset(fragment, chosen), tuple(chosen)))
        if held:
            yield held

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        """Describe in JSON where some columns are; `described_dataset` reads it."""
        if not isinstance(self.dataset.filesystem, LocalFileSystem):
            raise SpecificationError(f"{self.label} is on a file system of type {self.dataset.filesystem.type_name}: a "
                                     "saved posterior names only files of this machine. Save posterior.tree instead, "
                                     "with its to_netcdf.")
        schema = pa.schema([self.dataset.schema.field(name) for name in names])
        return {"format": self.dataset.format.default_extname, "files": [_described(fragment, names)
                                                                         for fragment in self.dataset.get_fragments()],
                "schema": base64.b64encode(schema.serialize()).decode(), "fingerprints": self.fingerprints(names)}

    def fingerprints(self, names: Sequence[str]) -> dict[str, str]:
        """Return a digest of each column, which changes with any value and with the order of the rows.

        It does not depend on how the rows are divided into files and row groups.
        """
        lengths, values = ({name: sha256() for name in names} for _ in range(2))
        for table in self._tables(names, SLICE):
            for name in names:
                length, content = _content(table[name])
                lengths[name].update(length)
                values[name].update(content)
        return {name: sha256(lengths[name].digest() + values[name].digest()).hexdigest() for name in names}

    @contextmanager
    def locating(self, frame: pd.DataFrame) -> Iterator[None]:
        """Add to errors about some rows which rows these are."""
        try:
            yield
        except (InputError, InputTypeError) as error:
            raise type(error)(f"{error} (Of {self.label} these are rows {frame.index[0]:,} to {frame.index[-1]:,}, the "
                              "first with this error; rows count from 0, over all files.)") from error


def _described(fragment: ds.FileFragment, names: Sequence[str]) -> dict[str, Any]:
    """Describe a file: its path, rows, types of columns, and the values that its folder gives to all of its rows."""
    types = {field.name: str(field.type) for field in fragment.physical_schema if field.name in names}
    keys = ds.get_partition_keys(fragment.partition_expression)
    keys = {name: value for name, value in keys.items() if name in names}
    return {"path": str(Path(fragment.path).resolve()), "rows": fragment.count_rows(), "types": types, "keys": keys}


def described_dataset(described: Mapping[str, Any]) -> ds.FileSystemDataset:
    """Return the dataset of the described files; refuse missing and changed files."""
    missing = [file["path"] for file in described["files"] if not Path(file["path"]).is_file()]
    if missing:
        raise FileError(f"{len(missing)} of {len(described['files'])} files with the training rows are gone: "
                        f"{first(missing)}. Bring them back, or fit again.")
    kind = ds.ParquetFileFormat() if described["format"] == "parquet" else ds.IpcFileFormat()
    local, fragments = LocalFileSystem(), []
    for file in described["files"]:
        keys = [ds.field(name) == value for name, value in file["keys"].items()]
        fragments.append(kind.make_fragment(file["path"], local, reduce(operator.and_, keys) if keys else None))
        state = _described(fragments[-1], [*file["types"], *file["keys"]])
        for key in ("rows", "types"):
            if state[key] != file[key]:
                raise FileError(f"{file['path']!r} has changed: its {key} are {state[key]}, and were {file[key]} when "
                                "the posterior was saved. Bring the file back as it was, or fit again.")
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(described["schema"])))
    result = ds.FileSystemDataset(fragments, schema, kind, local)
    # Posteriors saved in format 1 have no fingerprints.
    saved = described.get("fingerprints", {})
    digests = Files.of(result, "the training rows").fingerprints(list(saved))
    changed = [name for name in saved if digests[name] != saved[name]]
    if changed:
        raise FileError(f"The values of {first(changed, 10)}, or the order of the rows, have changed in "
                        f"{first(file['path'] for file in described['files'])} since the posterior was saved. Bring "
                        "the files back as they were, or fit again.")
    return result


def _content(column: pa.ChunkedArray) -> tuple[bytes, bytes]:
    """Return values as bytes, equal for equal values: the lengths of texts, and the values one after the other."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_temporal(values.type):
        values = values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return b"", values.to_numpy(zero_copy_only=False).tobytes()
    text = pc.fill_null(values.cast(pa.string()), "")
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(text)], text), "")
    return pc.binary_length(text).to_numpy().tobytes(), joined[0].as_buffer().to_pybytes()


def _must_agree(fragment: ds.FileFragment, schema: pa.Schema) -> None:
    """Refuse a file whose values differ in kind from those of the first file: Arrow would convert them."""
    for field in schema:
        place = fragment.physical_schema.get_field_index(field.name)
        if place < 0:
            continue
        type_ = fragment.physical_schema.field(place).type
        if None not in (kinds := {_kind(type_), _kind(field.type)}) and len(kinds) > 1:
            raise InputTypeError(f"{fragment.path!r}: column {field.name!r} holds {_kind(type_)} ({type_}), and "
                                 f"{_kind(field.type)} ({field.type}) in the first file. Write them with one type.")


def _kind(type_: pa.DataType) -> str | None:
    """Return the kind of values of a type; columns may combine types of one kind. None for a type without values."""
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_null(type_):
        return None
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "numbers"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    if pa.types.is_timestamp(type_):
        return "times without a time zone" if type_.tz is None else "times in a time zone"
    return str(type_)


def _groups(fragment: ds.FileFragment) -> Groups:
    """Return the number and rows of each row group of a file."""
    if isinstance(fragment, ds.ParquetFileFragment):
        return tuple((group.id, group.num_rows) for group in fragment.row_groups)
    return ((0, fragment.count_rows()),)


def _subset(fragment: ds.FileFragment, groups: Sequence[tuple[int, int]]) -> ds.FileFragment:
    """Return some row groups of a file, or the whole file where it has no row groups."""
    if isinstance(fragment, ds.ParquetFileFragment):
        return fragment.subset(row_group_ids=[number for number, _ in groups])
    return fragment


def _restored(sources: Sequence[tuple[str, ds.Expression]], schema: pa.Schema, kind: ds.FileFormat, filesystem: Any,
              groups: tuple[Groups, ...], start: int, label: str) -> Files:
    """Open the files of a table again in another process."""
    fragments = []
    for (path, condition), row_groups in zip(sources, groups, strict=True):
        chosen = {"row_groups": [number for number, _ in row_groups]} if isinstance(kind, ds.ParquetFileFormat) else {}
        fragments.append(kind.make_fragment(path, filesystem, condition, **chosen))
    return Files(ds.FileSystemDataset(fragments, schema, kind, filesystem), groups, start, label)


def _record_batches(fragment: ds.FileFragment, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield columns of an Arrow file by record batches; a column that it lacks comes from its folder or is missing."""
    local = isinstance(fragment.filesystem, LocalFileSystem)
    partition = ds.get_partition_keys(fragment.partition_expression)
    with pa.memory_map(fragment.path) if local else fragment.open() as source:
        file_schema = pa.ipc.open_file(source).schema
        places = [file_schema.get_field_index(name) for name in schema.names if name in file_schema.names]
        reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=places))
        for place in range(reader.num_record_batches):
            batch = reader.get_batch(place)
            columns = [batch[field.name].cast(field.type) if field.name in file_schema.names else
                       pa.repeat(pa.scalar(partition.get(field.name), field.type), len(batch)) for field in schema]
            yield pa.record_batch(columns, schema=schema)
