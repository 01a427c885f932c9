"""Targets for tests of losses, from a dense matrix of exclusions."""

from __future__ import annotations

import torch
from torch import Tensor

from tt_hydra.contracts import Targets


def targets_of(positive: Tensor, excluded: Tensor, log_q: Tensor | None = None, weight: Tensor | None = None, **others: object) -> Targets:
    """Targets whose known pairs are the excluded ones."""
    given = {name: value for name, value in {"log_q": log_q, "weight": weight}.items() if value is not None}
    return Targets.plain(positive, excluded.shape[1], known=excluded.nonzero(), **given, **others)


def open_targets(positive: Tensor, items: int, **others: object) -> Targets:
    """Targets without exclusions."""
    return targets_of(positive, torch.zeros(len(positive), items, dtype=torch.bool), **others)


def excluded_of(targets: Targets) -> Tensor:
    """The dense matrix again."""
    return targets.excluded(slice(0, len(targets.positive)))
