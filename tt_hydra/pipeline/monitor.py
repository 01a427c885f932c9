"""monitor: what the kept traffic of a service says of its version: latency, recall, drift, unknown values, ages."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.files import write_json
from tt_hydra.artifact.registry import TRAFFIC, Registry
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.contracts import Estimate, FloatArray, IntArray, Reference
from tt_hydra.errors import ConfigError, DataError
from tt_hydra.monitor.calibration import RESAMPLES, Values, Verdict
from tt_hydra.monitor.drift import EmbeddingDrift, ScoreDrift, window_size
from tt_hydra.monitor.intervals import wilson
from tt_hydra.monitor.latency import PHASES, QUANTILES
from tt_hydra.monitor.recall import FEWEST
from tt_hydra.monitor.settings import AlarmLimits
from tt_hydra.monitor.traffic import ITEM, QUERY, read_traffic, vectors_of
from tt_hydra.monitor.watched import DAY, moment
from tt_hydra.monitor.watches import FEWEST_VALUES, KINDS, iso, judge_unknown
from tt_hydra.pipeline.publish import missing
from tt_hydra.pipeline.update import standing
from tt_hydra.report.monitor import write_monitor
from tt_hydra.report.monitored import MonitorCheck, Monitored, State

ALARM = 3
"""Exit status of the command where something is in alarm."""
POINTS = 40
"""Points of a plot over time."""
Z = 1.96


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorCommandSettings:
    """What is looked at.

    Attributes:
        bundle: whose traffic: a bundle's or a run's folder, ``latest`` or ``current``.
        traffic: folder with samples of it; null for the registry's.
        hours: how far to look back.
        window: vectors that a check of drift judges, at most a tenth of the reference's.
        alarm: what is an alarm.
        rules: write alert rules and a dashboard into this folder, and nothing else.
        outputs: root of the registry and of the runs.
        run_dir: folder of the report.
    """

    bundle: str = "current"
    traffic: str | None = None
    hours: float = 24.0
    window: int = 500
    alarm: AlarmLimits = field(default_factory=AlarmLimits)
    rules: str | None = None
    outputs: Path
    run_dir: Path

    def __post_init__(self) -> None:
        if self.hours <= 0:
            raise ConfigError(f"hours={self.hours:g}: more than 0")
        if self.window < 30:
            raise ConfigError(f"window={self.window}: drift needs 30 vectors or more")


def monitor(settings: MonitorCommandSettings, command: str = "") -> Monitored:
    """Looks at the traffic and writes ``monitor.json`` and ``monitor.html`` into ``run_dir``.

    Raises:
        BundleError: there is no such bundle, or it is damaged.
        DataError: there is no traffic, or a file of it is damaged.
    """
    now = time.time()
    bundle = Bundle.load(resolve_bundle(settings.bundle, settings.outputs))
    registry = Registry.under(settings.outputs)
    folder = registry.folder / TRAFFIC if settings.traffic is None else Path(settings.traffic)
    published = next((version for version in registry.versions() if version.manifest == bundle.manifest), None)
    rows = read_traffic(folder, now - 3600 * settings.hours)
    if published is not None:
        rows = rows.filter(pl.col("version") == published.number)
    elif settings.traffic is None:
        rows = rows.clear()  # what the registry served was another bundle
    else:
        rows = rows.filter(pl.col("vector").list.len() == bundle.manifest.dim)
    queries = rows.filter(pl.col("kind") == QUERY)
    if queries.is_empty():
        raise DataError(
            f"traffic: {folder} holds no query of this version within hours={settings.hours:g}: serve the bundle, "
            "`python -m tt_hydra serve bundle=current`, ask it something, and wait monitor.traffic.minutes; or give traffic= or hours="
        )
    changes = [] if published is None else missing(registry, published)
    drift = dict(_drift(bundle.reference, rows, settings))
    found = Monitored(
        command=command,
        bundle=str(bundle.folder),
        queries=len(queries),
        checks=[
            _recall(queries, settings.alarm),
            *_latency(queries, settings.alarm),
            *(_drift_check(kind, judged) for kind, judged in drift.items()),
            *_unknown(bundle.reference, queries, settings.alarm),
            *_coverage(queries, standing(bundle, changes)[1].alive),
            _age("model", bundle.manifest.trained_at, now, settings.alarm.model_days),
            _age("index", bundle.manifest.created, now, None),
            *([] if published is None else [_changes(changes, now)]),
        ],
        drift={f"{kind}: {name}": ratio for kind, judged in drift.items() for name, ratio in _ratios(judged).items()},
        series=_series(queries),
        notes=[] if bundle.reference is not None else ["this bundle keeps no reference, so that drift cannot be told"],
    )
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    write_json(settings.run_dir / "monitor.json", {**asdict(found), "alarm": found.alarm})
    write_monitor(found, settings.run_dir / "monitor.html")
    return found


def _recall(queries: pl.DataFrame, limits: AlarmLimits) -> MonitorCheck:
    name, (figure, count) = "recall@10", _compared(queries)
    if figure is None:
        return MonitorCheck(name=name, state="too little", limit=limits.recall, text="no query was searched exactly")
    enough = count >= FEWEST
    low = figure.low < limits.recall
    return MonitorCheck(
        name=name,
        state="too little" if not enough else "alarm" if low else "fine",
        value=figure.value,
        low=figure.low,
        high=figure.high,
        limit=limits.recall,
        seen=count,
        text=f"{FEWEST} queries are needed" if not enough else f"the lower end is {'below' if low else 'above'} the limit",
    )


def _compared(queries: pl.DataFrame) -> tuple[Estimate | None, int]:
    """Recall of the queries that were searched exactly, too, None without any; and how many they are."""
    compared = queries.filter(pl.col("wanted") > 0)
    count = len(compared)
    return (wilson(float((compared["hits"] / compared["wanted"]).sum()), count) if count else None), count


def _latency(queries: pl.DataFrame, limits: AlarmLimits) -> Iterator[MonitorCheck]:
    for phase in PHASES:
        seconds = np.sort(queries[phase].drop_nulls().to_numpy())
        if len(seconds):
            for name, share in QUANTILES.items():
                value, low, high = (1000 * each for each in quantile(seconds, share))
                limit = limits.p99_ms if (phase, name) == ("total", "p99") else None
                state: State = "alarm" if limit is not None and low > limit else "fine"
                yield MonitorCheck(
                    name=f"{name} of {phase}", state=state, value=value, low=low, high=high, limit=limit, unit="ms", seen=len(seconds)
                )


def quantile(ordered: Values, share: float) -> tuple[float, float, float]:
    """A quantile of ascending values, with the order statistics between which it lies with 95% probability."""
    count = len(ordered)
    width = Z * math.sqrt(count * share * (1 - share))
    places = [min(count - 1, max(0, place)) for place in (math.floor(count * share - width) - 1, math.ceil(count * share + width))]
    return float(np.quantile(ordered, share)), float(ordered[places[0]]), float(ordered[places[1]])


def _drift(reference: Reference | None, rows: pl.DataFrame, settings: MonitorCommandSettings) -> Iterator[tuple[str, Verdict | str]]:
    """The verdict on each kind, or why there is none."""
    if reference is None:
        return
    queries, items = (vectors_of(rows.filter(pl.col("kind") == kind)) for kind in (QUERY, ITEM))
    asked = rows.filter((pl.col("kind") == QUERY) & ~pl.col("filtered") & (pl.col("scores").list.len() > 0))
    best = asked["scores"].list.first().to_numpy().astype(np.float32)
    known = reference.scores[:, 0] if reference.scores.size else np.empty(0, np.float32)
    judged: dict[str, tuple[type[EmbeddingDrift | ScoreDrift], FloatArray, FloatArray]] = {
        "queries": (EmbeddingDrift, reference.queries, queries[_first(queries)]),
        "items": (EmbeddingDrift, reference.items, items[_first(items)]),
        "scores": (ScoreDrift, known[np.isfinite(known)], best[_first(vectors_of(asked))]),
    }
    for kind, (detector, norm, window) in judged.items():
        size = window_size(len(norm), settings.window)
        if size is None:
            yield kind, f"the reference holds {len(norm)}, too few"
        elif len(window) < size:
            yield kind, f"{len(window)} different ones were seen, {size} are needed"
        else:
            yield kind, detector(norm, size=size, level=settings.alarm.level / len(KINDS), resamples=RESAMPLES).judge(window)


def _ratios(judged: Verdict | str) -> dict[str, float]:
    return judged.ratios if isinstance(judged, Verdict) else {}


def _first(vectors: FloatArray) -> IntArray:
    """Places at which a vector came first: whoever asks the same again adds nothing to what is judged."""
    _, first = np.unique(np.round(vectors, 4), axis=0, return_index=True) if len(vectors) else (None, np.empty(0, np.int64))
    return np.sort(first)


def _drift_check(kind: str, judged: Verdict | str) -> MonitorCheck:
    name = f"drift of {kind}"
    if isinstance(judged, str):
        return MonitorCheck(name=name, state="too little", limit=1, text=judged)
    state: State = "alarm" if judged.alarm else "fine"
    return MonitorCheck(name=name, state=state, value=judged.statistic, limit=1, seen=judged.size, text=judged.told)


def _unknown(reference: Reference | None, queries: pl.DataFrame, limits: AlarmLimits) -> Iterator[MonitorCheck]:
    if reference is None or not len(reference.queries):
        return
    unknown, values = (round(queries[name].sum()) for name in ("own_unknown", "own_values"))
    bound = wilson(reference.unknown_share * len(reference.queries), len(reference.queries)).high
    name, seen = "unknown values", values
    if values < FEWEST_VALUES:
        yield MonitorCheck(name=name, state="too little", limit=bound, seen=seen, text=f"{FEWEST_VALUES} values are needed")
        return
    verdict, figure = judge_unknown(unknown, values, bound, limits.level / len(KINDS)), wilson(unknown, values)
    yield MonitorCheck(
        name=name,
        state="alarm" if verdict.alarm else "fine",
        value=figure.value,
        low=figure.low,
        high=figure.high,
        limit=bound,
        seen=seen,
        text=f"{figure.value:.2%} were asked with, {reference.unknown_share:.2%} in the reference; p = {verdict.p_value:.2g}",
    )


def _coverage(queries: pl.DataFrame, items: int) -> Iterator[MonitorCheck]:
    shown = queries["ids"].explode().n_unique()
    share = min(1.0, shown / max(1, items))  # what was deleted since had been shown
    yield MonitorCheck(name="coverage", value=share, seen=len(queries), text=f"{shown:,} items in the sample, of {items:,}")


def _age(part: str, created: str, now: float, limit: float | None) -> MonitorCheck:
    name, made = f"age of the {part}", moment(created)
    if made is None:
        return MonitorCheck(name=name, state="too little", text=f"it was made at {created!r}")
    days = (now - made) / DAY
    state: State = "alarm" if limit is not None and days > limit else "fine"
    return MonitorCheck(name=name, state=state, value=days, limit=limit, unit="days", text=f"made {iso(made)}")


def _changes(waiting: Sequence[Change], now: float) -> MonitorCheck:
    """Changes of the catalogue that the version's index does not contain."""
    name = "oldest change beside the index"
    if not waiting:
        return MonitorCheck(name=name, text="the index contains all changes")
    rows = sum(len(change.items) for change in waiting)
    deleted = sum(len(change.deleted) for change in waiting)
    days = (now - min(change.time for change in waiting)) / DAY
    return MonitorCheck(name=name, value=days, unit="days", seen=len(waiting), text=f"{rows:,} items written, {deleted:,} deleted since")


def _series(queries: pl.DataFrame) -> dict[str, list[float | str | None]]:
    """Percentiles and recall over time, in spans of equally many queries."""
    columns: dict[str, list[float | str | None]] = {name: [] for name in ("time", *QUANTILES, "recall", "recall_low", "recall_high")}
    step = max(1, math.ceil(len(queries) / POINTS))
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        columns["time"].append(iso(float(part["time"].to_numpy().mean())))
        seconds = part["total"].drop_nulls().to_numpy()
        for name, share in QUANTILES.items():
            columns[name].append(1000 * float(np.quantile(seconds, share)) if len(seconds) else None)
        figure, _ = _compared(part)
        columns["recall"].append(None if figure is None else figure.value)
        columns["recall_low"].append(None if figure is None else figure.low)
        columns["recall_high"].append(None if figure is None else figure.high)
    return columns
