"""The command line: ``python -m tt_hydra [COMMAND] [overrides]``."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tt_hydra.artifact.files import disk_errors
from tt_hydra.config.arguments import Call, quote, understand
from tt_hydra.config.build import build
from tt_hydra.config.changed import changed
from tt_hydra.config.check import Checked, check
from tt_hydra.config.commands import COMMANDS, PATHS, RUN_DIR, RUNS, TEXTS, misplaced, strangers
from tt_hydra.config.compose import VERSION_BASE, compose, jobs_of, make_loader
from tt_hydra.config.environment import environment
from tt_hydra.config.overrides import message
from tt_hydra.config.paths import config_dir
from tt_hydra.config.problems import refuse
from tt_hydra.config.rules import RUN_RULES
from tt_hydra.config.summary import summary
from tt_hydra.errors import ConfigError, TTHydraError, interruption
from tt_hydra.process import TERMINATED, Terminated, own_folder, prepare, quieten_follower, run_job
from tt_hydra.train.rank import by_torchrun

FULL_ERROR = "HYDRA_FULL_ERROR"
REFUSED, INTERRUPTED = 2, 130

FILE_WIDTH = 160
"""Columns of tables that do not go to a terminal."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


def main() -> None:
    """Does what the command line says and exits: 0 done, 1 a fault of ours (traceback), 2 refused, 130 interrupted, 143 terminated."""
    prepare()
    sys.exit(status(sys.argv[1:]))


def status(arguments: Sequence[str]) -> int:
    """Does what a command line says.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The process's exit status.
    """
    wants_traceback = os.environ.get(FULL_ERROR) == "1"
    typed = shlex.join(["python", "-m", "tt_hydra", *arguments])
    try:
        return _do(understand(arguments, COMMANDS, TEXTS, PATHS), typed)
    except (TTHydraError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        print(f"error: {error if isinstance(error, TTHydraError) else message(error)}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except BaseException as stop:
        interrupt = interruption(stop)
        if interrupt is None:
            raise
        print(f"\ninterrupted; to go on from here: {typed}", file=sys.stderr)
        return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


@dataclass(slots=True)
class Context:
    """What a command's jobs share.

    Attributes:
        results: one line for each job of a ``--multirun``: its overrides and its figures, or why it was refused.
        refusal: the error of a single job.
        started: whether Hydra has made the folder of a job and called it.
    """

    call: Call
    typed: str
    loader: ConfigLoaderImpl
    results: list[tuple[list[str], Mapping[str, float] | str]] = field(default_factory=list)
    refusal: TTHydraError | None = None
    started: bool = False

    @property
    def multirun(self) -> bool:
        """Whether this is one job of several."""
        return HydraConfig.get().mode == RunMode.MULTIRUN


def _do(call: Call, typed: str) -> int:
    context = Context(call, typed, make_loader(call.folders))
    if not (call.flags.help or call.flags.hydra_help or call.flags.shell_completion):
        _refuse_mistakes(context)
    if call.flags.multirun and by_torchrun():
        raise ConfigError("torchrun starts the processes of one training: leave --multirun out, or start each job by itself")

    def task(config: DictConfig) -> None:
        context.started = True
        _job(config, context)

    with own_folder() as moved, environment(FULL_ERROR, "1"):  # Hydra hands errors on instead of printing them
        sys.argv[1:] = [*call.argv, *moved]
        try:
            hydra.main(version_base=VERSION_BASE, config_path=str(config_dir()), config_name=call.command)(task)()
        except OSError as error:
            if context.started:
                raise
            where = "set TT_HYDRA_OUTPUTS (or hydra.run.dir) to a folder that can be written"
            raise TTHydraError(f"the folder of the run cannot be made: {error}; {where}") from error
    if context.refusal is not None:
        raise context.refusal
    if context.results:
        _show_jobs(context.results)
    return REFUSED if any(isinstance(found, str) for _, found in context.results) else 0


def _refuse_mistakes(context: Context) -> None:
    """Refuses, before a folder is made, what no job can do; a mistake of one job of several is left to that job."""
    call = context.call
    inspecting = call.flags.cfg is not None or call.flags.info is not None
    found = []
    for overrides in jobs_of(context.loader, call.overrides) if call.flags.multirun else [list(call.overrides)]:
        config, problems = compose(context.loader, call.command, overrides)
        told = {problem.path for problem in problems}
        problems += [problem for problem in misplaced(call.command, overrides) if problem.path not in told]
        checked = _checked(config, call.command, ".")
        found.append(problems if inspecting else [*problems, *checked.problems])
    refuse([problem for problem in found[0] if all(problem in others for others in found)])
    if len(found) == 1 and not inspecting:
        build(checked, object)


def _checked(config: DictConfig, command: str, run_dir: str) -> Checked:
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key not in strangers(command)])
    given = {RUN_DIR[command]: run_dir} if command in RUN_DIR else {}
    return check(config, COMMANDS[command], RUN_RULES if command in RUNS else (), given)


