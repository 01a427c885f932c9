"""Several objectives on the same towers: what was chosen, how it was rated, whether it was liked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from tt_hydra.contracts import Loss, LossFunction, LossOutput, Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.heads import Binary, Regression
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.loss.tiles import at_least_float32
from tt_hydra.loss.weighting import Weighting, weighting_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One objective.

    Attributes:
        kind: ``retrieval``: a loss over candidates; ``regression``: a column's value from the similarity of query and item, squared
            error; ``binary``: whether a column reaches a threshold, cross-entropy.
        loss: of a retrieval task.
        label: one of the data's label columns; rows without a value are left out. Retrieval: None for all rows.
        threshold: value that the label reaches in rows that are positive; retrieval takes only those. None for a binary label that is a
            probability itself.
        weight: fixed factor.
    """

    kind: Literal["retrieval", "regression", "binary"] = "retrieval"
    loss: Loss | None = None
    label: str | None = None
    threshold: float | None = None
    weight: float = 1.0

    def problem(self) -> str | None:
        """What is wrong with it, if anything."""
        if (self.kind == "retrieval") != (self.loss is not None):
            return "a retrieval task needs a loss" if self.loss is None else f"a {self.kind} task has a loss of its own; leave loss at null"
        if self.kind != "retrieval" and self.label is None:
            return f"a {self.kind} task needs a label, one of data's label columns"
        if self.kind == "retrieval" and (self.label is None) != (self.threshold is None):
            return "label and threshold go together: rows whose label reaches the threshold are positives"
        if self.kind == "regression" and self.threshold is not None:
            return "a regression task takes no threshold; kind=binary does"
        return None if self.weight > 0 else f"weight must be above 0, got {self.weight}"


def _one_task() -> Mapping[str, Task]:
    return {"retrieval": Task(loss=SampledSoftmax())}


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiTask:
    """Weighted sum of tasks, divided by the sum of their fixed weights.

    Attributes:
        tasks: by name.
        weighting: ``fixed``; ``uncertainty``: divided by a learned variance each (Kendall et al. 2018); ``gradient_norm``: inversely to
            the length of each task's gradient by the vectors, so that all pull equally.
    """

    tasks: Mapping[str, Task] = field(default_factory=_one_task)
    weighting: Literal["fixed", "uncertainty", "gradient_norm"] = "fixed"

    def __post_init__(self) -> None:
        if not any(task.kind == "retrieval" for task in self.tasks.values()):
            raise ConfigError("loss.tasks needs a task of kind=retrieval: labels alone do not teach what to find")
        for name, task in self.tasks.items():
            problem = f"{name!r} is no plain name" if not name.isidentifier() else task.problem()
            if problem is not None:
                raise ConfigError(f"loss.tasks.{name}: {problem}")

    @property
    def uses_temperature(self) -> bool:
        """Whether any task's loss does."""
        return any(task.loss is not None and task.loss.uses_temperature for task in self.tasks.values())

    @property
    def uses_log_q(self) -> bool:
        """Whether any task's loss does."""
        return any(task.loss is not None and task.loss.uses_log_q for task in self.tasks.values())

    def build(self) -> MultiTaskLoss:
        """A module that holds the tasks' losses, the scales of their labels and learned weights."""
        return MultiTaskLoss(self)


class MultiTaskLoss(nn.Module):
    """The tasks and their weights."""

    def __init__(self, spec: MultiTask) -> None:
        super().__init__()
        self._tasks = spec.tasks
        self._losses = {name: _function(task) for name, task in spec.tasks.items()}
        self.losses = nn.ModuleDict({name: loss for name, loss in self._losses.items() if isinstance(loss, nn.Module)})
        self.weighting: Weighting = weighting_of(spec.weighting, [task.kind == "regression" for task in spec.tasks.values()])

    def forward(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted sum. The figures beside it are those of the first retrieval task, effective negatives of the first that knows them.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: what the tasks' losses read, and the labels.
            temperature: scalar.

        Raises:
            ConfigError: the data names no such label.
        """
        queries, items = at_least_float32(queries), at_least_float32(items)
        seen = {name: _rows(name, task, targets) for name, task in self._tasks.items()}
        outputs = {name: loss(queries, items, seen[name], temperature) for name, loss in self._losses.items()}
        losses = torch.stack([output.loss for output in outputs.values()])
        present = torch.stack([(rows.weight > 0).any() for rows in seen.values()])
        learned, regulariser = self.weighting(losses, present, (queries, items))
        fixed = losses.new_tensor([task.weight for task in self._tasks.values()])
        total = (fixed * (learned * losses + regulariser) * present).sum() / fixed.sum()
        parts = {f"{name}/loss": output.loss.detach() for name, output in outputs.items()}
        parts |= {f"{name}/weight": each for name, each in zip(self._tasks, (fixed * learned).detach(), strict=True)}
        retrieval = [(outputs[name], task.loss) for name, task in self._tasks.items() if task.loss is not None]
        first, _ = retrieval[0]
        known = next((output for output, loss in retrieval if loss.uses_temperature), first)
        return dataclasses.replace(first, loss=total, effective_negatives=known.effective_negatives, parts={**first.parts, **parts})


def _function(task: Task) -> LossFunction:
    if task.kind == "retrieval":
        assert task.loss is not None
        return task.loss.build()
    assert task.label is not None
    return Regression(task.label) if task.kind == "regression" else Binary(task.label, task.threshold)


def _rows(name: str, task: Task, targets: Targets) -> Targets:
    """The targets in which only the rows that the task takes have a weight."""
    if task.label is None:
        return targets
    label = targets.labels.get(task.label)
    if label is None:
        known = ", ".join(targets.labels) or "none"
        raise ConfigError(f"loss.tasks.{name}.label={task.label} is no label of the data; it has {known}. Name it in the data's labels.")
    taken = label >= task.threshold if task.kind == "retrieval" and task.threshold is not None else ~torch.isnan(label)
    return dataclasses.replace(targets, weight=targets.weight * taken)
