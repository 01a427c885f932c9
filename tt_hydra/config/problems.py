"""One thing that is wrong with a configuration, and the nearest right name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tt_hydra.errors import ConfigError

SHOWN_NAMES = 20
NO_NEGATIVES = (
    "accumulated gradients add no negatives: train.batch_size is the effective batch, all of whose items are negatives, and "
    "train.micro_batch_size bounds the memory that it takes"
)
KNOWN_ELSEWHERE = dict.fromkeys(("accumulate_grad_batches", "gradient_accumulation_steps", "accumulation_steps"), NO_NEGATIVES)
"""Keys of other trainers that have no counterpart here, and why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What stands at a dotted path and why it cannot (or, as a warning, should not) stand there."""

    path: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest to a misspelt one, or None where none is close."""
    names = list(known)
    folded = {_fold(other): other for other in reversed(names)}
    match = difflib.get_close_matches(_fold(name), list(folded), n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, what to use instead, or the names there are where none is close."""
    if name in KNOWN_ELSEWHERE:
        return f"; {KNOWN_ELSEWHERE[name]}"
    names = sorted(set(known))
    match = nearest(name, names)
    if match is not None:
        return f"; did you mean {match!r}?"
    shown = ", ".join(names[:SHOWN_NAMES]) + (" ..." if len(names) > SHOWN_NAMES else "")
    return f"; there are {shown}" if names else ""


def refuse(problems: Sequence[Problem]) -> None:
    """Raises one ConfigError that lists every problem which is no warning, if there is one."""
    errors = list(dict.fromkeys(str(problem) for problem in problems if not problem.warning))
    if len(errors) == 1:
        raise ConfigError(errors[0])
    if errors:
        raise ConfigError("\n  ".join([f"{len(errors)} problems in the configuration", *errors]))


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")