def _job(config: DictConfig, context: Context) -> None:
    before = os.environ.pop(FULL_ERROR, None)
    quieten_follower()
    overrides = list(HydraConfig.get().overrides.task)
    try:
        execute = _in_own_process if context.multirun and _devices(config) > 1 else EXECUTE[context.call.command]
        with disk_errors(Path(HydraConfig.get().runtime.output_dir), context.call.command, TTHydraError):
            result = execute(config, context)
        if context.multirun:
            context.results.append((overrides, result or {}))
    except TTHydraError as error:
        if not context.multirun:
            context.refusal = error
        else:
            logger.error("%s", error)
            context.results.append((overrides, str(error)))
    finally:
        if before is not None:
            os.environ[FULL_ERROR] = before


def _in_own_process(config: DictConfig, context: Context) -> Mapping[str, float]:
    """One job of a ``--multirun`` on several devices: Lightning re-runs the command line in every rank, so it must be the job's own."""
    hydra_node = HydraConfig.get()
    folders = [f"--config-dir={folder}" for folder in context.call.folders]
    moved = [f"hydra.run.dir={quote(hydra_node.runtime.output_dir)}", "runtime.set_latest=false"]
    command = [sys.executable, "-m", "tt_hydra", *folders, *hydra_node.overrides.task, *moved]
    status = run_job(command)
    if status:
        raise TTHydraError(f"the job ended with status {status}: {shlex.join(command)}")
    metrics: dict[str, float] = json.loads(Path(hydra_node.runtime.output_dir, "metrics.json").read_text(encoding="utf-8"))
    return metrics


def _settings(config: DictConfig, context: Context, expected: type[T]) -> T:
    checked = _checked(config, context.call.command, HydraConfig.get().runtime.output_dir)
    refuse(checked.problems)
    for problem in checked.problems:
        logger.warning("%s", problem)
    return build(checked, expected)


def _run(config: DictConfig, context: Context) -> Mapping[str, float]:
    from tt_hydra.pipeline.run import run  # noqa: PLC0415
    from tt_hydra.pipeline.settings import RunSettings  # noqa: PLC0415
    from tt_hydra.report.summary import summary_table  # noqa: PLC0415

    if context.multirun:
        config.runtime.set_latest = False
    settings = _settings(config, context, RunSettings)
    differing = changed(context.loader, context.call.command, config, HydraConfig.get().runtime.choices)
    result = run(settings, command=context.typed, changed=differing)
    _show(summary_table(result.metrics, ", ".join(f"{key}={value}" for key, (_, value) in differing.items()) or "default settings"))
    print(f"{result.run_dir}/report.html")
    return result.metrics


def _check(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.selftest import asked_for, lines  # noqa: PLC0415
    from tt_hydra.pipeline.settings import RunSettings  # noqa: PLC0415

    settings = _settings(config, context, RunSettings)
    told = summary(_checked(config, context.call.command, "").spec)
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
    _show(summary_table(metrics, f"bundle {settings.bundle}"))
    print(settings.run_dir / "metrics.json")
    return metrics


def _store(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.store import StoreSettings, clean_up, stored  # noqa: PLC0415
    from tt_hydra.report.listings import entry_table  # noqa: PLC0415

    settings = _settings(config, context, StoreSettings)
    if settings.clean:
        cleaning = clean_up(settings)
        _show(entry_table(cleaning.removed))
        kept = f"; {len(cleaning.in_use)} in use and kept" if cleaning.in_use else ""
        print(f"{'would remove' if cleaning.dry_run else 'removed'} {len(cleaning.removed)} entries, {cleaning.bytes / 1e6:.1f} MB{kept}")
    else:
        found = stored(settings)
        _show(entry_table(found))
        print(f"{len(found)} entries, {sum(entry.bytes for entry in found) / 1e6:.1f} MB in {settings.outputs / 'store'}")


def _export(config: DictConfig, context: Context) -> None:
    from tt_hydra.pipeline.export import ExportSettings, export  # noqa: PLC0415
    from tt_hydra.report.exports import export_table  # noqa: PLC0415

    exported = export(_settings(config, context, ExportSettings))
    _show(export_table(exported))
    print(exported.path)


EXECUTE: dict[str, Callable[[DictConfig, Context], Mapping[str, float] | None]] = {
    "run": _run,
    "check": _check,
    "search": _search,
    "embed": _embed,
    "evaluate": _evaluate,
    "store": _store,
    "export": _export,
}


def _devices(config: DictConfig) -> int:
    devices = config.get("train", {}).get("devices", 1)
    return devices if isinstance(devices, int) else 1


def _show_jobs(results: Sequence[tuple[list[str], Mapping[str, float] | str]]) -> None:
    from tt_hydra.report.listings import job_table  # noqa: PLC0415

    _show(job_table(results))


def _show(renderable: object) -> None:
    from rich.console import Console  # noqa: PLC0415

    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(renderable)
