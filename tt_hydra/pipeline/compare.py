"""compare: what differs between runs, and by how much their figures differ, query by query."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from tt_hydra.artifact.files import write_json
from tt_hydra.component import TARGET, option_of
from tt_hydra.errors import ConfigError, DataError
from tt_hydra.metrics.significance import RESAMPLES, clustered_differences
from tt_hydra.pipeline.finished import ANSWERS, QUERY, FinishedRun, find_run, names_of, read_run
from tt_hydra.report.compare import write_comparison
from tt_hydra.report.comparison import ABSENT, ComparedRun, Comparison, QualityRow
from tt_hydra.report.figures import metric_order

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPLITS = ("test", "valid")
PATHS_OF_A_RUN = ("runtime.outputs", "runtime.set_latest")
CHANGES_LABELS = ("data", "evaluate.exclude_seen", "seed")
ROW, OCCURRENCE = "__row", "__occurrence"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareOptions:
    """How runs are compared.

    Attributes:
        split: whose queries; null: test where every run has them, otherwise valid.
        queries: ``same`` refuses runs that were measured on different queries, ``shared`` compares them on those that all have.
        resamples: bootstrap samples of the intervals.
        seed: of the samples.
    """

    split: Literal["valid", "test"] | None = None
    queries: Literal["same", "shared"] = "same"
    resamples: int = RESAMPLES
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ConfigError(f"compare.resamples={self.resamples}: at least 1; an interval needs a thousand or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareSettings:
    """Which runs are compared, and how.

    Attributes:
        runs: two or more: folders, names under ``outputs/run`` or ``outputs/sweep``, or ``latest``; the others are held against the first.
        compare: how.
        outputs: root of the runs.
        run_dir: folder for the comparison.
    """

    runs: tuple[str, ...]
    compare: CompareOptions = field(default_factory=CompareOptions)
    outputs: Path
    run_dir: Path

    def __post_init__(self) -> None:
        if not 2 <= len(self.runs) <= len(LETTERS):
            raise ConfigError(f"runs: a comparison needs 2 to {len(LETTERS)} runs, got {len(self.runs)}; runs=[latest,NAME_OR_FOLDER]")


def compare(settings: CompareSettings, command: str = "") -> Comparison:
    """Compares the runs and writes ``compare.json`` and ``compare.html`` into ``run_dir``.

    Raises:
        ConfigError: an unknown run, one that is named twice, or runs that were measured on different queries.
        DataError: a run's file is missing or damaged.
    """
    folders = [find_run(text, settings.outputs) for text in settings.runs]
    twice = [text for text, folder in zip(settings.runs, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        raise ConfigError(f"runs: {' and '.join(map(repr, twice))} are the same run, {folders[settings.runs.index(twice[0])]}")
    runs = [read_run(folder) for folder in folders]
    options = settings.compare
    split: str = options.split or next((each for each in SPLITS if all(run.has_queries(each) for run in runs)), "test")
    tables, notes = _paired(runs, split, options.queries)
    if options.split is None and split != "test":
        notes.insert(0, "not every run has figures of test queries: validation queries are compared, on which settings were chosen")
    differing, quality = _settings(runs), _quality(tables, split, options)
    comparison = Comparison(
        command=command,
        runs=_described(runs),
        split=split,
        queries=tables[0][QUERY].n_unique(),
        rows=len(tables[0]),
        settings=differing,
        quality=quality,
        costs=_costs([run.metrics for run in runs], split, [row.key for row in quality]),
        notes=[*notes, *_warnings(runs, differing)],
    )
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    write_json(settings.run_dir / "compare.json", _plain(comparison))
    write_comparison(comparison, settings.run_dir / "compare.html")
    for note in comparison.notes:
        logger.warning(note)
    return comparison


def _paired(runs: Sequence[FinishedRun], split: str, wanted: Literal["same", "shared"]) -> tuple[list[pl.DataFrame], list[str]]:
    """The figures of each run, their rows brought into the order of the first run's."""
    key = [QUERY, OCCURRENCE]
    tables = [
        run.queries(split).with_columns(pl.col(QUERY).cast(pl.String), pl.int_range(pl.len()).over(QUERY).alias(OCCURRENCE)) for run in runs
    ]
    told = all(ANSWERS in table.columns for table in tables)
    found = [_asked(table, told) for table in tables]
    shared = {query for query, asked in found[0].items() if all(other.get(query) == asked for other in found[1:])}
    notes = [] if told else ["a run is of an earlier version: whether its queries have the same answers as the others' is not known"]
    if any(len(each) != len(shared) for each in found):
        sizes = ", ".join(f"{len(each)} in {name}" for name, each in zip(_names(runs), found, strict=True))
        if not shared:
            why = "they were measured on different data and cannot be paired"
            raise ConfigError(f"runs: they share no {split} query with the same answers ({sizes}): {why}")
        what = f"{split} queries or the answers to them differ"
        if wanted == "same":
            fix = "compare.queries=shared compares on those"
            raise ConfigError(f"runs: their {what}: {sizes}, {len(shared)} the same in all of them. {fix}")
        notes.append(f"the {what} ({sizes}): compared on the {len(shared)} that all runs share")
    first = tables[0].filter(pl.col(QUERY).is_in(list(shared)))
    order = first.select(*key).with_row_index(ROW)
    return [order.join(table, on=key, how="left").sort(ROW).drop(ROW, OCCURRENCE) for table in tables], notes


