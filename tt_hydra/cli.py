"""The command line: ``python -m tt_hydra [COMMAND] [overrides]``."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tt_hydra import __version__
from tt_hydra.artifact.files import disk_errors, path_errors
from tt_hydra.commands import EXECUTE, Context, checked, show
from tt_hydra.config.arguments import Call, as_typed, quote, understand
from tt_hydra.config.build import build
from tt_hydra.config.commands import COMMANDS, PATHS, TEXTS, misplaced
from tt_hydra.config.compose import VERSION_BASE, compose, jobs_of, make_loader
from tt_hydra.config.environment import environment
from tt_hydra.config.overrides import message
from tt_hydra.config.paths import OwnOptions, config_dir
from tt_hydra.config.problems import Problem, refuse
from tt_hydra.errors import ConfigError, TTHydraError, interruption
from tt_hydra.process import TERMINATED, Terminated, own_folder, prepare, quieten_follower, run_job, understood
from tt_hydra.searches import examine, is_study, search_of, unread
from tt_hydra.train.rank import by_torchrun

FULL_ERROR = "HYDRA_FULL_ERROR"
REFUSED, INTERRUPTED = 2, 130

logger = logging.getLogger(__name__)


def main() -> None:
    """Does what the command line says and exits.

    0 done, 1 a fault of ours (traceback), 2 refused, 3 ``monitor`` found an alarm, 130 interrupted, 143 terminated.
    """
    prepare()
    sys.exit(status(sys.argv[1:]))


def status(arguments: Sequence[str]) -> int:
    """Does what a command line says.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The process's exit status.
    """
    if "--version" in arguments:
        print(f"tt_hydra {__version__}")
        return 0
    wants_traceback = os.environ.get(FULL_ERROR) == "1"
    reread = understood()
    typed = shlex.join(["python", "-m", "tt_hydra", *(as_typed(arguments, TEXTS, PATHS) if reread else arguments)])
    try:
        return _do(understand(arguments, COMMANDS, () if reread else TEXTS, () if reread else PATHS), typed)
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
        again = " ".join([typed, *getattr(interrupt, "__notes__", ())])
        print(f"\ninterrupted; to go on from here: {again}", file=sys.stderr)
        return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def _do(call: Call, typed: str) -> int:
    context = Context(call, typed, make_loader(call.folders))
    if not (call.flags.help or call.flags.hydra_help or call.flags.shell_completion):
        _refuse_mistakes(context)
    if call.flags.multirun and by_torchrun():
        raise ConfigError("torchrun starts the processes of one training: leave --multirun out, or start each job by itself")

    def task(config: DictConfig) -> Mapping[str, float] | None:
        context.started = True
        return _job(config, context)

    with own_folder() as moved, environment(FULL_ERROR, "1"):  # Hydra hands errors on instead of printing them
        sys.argv[1:] = [*context.call.argv, *moved]
        try:
            hydra.main(version_base=VERSION_BASE, config_path=str(config_dir()), config_name=call.command)(task)()
        except OSError as error:
            if context.started or isinstance(error, HydraException):
                raise
            where = "set TT_HYDRA_OUTPUTS (or hydra.run.dir) to a folder that can be written"
            raise TTHydraError(f"the folder of the run cannot be made: {error}; {where}") from error
    if context.refusal is not None:
        raise context.refusal
    if context.results:
        _show_jobs(context.results)
    return REFUSED if any(isinstance(found, str) for _, found in context.results) else context.status


def _refuse_mistakes(context: Context) -> None:
    """Refuses, before a folder is made, what no job can do, and what Hydra cannot compose: it composes all jobs before the first.

    Another mistake of one job of several is left to that job.
    """
    call = context.call
    inspecting = call.flags.cfg is not None or call.flags.info is not None
    if call.flags.multirun and is_study(context.loader, call.command, call.overrides):
        context.study = True
        _refuse_study(context)
        return
    composed, found = [], []
    for overrides in jobs_of(context.loader, call.overrides) if call.flags.multirun else [list(call.overrides)]:
        config, problems = compose(context.loader, call.command, overrides)
        told = {problem.path for problem in problems}
        problems += [problem for problem in misplaced(call.command, overrides) if problem.path not in told]
        node = checked(config, call.command, ".")
        composed += problems
        found.append([] if inspecting else node.problems)
    refuse([*composed, *(problem for problem in found[0] if all(problem in others for others in found))])
    if len(found) == 1 and not inspecting:
        build(node, object)
    if not (call.flags.multirun or inspecting):
        _warn(unread(context.loader, call.command, call.overrides))


def _refuse_study(context: Context) -> None:
    """Refuses what no trial of a study can work with; tells what some cannot; adds what the sweep fixes to the command line."""
    call = context.call
    search, problems = search_of(context.loader, call.command, call.overrides)
    refuse(problems)
    doubts = examine(context.loader, call.command, search)
    refuse(doubts)
    _warn(doubts)
    context.call = replace(call, overrides=(*search.fixed, *call.overrides))  # Hydra composes what the sweep's options take, too


def _warn(problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def _job(config: DictConfig, context: Context) -> Mapping[str, float] | None:
    before = os.environ.pop(FULL_ERROR, None)
    quieten_follower()
    overrides = list(HydraConfig.get().overrides.task)
    try:
        execute = _in_own_process if context.multirun and _devices(config) > 1 else EXECUTE[context.call.command]
        command = context.call.command
        with path_errors(command, TTHydraError), disk_errors(_outputs(config), command, TTHydraError):
            result = execute(config, context)
        if context.multirun and not context.study:
            context.results.append((overrides, result or {}))
        return result
    except TTHydraError as error:
        if context.study:
            raise
        if not context.multirun:
            context.refusal = error
        else:
            logger.error("%s", error)
            context.results.append((overrides, str(error)))
        return None
    finally:
        if before is not None:
            os.environ[FULL_ERROR] = before


def _outputs(config: DictConfig) -> Path:
    """The folder that TT_HYDRA_OUTPUTS moves: advice to move it helps with nothing that lies elsewhere."""
    given = OmegaConf.select(config, "runtime.outputs") or OmegaConf.select(config, "outputs")
    return Path(str(given or os.environ.get("TT_HYDRA_OUTPUTS", "outputs")))


def _in_own_process(config: DictConfig, context: Context) -> Mapping[str, float]:
    """One job of a ``--multirun`` on several devices: Lightning re-runs the command line in every rank, so it must be the job's own."""
    hydra_node = HydraConfig.get()
    moved = [f"hydra.run.dir={quote(hydra_node.runtime.output_dir)}", "runtime.set_latest=false"]
    command = [sys.executable, "-m", "tt_hydra", *OwnOptions.of(hydra_node).words(), *hydra_node.overrides.task, *moved]
    status = run_job(command)
    if status:
        raise TTHydraError(f"the job ended with status {status}: {shlex.join(as_typed(command, TEXTS, PATHS))}")
    metrics: dict[str, float] = json.loads(Path(hydra_node.runtime.output_dir, "metrics.json").read_text(encoding="utf-8"))
    return metrics


def _devices(config: DictConfig) -> int:
    devices = config.get("train", {}).get("devices", 1)
    return devices if isinstance(devices, int) else 1


def _show_jobs(results: Sequence[tuple[list[str], Mapping[str, float] | str]]) -> None:
    from tt_hydra.report.listings import job_table  # noqa: PLC0415

    show(job_table(results))
