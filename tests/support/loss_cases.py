"""Cases for tests of losses: targets from dense matrices, and the plain way to compute what the losses compute by tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tt_hydra.component import instantiate
from tt_hydra.config.check import check
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.contracts import Loss, OwnNegatives, Targets


def options() -> dict[str, Loss]:
    """Every option of ``conf/loss`` as the command line composes it."""
    folder = Path(__file__).resolve().parents[2] / "conf" / "loss"
    return {path.stem: option(path.stem) for path in sorted(folder.glob("*.yaml"))}


def option(name: str) -> Loss:
    config, problems = compose(make_loader(), "run", [f"loss={name}"])
    assert not problems
    return instantiate(check(config, COMMANDS["run"], (), {"runtime.run_dir": "."}).spec["loss"], object)


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


def negatives_of(targets: Targets) -> Tensor:
    """``(batch, items)`` bool, which candidates are negatives."""
    return ~excluded_of(targets).scatter(1, targets.positive[:, None], True)


def own_of(owns: Tensor, teacher: Tensor) -> OwnNegatives:
    """Own negatives from dense matrices."""
    query, column = owns.nonzero().unbind(1)
    return OwnNegatives(query, column, teacher[query, column])


def rearranged(targets: Targets, rows: Tensor, columns: Tensor) -> Targets:
    """The targets of some rows in another order, and of all columns in another order."""
    batch, items = len(targets.positive), len(targets.origin)
    owns, teacher = torch.zeros(batch, items, dtype=torch.bool), torch.zeros(batch, items)
    place = targets.own.query, targets.own.column
    owns[place], teacher[place] = True, targets.own.teacher
    return dataclasses.replace(
        targets,
        positive=torch.argsort(columns)[targets.positive[rows]],
        known=excluded_of(targets)[rows][:, columns].nonzero(),
        origin=targets.origin[columns],
        log_q=targets.log_q[columns],
        own=own_of(*(each[rows][:, columns] for each in (owns, teacher))),
        weight=targets.weight[rows],
        teacher=targets.teacher[rows],
        labels={name: value[rows] for name, value in targets.labels.items()},
    )


@dataclasses.dataclass
class Case:
    queries: Tensor
    items: Tensor
    targets: Targets


def random_case(batch: int, items: int = 11, dim: int = 5) -> Case:
    """Exclusions, weights, sampling probabilities, own negatives, a teacher's scores and a label, some of them missing."""
    generator = torch.Generator().manual_seed(7)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    queries, vectors = torch.randn(batch, dim, generator=generator), torch.randn(items, dim, generator=generator)
    positive = torch.randint(0, items // 2 + 1, (batch,), generator=generator)
    excluded = uniform(batch, items) < 0.3
    excluded[torch.arange(batch), positive] = False
    teacher = torch.where(uniform(batch, items) < 0.1, torch.nan, 4 * uniform(batch, items))
    owns = (uniform(batch, items) < 0.5).scatter(1, positive[:, None], False)
    targets = targets_of(
        positive,
        excluded,
        -uniform(items) * 5,
        uniform(batch) + 0.1,
        own=own_of(owns, teacher),
        teacher=torch.where(uniform(batch) < 0.1, torch.nan, 5 * uniform(batch)),
        labels={"rating": torch.where(uniform(batch) < 0.2, torch.nan, (5 * uniform(batch)).round())},
    )
    return Case(queries, vectors, targets)


Rows = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""A loss written down densely: from ``(batch, items)`` similarities over the temperature, the positives' ``(batch,)``, which candidates are
negatives, and sampling probabilities, to ``(batch,)`` losses."""


def dense(rows: Rows, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
    """The weighted mean over the rows that have a negative, through the graph of dense matrices."""
    scores, negative = queries @ items.T / temperature, negatives_of(targets)
    kept = negative.any(dim=1)
    offset = targets.log_q.to(scores).expand(len(queries), -1)
    losses = rows(scores[kept], scores.gather(1, targets.positive[:, None])[kept, 0], negative[kept], offset[kept])
    weight = targets.weight.to(scores)[kept]
    return (weight * losses).sum() / weight.sum()


def relative_error(got: Tensor, exact: Tensor) -> float:
    return ((got.double() - exact.double()).norm() / exact.double().norm().clamp(min=1e-12)).item()


def errors_against(loss: Loss, plain: Callable[[Tensor, Tensor, Targets, Tensor], Tensor], chunk_size: int | None = 1) -> list[float]:
    """Relative errors of value and gradients (queries, items, temperature) in float32 by tiles, against ``plain`` in float64."""
    case = random_case(200, items=90, dim=24)
    unit = [torch.nn.functional.normalize(side, dim=1) for side in (case.queries, case.items)]
    spec = loss if chunk_size is None else dataclasses.replace(loss, chunk_size=chunk_size)  # type: ignore[type-var]
    values, gradients = [], []
    for function, kind in ((spec.build(), torch.float32), (plain, torch.float64)):
        inputs = [side.to(kind).detach().requires_grad_() for side in (*unit, torch.tensor(0.1))]
        result = function(inputs[0], inputs[1], case.targets, inputs[2])
        value = result if isinstance(result, Tensor) else result.loss
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value, inputs, materialize_grads=True))
    return [relative_error(*pair) for pair in [(values[0], values[1]), *zip(*gradients, strict=True)]]