def _asked(table: pl.DataFrame, told: bool) -> dict[str, object]:
    """Of each query how often it was asked, and where it is told the answers in a word."""
    rows = pl.col(ANSWERS).str.join(" ") if told else pl.len()
    return dict(table.group_by(QUERY, maintain_order=True).agg(rows).iter_rows())


def _quality(tables: Sequence[pl.DataFrame], split: str, options: CompareOptions) -> list[QualityRow]:
    names = [name for name in tables[0].columns if name not in (QUERY, ANSWERS) and all(name in table.columns for table in tables)]
    if not names:
        raise DataError(f"the runs share no figure of their {split} queries: they were written by different versions; run them again")
    figures = [{name: table[name].to_numpy() for name in names} for table in tables]
    clusters = tables[0][QUERY].to_list()
    try:
        differences = [
            clustered_differences(other, figures[0], clusters, seed=options.seed, resamples=options.resamples) for other in figures[1:]
        ]
    except ValueError as error:
        raise DataError(f"the figures of the {split} queries cannot be paired: {error}; run the runs again") from error
    return [
        QualityRow(
            key=f"{split}/{name}",
            values=[float(each[name].mean()) for each in figures],
            differences=[found[name] for found in differences],
        )
        for name in sorted(names, key=_order)
    ]


def _order(name: str) -> tuple[str, tuple[int, str, int]]:
    kind, _, metric = name.partition("/")
    return "" if kind == "model" else kind, metric_order(metric)


def _costs(metrics: Sequence[Mapping[str, float]], split: str, paired: Sequence[str]) -> dict[str, list[float | None]]:
    """Figures that no query has by itself, in the order of their names; recall against exact search where a run kept it as a whole only."""
    ann = f"{split}/ann/recall@10"
    whole = () if ann in paired else (ann,)
    known = {key for each in metrics for key in each if not key.startswith(("valid/", "test/")) or key.startswith(whole)}
    return {key: [each.get(key) for each in metrics] for key in sorted(known)}


def _described(runs: Sequence[FinishedRun]) -> list[ComparedRun]:
    """Letters, and names by which the runs can be told apart."""
    shared = set.intersection(*(set(run.overrides) for run in runs))
    own = [" ".join(each for each in run.overrides if each not in shared) for run in runs]
    names = [text or "default settings" for text in own] if len(set(own)) == len(own) else _names(runs)
    return [
        ComparedRun(letter=letter, name=name, folder=run.folder, overrides=run.overrides)
        for letter, name, run in zip(LETTERS, names, runs, strict=False)
    ]


def _names(runs: Sequence[FinishedRun]) -> list[str]:
    return names_of([run.folder for run in runs])


def _settings(runs: Sequence[FinishedRun]) -> dict[str, list[str]]:
    """The settings that differ, run by run; a component that differs stands in one row with all its own settings."""
    if any(run.config is None for run in runs):
        return {}
    trees = [{key: value for key, value in (run.config or {}).items() if key != "hydra"} for run in runs]
    found = _differing(trees, "")
    return {key: values for key, values in found.items() if key not in PATHS_OF_A_RUN and len(set(values)) > 1}


def _differing(nodes: Sequence[Any], path: str) -> dict[str, list[str]]:
    mappings = [node for node in nodes if isinstance(node, Mapping)]
    if len(mappings) < len(nodes) or len({str(node.get(TARGET)) for node in mappings}) > 1:
        return {path: [_shown(node) for node in nodes]}
    keys = dict.fromkeys(key for node in mappings for key in node)
    result: dict[str, list[str]] = {}
    for key in keys:
        result |= _differing([node.get(key, ABSENT) for node in mappings], f"{path}.{key}" if path else str(key))
    return result


def _shown(node: object) -> str:
    """A value as YAML writes it; a component as its name and settings."""
    if not isinstance(node, Mapping):
        return {None: "null", True: "true", False: "false"}[node] if node is None or isinstance(node, bool) else str(node)
    values = ", ".join(f"{key}={_shown(value)}" for key, value in node.items() if key != TARGET)
    if TARGET not in node:
        return f"{{{values}}}"
    name = option_of(node)
    return f"{name} ({values})" if values else name


def _warnings(runs: Sequence[FinishedRun], differing: Mapping[str, Sequence[str]]) -> list[str]:
    notes = []
    if any(run.config is None for run in runs):
        missing = ", ".join(name for name, run in zip(_names(runs), runs, strict=True) if run.config is None)
        notes.append(f"no configuration was kept in {missing}: what differs between the runs cannot be told")
    changed = [key for key in differing if key in CHANGES_LABELS or key.startswith("data.")]
    if changed:
        notes.append(
            f"{', '.join(changed)} differ: queries of the same name may have other answers or catalogues; "
            "the differences are those of models only if the data is the same"
        )
    return notes


def _plain(comparison: Comparison) -> dict[str, Any]:
    content = asdict(comparison)
    for run in content["runs"]:
        run["folder"] = str(run["folder"])
    return content
