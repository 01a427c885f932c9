"""What each command does once its configuration is composed: build its settings, call its use case, show what came out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tt_hydra.config.arguments import Call
from tt_hydra.config.build import build
from tt_hydra.config.changed import changed
from tt_hydra.config.check import Checked, check
from tt_hydra.config.commands import COMMANDS, RUN_DIR, RUNS, strangers
from tt_hydra.config.paths import OwnOptions, config_dir
from tt_hydra.config.problems import refuse
from tt_hydra.config.rules import RUN_RULES
from tt_hydra.config.summary import summary
from tt_hydra.errors import TTHydraError
from tt_hydra.sweep.current import is_trial, watcher

FILE_WIDTH = 160
"""Columns of tables that do not go to a terminal."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class Context:
    """What a command's jobs share.

    Attributes:
        results: one line for each job of a ``--multirun``: its overrides and its figures, or why it was refused.
        refusal: the error of a single job.
        started: whether Hydra has made the folder of a job and called it.
        study: whether the jobs are trials, whose figures and errors go to their study.
        status: exit status of a job that did what it was told.
    """

    call: Call
    typed: str
    loader: ConfigLoaderImpl
    results: list[tuple[list[str], Mapping[str, float] | str]] = field(default_factory=list)
    refusal: TTHydraError | None = None
    started: bool = False
    study: bool = False
    status: int = 0

    @property
    def multirun(self) -> bool:
        """Whether this is one job of several."""
        return HydraConfig.get().mode == RunMode.MULTIRUN


def checked(config: DictConfig, command: str, run_dir: str) -> Checked:
    """A command's configuration, held against the settings that it fills."""
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key not in strangers(command)])
    given = {RUN_DIR[command]: run_dir} if command in RUN_DIR else {}
    return check(config, COMMANDS[command], RUN_RULES if command in RUNS else (), given)


def _settings(config: DictConfig, context: Context, expected: type[T]) -> T:
    found = checked(config, context.call.command, HydraConfig.get().runtime.output_dir)
    refuse(found.problems)
    for problem in () if is_trial() else found.problems:
        logger.warning("%s", problem)
    return build(found, expected)


def _run(config: DictConfig, context: Context) -> Mapping[str, float]:
    from tt_hydra.pipeline.run import run  # noqa: PLC0415
    from tt_hydra.pipeline.settings import RunSettings  # noqa: PLC0415
    from tt_hydra.report.summary import summary_table  # noqa: PLC0415

    if context.multirun:
        config.runtime.set_latest = False
    settings = _settings(config, context, RunSettings)
    told = settings.runtime.report or not is_trial()
    differing = _differing(config, context) if told else {}
    watch = watcher()
    result = run(settings, command=context.typed, changed=differing, watch=watch)
    if watch is not None:
        watch.remember(result.curve)
    if is_trial():
        return result.metrics
    show(summary_table(result.metrics, ", ".join(f"{key}={value}" for key, (_, value) in differing.items()) or "default settings"))
    print(f"{result.run_dir}/report.html")
    return result.metrics


def _differing(config: DictConfig, context: Context) -> dict[str, tuple[Any, Any]]:
    hydra_node = HydraConfig.get()
    return changed(context.loader, context.call.command, config, hydra_node.runtime.choices, OwnOptions.of(hydra_node).overrides())


