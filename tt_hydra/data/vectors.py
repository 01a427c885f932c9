"""Ready-made vectors: an index, its figures and a sweep without towers and without training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.contracts import FloatArray
from tt_hydra.data.columns import check_unique_ids
from tt_hydra.data.content import fingerprint, hash_file
from tt_hydra.data.declaration import Declaration, SplitSpec, check_share
from tt_hydra.data.events import told
from tt_hydra.data.reading import find_path
from tt_hydra.data.tables import Tables
from tt_hydra.errors import DataError

CHUNK = 1 << 16
FILES = ("items.npy", "item_ids.txt", "queries.npy", "query_ids.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors:
    """A folder with ``items.npy`` and ``queries.npy`` of shape (rows, dim), and perhaps ``item_ids.txt`` and ``query_ids.txt``.

    There is no interaction and no judgement: figures say how well an index finds what exact search finds.

    Attributes:
        path: the folder.
        valid_share: share of the queries that budgets, ``index=auto`` and sweeps are tuned on; the others are the test.
    """

    path: str | None = None
    valid_share: float = 0.5

    def __post_init__(self) -> None:
        check_share("data.valid_share", self.valid_share)

    def fingerprint(self) -> str:
        """Hash of the contents of the files and of the arguments."""
        folder = self._folder()
        return fingerprint(self, [(name, hash_file(folder / name)) for name in FILES if (folder / name).is_file()])

    def read(self) -> Tables:
        """Ids and memory-mapped float32 vectors; the interactions have no rows.

        Raises:
            DataError: a file is missing, is no matrix of finite numbers, or the sides and ids do not fit each other.
        """
        counts: Counter[str] = Counter()
        folder = self._folder()
        items, queries = (_matrix(folder / name, counts) for name in ("items.npy", "queries.npy"))
        if items.shape[1] != queries.shape[1]:
            raise DataError(f"{self.path}: items.npy has dimension {items.shape[1]}, queries.npy {queries.shape[1]}; they must be equal")
        return Tables(
            queries=_ids(folder / "query_ids.txt", len(queries)),
            items=_ids(folder / "item_ids.txt", len(items)),
            interactions=pl.DataFrame(schema={"query": pl.String, "item": pl.String, "split": pl.String}),
            declaration=Declaration(split=SplitSpec(kind="given", valid=self.valid_share)),
            counts=told(counts),
            fingerprint=self.fingerprint(),
            vectors=(items, queries),
        )

    def _folder(self) -> Path:
        folder = find_path(self.path, "data.path")
        for name in ("items.npy", "queries.npy"):
            if not (folder / name).is_file():
                raise DataError(f"data.path={self.path}: there is no {name}; the folder must hold items.npy and queries.npy")
        return folder


def _matrix(path: Path, counts: Counter[str]) -> FloatArray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no NumPy file of numbers: {error}") from error
    if found.ndim != 2 or found.dtype.kind != "f" or 0 in found.shape:
        raise DataError(f"{path} holds {found.dtype} of shape {found.shape}; it must hold floats of shape (rows, dim), at least one row")
    zeros = 0
    for start in range(0, len(found), CHUNK):
        with np.errstate(over="ignore"):
            part = np.asarray(found[start : start + CHUNK], np.float32)
        bad = ~np.isfinite(part).all(axis=1)
        if bad.any():
            raise DataError(f"{path}: row {start + int(bad.argmax())} (from 0) holds NaN or infinity, also once it is float32")
        zeros += int((~part.any(axis=1)).sum())
    counts[f"zero vectors in {path.name}"] += zeros
    as_is = found.dtype == np.float32 and found.flags.c_contiguous
    return found if as_is else np.ascontiguousarray(found, np.float32)


def _ids(path: Path, size: int) -> pl.DataFrame:
    if not path.is_file():
        return pl.DataFrame({"id": pl.int_range(size, eager=True).cast(pl.String)})
    try:
        ids = pl.Series("id", path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n"), pl.String).str.strip_suffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}") from error
    if len(ids) != size:
        raise DataError(f"{path} has {len(ids)} line(s) for {size} vectors; it must have one id a line")
    check_unique_ids(ids.set(ids == "", None), str(path))
    return pl.DataFrame([ids])
