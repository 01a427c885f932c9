"""``sweep.automatic``: what the data proposes to a study, and the values that a study tries first."""

from __future__ import annotations

import logging
from typing import Any

from omegaconf import DictConfig, open_dict

from tt_hydra.commands import checked
from tt_hydra.config.build import build
from tt_hydra.config.problems import Problem, refuse
from tt_hydra.sweep.settings import USUAL
from tt_hydra.sweep.space import Space
from tt_hydra.sweep.starts import start_of

logger = logging.getLogger(__name__)


def propose(config: DictConfig, command: str, node: dict[str, Any]) -> None:
    """Adds to a ``sweep`` node what the data proposes; what the node names itself stands."""
    from tt_hydra.pipeline.profile import profile  # noqa: PLC0415  # loads torch
    from tt_hydra.pipeline.settings import RunSettings  # noqa: PLC0415
    from tt_hydra.sweep import automatic  # noqa: PLC0415

    plain = config.copy()
    with open_dict(plain):
        plain.pop("hydra", None)
    found = checked(plain, command, ".")
    refuse(found.problems)
    proposal = automatic.propose(profile(build(found, RunSettings)))
    node["space"] = {**proposal.space, **(node.get("space") or {})}
    node["fixed"] = [*(node.get("fixed") or ()), *proposal.fixed]
    node["starts"] = [*(node.get("starts") or ()), *({**start} for start in proposal.starts)]
    if proposal.objectives and tuple(node["objectives"]) == USUAL:
        node["objectives"] = list(proposal.objectives)
    for key, why in proposal.reasons.items():
        logger.info("sweep=auto: %s: %s", key, why)


def starts(space: Space, node: dict[str, Any]) -> list[Problem]:
    """What is wrong with the values that are tried first; proposed ones give way to a narrower space."""
    problems, kept = [], []
    for start in node.get("starts") or ():
        try:
            start_of(space, start)
            kept.append(start)
        except ValueError as error:
            if node.get("automatic"):
                kept.append({key: value for key, value in start.items() if _fits(space, key, value)})
            else:
                problems.append(Problem("sweep.starts", str(error)))
    node["starts"] = kept
    return problems


def _fits(space: Space, key: str, value: Any) -> bool:
    try:
        start_of(space, {key: value})
    except ValueError:
        return False
    return True
