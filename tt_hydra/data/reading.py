"""Files of rows as tables: Parquet, CSV, TSV and JSON lines, with errors that name the file and the line.

Cells of CSV and TSV are read as text, so that an id ``007`` stays what it is; what a column means says the declaration. TSV has no
quoting; CSV quotes with ``"``. ``.gz`` behind the ending is unpacked on the way.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv

from tt_hydra.data.bad_line import SEPARATORS, first_bad_line, other_separator
from tt_hydra.data.declaration import nearest
from tt_hydra.errors import DataError

PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*PARQUET, *DELIMITERS, *JSON_LINES)
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file and what messages call it (a member of an archive lies elsewhere while it is read)."""

    path: Path
    name: str

    @property
    def ending(self) -> str:
        """The file's ending without ``.gz``, in small letters."""
        return Path(self.path.name.lower().removesuffix(".gz")).suffix


def find_path(path: str | None, key: str) -> Path:
    """The file or folder that a config key names, relative to the current working directory.

    Raises:
        DataError: the key is not set, or there is nothing there; names the nearest file in the same folder.
    """
    if path is None or not str(path).strip():
        raise DataError(f"{key} is not set: give it a file or folder, such as {key}=my/data (relative to the working directory)")
    found = Path(path).expanduser()
    if found.exists():
        return found
    if not found.parent.is_dir():
        raise DataError(f"{key}={path}: there is no folder {found.parent} (looked from {Path.cwd()})")
    raise DataError(f"{key}={path}: there is no such file or folder{nearest(found.name, _names(found.parent))} (looked from {Path.cwd()})")


def find_files(path: str | None, key: str) -> list[DataFile]:
    """The file that a key names, or all files of rows in the folder that it names, by name.

    Raises:
        DataError: as ``find_path``; or the folder holds none, or files of several formats.
    """
    found = find_path(path, key)
    if found.is_file():
        return [DataFile(found, str(path))]
    files = [DataFile(each, f"{path}/{each.name}") for each in sorted(found.iterdir()) if each.is_file()]
    files = [file for file in files if file.ending in ENDINGS]
    if len({file.ending for file in files}) != 1:
        kinds = ", ".join(sorted({file.ending for file in files})) or "none of them"
        raise DataError(f"{key}={path}: a folder must hold files of one of the formats {', '.join(ENDINGS)}; this one holds {kinds}")
    return files


def read_files(files: Sequence[DataFile], columns: Sequence[str], every: bool = False) -> pl.DataFrame:
    """The rows of all files, one after the other; arguments as for ``read_file``.

    Raises:
        DataError: as ``read_file``; or a column is of types in two files that cannot be one.
    """
    frames = [read_file(file, columns, every) for file in files]
    try:
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(_disagreement(files, frames) or str(error).splitlines()[0]) from error


def _disagreement(files: Sequence[DataFile], frames: Sequence[pl.DataFrame]) -> str | None:
    """Which column of some files cannot be one with that of an earlier file."""
    first: dict[str, tuple[DataFile, pl.Series]] = {}
    for file, frame in zip(files, frames, strict=True):
        for column in frame:
            earlier, other = first.setdefault(column.name, (file, column))
            try:
                pl.concat([other.to_frame(), column.to_frame()], how="vertical_relaxed")
            except pl.exceptions.PolarsError:
                return (
                    f"{file.name}: the column {column.name!r} holds {column.dtype}, but {other.dtype} in {earlier.name}; write it alike in "
                    "all files of the folder"
                )
    return None


def read_file(file: DataFile, columns: Sequence[str], every: bool = False) -> pl.DataFrame:
    """The rows of a file.

    Args:
        file: what to read; its ending says how.
        columns: those that it must have; only they are read.
        every: read the other columns too.

    Raises:
        DataError: an unknown format, an empty or damaged file, a line that cannot be parsed, or a missing column with the nearest name.
    """
    if file.ending not in ENDINGS:
        raise DataError(f"{file.name}: unknown format; the file's name must end in one of {', '.join(ENDINGS)}, and .gz may follow")
    return _parsed(file, lambda: _read(file, columns, every))


def _parsed(file: DataFile, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    if file.path.stat().st_size == 0:
        raise DataError(f"{file.name} is empty")
    try:
        frame = read()
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name}: {_reason(file, error)}") from error
    if len(frame) == 0:
        raise DataError(f"{file.name} has no rows")
    return frame


def read_texts(files: Sequence[DataFile], required: Sequence[str], optional: Sequence[str] = ()) -> pl.DataFrame:
    """The named columns of all files as strings, whatever else a row holds; an optional column that is not there is all null.

    Raises:
        DataError: as ``read_file``; a required column counts as missing where no row has it.
    """
    frames = [_read_texts(file, required, optional) for file in files]
    return pl.concat(frames)