def _check(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.selftest import asked_for, lines  # noqa: PLC0415
    from tt_hydra.pipeline.settings import RunSettings  # noqa: PLC0415

    settings = _settings(config, context, RunSettings)
    told = summary(checked(config, context.call.command, "").spec)
    if asked_for(context.call.overrides):
        told += [("self-test", line) for line in lines(settings.loss, settings.negatives)]
    for name, text in told:
        print(f"{name:12} {text}")
    print("ok")


def _search(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.search import SearchSettings, search, trec_lines, write_answers  # noqa: PLC0415

    settings = _settings(config, context, SearchSettings)
    answers = search(settings)
    if settings.search.output is not None:
        count = write_answers(answers, Path(settings.search.output))
        logger.info("%d queries answered: %s", count, settings.search.output)
        return
    for answer in answers:
        if settings.search.input is not None:
            print(*trec_lines(answer), sep="\n")
        else:
            print(*(f"{hit.rank}\t{hit.id}\t{hit.score:.6f}\t{' '.join(hit.title.split())}" for hit in answer.hits), sep="\n")


def _embed(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.embed import EmbedSettings, embed  # noqa: PLC0415

    written = embed(_settings(config, context, EmbedSettings))
    print(f"{written.path}\t{written.rows} x {written.dim}")


def _evaluate(config: DictConfig, context: Context) -> Mapping[str, float]:
    from tt_hydra.pipeline.evaluate import EvaluateBundleSettings, evaluate  # noqa: PLC0415
    from tt_hydra.report.summary import summary_table  # noqa: PLC0415

    settings = _settings(config, context, EvaluateBundleSettings)
    metrics = evaluate(settings)
    show(summary_table(metrics, f"bundle {settings.bundle}"))
    print(settings.run_dir / "metrics.json")
    return metrics


def _store(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.store import StoreSettings, clean_up, stored  # noqa: PLC0415
    from tt_hydra.report.listings import entry_table  # noqa: PLC0415

    settings = _settings(config, context, StoreSettings)
    if settings.clean:
        cleaning = clean_up(settings)
        show(entry_table(cleaning.removed))
        kept = f"; {len(cleaning.in_use)} in use and kept" if cleaning.in_use else ""
        print(f"{'would remove' if cleaning.dry_run else 'removed'} {len(cleaning.removed)} entries, {cleaning.bytes / 1e6:.1f} MB{kept}")
    else:
        found = stored(settings)
        show(entry_table(found))
        print(f"{len(found)} entries, {sum(entry.bytes for entry in found) / 1e6:.1f} MB in {settings.outputs / 'store'}")


def _export(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.export import ExportSettings, export  # noqa: PLC0415
    from tt_hydra.report.exports import export_table  # noqa: PLC0415

    exported = export(_settings(config, context, ExportSettings))
    show(export_table(exported))
    print(exported.path)


def _versions(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.versions import VersionsSettings, versions  # noqa: PLC0415
    from tt_hydra.report.listings import version_table  # noqa: PLC0415

    found = versions(_settings(config, context, VersionsSettings))
    show(version_table(found.versions, found.current, found.previous))
    removed = f"; removed {', '.join(map(str, found.removed))}" if found.removed else ""
    print(f"{len(found.versions)} versions in {found.folder}{removed}")


def _monitor(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.monitor import ALARM, MonitorCommandSettings, monitor  # noqa: PLC0415
    from tt_hydra.report.monitor import monitor_table  # noqa: PLC0415

    settings = _settings(config, context, MonitorCommandSettings)
    if settings.rules is not None:
        from tt_hydra.monitor.rules import write_rules  # noqa: PLC0415

        print(*write_rules(Path(settings.rules), settings.alarm), sep="\n")
        return
    found = monitor(settings, context.typed)
    show(monitor_table(found))
    print(settings.run_dir / "monitor.html")
    context.status = ALARM if found.alarm else 0


def _serve(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.serve import ServeSettings, serve  # noqa: PLC0415

    serve(_settings(config, context, ServeSettings), lambda address: print(f"serving at {address}", flush=True))


def _update(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.update import UpdateSettings, update  # noqa: PLC0415

    done = update(_settings(config, context, UpdateSettings))
    unknown = f"; {len(done.unknown)} unknown ids were to be deleted, the first is {done.unknown[0]!r}" if done.unknown else ""
    print(f"wrote {done.upserted} items, deleted {done.deleted}{unknown}; change {done.sequence} of {done.folder}")
    made = "" if done.reason is None else f", built anew: {done.reason}"
    print(f"version {done.version.number}, {done.version.manifest.num_items:,} items in its index{made}")


def _init(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.init import InitSettings, init  # noqa: PLC0415

    written = init(_settings(config, context, InitSettings), [path.stem for path in (config_dir() / "data").glob("*.yaml")])
    print(f"{written.path}: read it before you run it; each line says what was seen")
    if written.questions:
        print(f"to be answered first, in that file: {', '.join(written.questions)}")
    print(written.command)


def _compare(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.compare import CompareSettings, compare  # noqa: PLC0415
    from tt_hydra.report.compare import comparison_table  # noqa: PLC0415

    settings = _settings(config, context, CompareSettings)
    show(comparison_table(compare(settings, context.typed)))
    print(settings.run_dir / "compare.html")


EXECUTE: dict[str, Callable[[DictConfig, Context], Mapping[str, float] | None]] = {
    "run": _run,
    "check": _check,
    "search": _search,
    "embed": _embed,
    "evaluate": _evaluate,
    "store": _store,
    "export": _export,
    "compare": _compare,
    "init": _init,
    "monitor": _monitor,
    "serve": _serve,
    "update": _update,
    "versions": _versions,
}


def show(renderable: object) -> None:
    """Prints a table."""
    from rich.console import Console  # noqa: PLC0415

    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(renderable)
