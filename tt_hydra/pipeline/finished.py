"""Finished runs and trials by what a user calls them, and what their folders hold."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tt_hydra.errors import ConfigError, DataError

METRICS = "metrics.json"
QUERY, ANSWERS = "query", "answers"
NEWEST = 3


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run's folder, read.

    Attributes:
        folder: where it is.
        metrics: content of its ``metrics.json``.
        config: its composed configuration, interpolations as they were written; None where none was kept.
        overrides: what it was started with.
    """

    folder: Path
    metrics: Mapping[str, float]
    config: Mapping[str, Any] | None
    overrides: Sequence[str]

    def has_queries(self, split: str) -> bool:
        """Whether it kept the figures of each query of a split."""
        return (self.folder / _per_query(split)).is_file()

    def queries(self, split: str) -> pl.DataFrame:
        """A row for each example of the split: whose (``query``), its answers in a word, and its figures (``model/recall@10`` ...).

        Raises:
            DataError: there are none, or the file is damaged.
        """
        path = self.folder / _per_query(split)
        if not path.is_file():
            raise DataError(f"{path} is missing: the run measured no {split} queries; compare.split=valid or test chooses others")
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path} is damaged ({_first_line(error)}): run it again") from error
        figures = [name for name in table.columns if name not in (QUERY, ANSWERS)]
        if QUERY not in table.columns or not figures or not len(table) or not all(table[name].dtype.is_numeric() for name in figures):
            raise DataError(f"{path} is damaged: it needs a column {QUERY!r}, columns of figures and a row or more; run it again")
        return table


def read_run(folder: Path) -> FinishedRun:
    """Reads a run's folder.

    Raises:
        DataError: a file is damaged.
    """
    config = _yaml(folder / ".hydra" / "config.yaml")
    overrides = _yaml(folder / ".hydra" / "overrides.yaml")
    if not isinstance(config, dict | None) or not isinstance(overrides, list | None):
        raise DataError(f"{folder / '.hydra'} is damaged: config.yaml must be a mapping and overrides.yaml a list; run it again")
    return FinishedRun(folder, _metrics(folder / METRICS), config, tuple(map(str, overrides or ())))


def find_run(text: str, outputs: Path) -> Path:
    """The folder of a finished run: its path, its bundle's, ``latest``, or its name under ``outputs/run`` or ``outputs/sweep``.

    Raises:
        ConfigError: there is none, with the nearest that there are.
    """
    given = Path(text).expanduser()
    places = [given, given.parent] if given.name == "bundle" else [given]
    places += [outputs / kind / given for kind in ("run", "sweep")]
    for place in places:
        if (place / METRICS).is_file():
            return place.resolve()
    raise ConfigError(f"runs: {text!r} {_why(places)}{_hint(text, outputs)}")


def names_of(folders: Sequence[Path]) -> list[str]:
    """Names that tell different folders apart: the last part of each path, or as many as it takes."""
    names: list[str] = []
    for count in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-count:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def _why(places: Sequence[Path]) -> str:
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        return "is no run"
    trials = sorted((path.parent.name for path in folder.glob(f"*/{METRICS}")), key=lambda name: (len(name), name))
    if trials:
        return f"is the folder of several runs: name them, such as {Path(folder.name, trials[0])}"
    return f"did not finish, or is no run: {folder} holds no {METRICS}"


def _hint(text: str, outputs: Path) -> str:
    known = {str(path.parent.relative_to(outputs / "run")): path.parent for path in (outputs / "run").glob(f"*/{METRICS}")}
    known |= {str(path.parent.relative_to(outputs / "sweep")): path.parent for path in (outputs / "sweep").glob(f"*/*/{METRICS}")}
    if not known:
        return f". There is no finished run under {outputs} yet: run `python -m tt_hydra` first"
    others = [name for name in known if name != "latest"]
    newest = sorted(others, key=lambda name: (known[name] / METRICS).stat().st_mtime, reverse=True)[:NEWEST]
    near = difflib.get_close_matches(text, known, n=NEWEST, cutoff=0.7)
    return f"; did you mean {', '.join(near)}?" if near else f". Runs here: {', '.join(newest)}"


def _metrics(path: Path) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({_first_line(error)}): run it again") from error
    if not isinstance(content, dict) or not all(_is_figure(value) for value in content.values()):
        raise DataError(f"{path} is damaged: it must map keys to numbers; run it again")
    return {str(key): float(value) for key, value in content.items() if math.isfinite(value)}


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float)


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path} is damaged ({_first_line(error)}): run it again, or remove the file") from error


def _per_query(split: str) -> str:
    return f"per_query_{split}.parquet"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