def _read_texts(file: DataFile, required: Sequence[str], optional: Sequence[str]) -> pl.DataFrame:
    names = [*required, *optional]
    if file.ending not in JSON_LINES:
        frame = read_file(file, required, every=True)
        absent = [pl.lit(None, pl.String).alias(name) for name in optional if name not in frame.columns]
        return frame.with_columns(absent).select(pl.col(names).cast(pl.String))
    frame = _parsed(file, lambda: pl.read_ndjson(_json_source(file.path), schema=dict.fromkeys(names, pl.String)))
    absent_everywhere = [name for name in required if frame[name].is_null().all()]
    if absent_everywhere:
        read_file(file, required)
    return frame


def require_columns(file: DataFile, present: Sequence[str], wanted: Iterable[str]) -> None:
    """Raises DataError for the first wanted column that is not present, with the nearest name."""
    for name in wanted:
        if name not in present:
            raise DataError(f"{file.name} has no column {name!r}{nearest(name, present)}; its columns are {', '.join(present)}")


def read_rows(file: DataFile) -> pl.DataFrame:
    """The rows of a tab-separated file without a header, as text columns ``column_0``, ``column_1`` ...

    Raises:
        DataError: the file is empty, or a line has another number of columns than the first.
    """
    return _parsed(file, lambda: _headless(file.path))


def _headless(path: Path) -> pl.DataFrame:
    parse = arrow_csv.ParseOptions(delimiter="\t", quote_char=False)
    headless = arrow_csv.ReadOptions(autogenerate_column_names=True)
    with arrow_csv.open_csv(path, headless, parse) as stream:
        names = stream.schema.names
    convert = arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    frame = pl.DataFrame(arrow_csv.read_csv(path, headless, parse, convert))
    return frame.rename({name: f"column_{number}" for number, name in enumerate(names)})


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _reason(file: DataFile, error: Exception) -> str:
    text = first_bad_line(file.path, file.ending)
    return text or f"cannot be read: {str(error).splitlines()[0]}"


def _read(file: DataFile, columns: Sequence[str], every: bool) -> pl.DataFrame:
    if file.ending in PARQUET:
        return _read_parquet(file, columns, every)
    if file.ending in JSON_LINES:
        return _read_json_lines(file, columns, every)
    return _read_csv(file, columns, every)


def _read_parquet(file: DataFile, columns: Sequence[str], every: bool) -> pl.DataFrame:
    require_columns(file, list(pl.read_parquet_schema(file.path)), columns)
    return pl.read_parquet(file.path, columns=None if every else list(columns))


def _read_json_lines(file: DataFile, columns: Sequence[str], every: bool) -> pl.DataFrame:
    frame = pl.read_ndjson(_json_source(file.path), infer_schema_length=None)
    require_columns(file, frame.columns, columns)
    return frame if every else frame.select(columns)


def _json_source(path: Path) -> Path | io.BytesIO:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as stream:
        marked = stream.read(len(BOM)) == BOM
        return io.BytesIO(stream.read()) if marked else path


def _separated(file: DataFile, found: str) -> str:
    named = next((ending for ending, separator in DELIMITERS.items() if separator == found), None)
    fix = f"name it {named}" if named else "write it with those, or as Parquet"
    seen, own = SEPARATORS[found], SEPARATORS[DELIMITERS[file.ending]]
    return f"{file.name}: its first line is one column with {seen} in its name; cells of {file.ending} are separated by {own}: {fix}"


def _read_csv(file: DataFile, columns: Sequence[str], every: bool) -> pl.DataFrame:
    delimiter = DELIMITERS[file.ending]
    found = other_separator(file.path, delimiter, file.ending == ".csv")
    if found is not None:
        raise DataError(_separated(file, found))
    parse = arrow_csv.ParseOptions(
        delimiter=delimiter, quote_char='"' if file.ending == ".csv" else False, newlines_in_values=file.ending == ".csv"
    )
    with arrow_csv.open_csv(file.path, parse_options=parse) as stream:
        header = stream.schema.names
    require_columns(file, header, columns)
    convert = arrow_csv.ConvertOptions(
        column_types={name: pa.string() for name in header},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
        include_columns=None if every else list(columns),
    )
    frame = pl.DataFrame(arrow_csv.read_csv(file.path, parse_options=parse, convert_options=convert))
    if len(frame) and any("\n" in str(cell) for cell in frame.row(-1)) and (open_quote := first_bad_line(file.path, file.ending)):
        raise DataError(f"{file.name}: {open_quote}")
    return frame
