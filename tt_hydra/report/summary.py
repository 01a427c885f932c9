"""The run's figures as a table for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tt_hydra.report import figures, losses
from tt_hydra.report.figures import MISSING, SPLITS, Figure, Metrics


def summary_table(metrics: Metrics, title: str = "") -> RenderableType:
    """Quality with intervals, what the index keeps, latency, bytes and stages; fits terminals of 44 columns and more.

    Args:
        metrics: the run's flat figures under the keys of ``metrics.json``.
        title: what ran.
    """
    parts: list[RenderableType] = [Text(title, style="bold")] if title else []
    parts += [_quality(metrics, split) for split in figures.splits(metrics) if figures.quality(metrics, split)]
    costs = _costs(metrics)
    return Group(*parts, costs) if costs.row_count else Group(*parts)


def _quality(metrics: Metrics, split: str) -> Table:
    rows = figures.quality(metrics, split)
    with_index = any(row.index for row in rows)
    table = Table(title=SPLITS[split], title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold")
    if with_index:
        table.add_column("index", overflow="fold")
    for row in rows:
        found = [_share(row.model), _share(row.index)] if with_index else [_share(row.model)]
        table.add_row(row.name, *found, style="bold" if row.name == figures.HEADLINE[0] else None)
    return table


def _share(found: Figure | None) -> Text:
    if found is None:
        return Text(MISSING, style="dim")
    ends = figures.interval(found, "-")
    return Text.assemble(figures.share(found.value), (f" ({ends})" if ends else "", "dim"))


def _costs(metrics: Metrics) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for split in figures.splits(metrics)[:1]:
        ann = figures.figure(metrics, f"{split}/ann/recall@10")
        if ann:
            table.add_row("vs exact", Text.assemble("recall@10 ", _share(ann)))
    for split in figures.splits(metrics)[:1]:
        steps = losses.lost(metrics, split)
        if steps:
            words = [f"{losses.STEPS[step].removeprefix('the ')} {losses.points(value)}" for step, value in steps.items()]
            table.add_row("lost", f"{', '.join(words)} of 100")
    for part in figures.LATENCY:
        found = [(name, figures.figure(metrics, f"{part}/{name}")) for name in figures.PERCENTILES]
        words = [f"{name.removesuffix('_ms')} {figures.milliseconds(at.value)}" for name, at in found if at]
        if words:
            table.add_row(part, ", ".join(words))
    size = figures.figure(metrics, "index/bytes_per_item")
    if size:
        table.add_row("bytes", f"{figures.plain(size.value)} an item")
    if "budget/met" in metrics:
        met = bool(metrics["budget/met"])
        table.add_row("budget", Text("met" if met else "exceeded", style="green" if met else "red"))
    stages = figures.stages(metrics)
    if stages:
        table.add_row("stages", Text(", ").join(_stage(stage) for stage in stages))
    return table


def _stage(stage: figures.Stage) -> Text:
    if stage.reused:
        return Text.assemble(stage.name, " ", ("reused", "green"))
    return Text(f"{stage.name} {figures.seconds(stage.seconds)}")
