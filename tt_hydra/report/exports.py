"""What an export gave, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from tt_hydra.artifact.files import readable
from tt_hydra.export.result import Exported, Quantized


def export_table(exported: Exported) -> RenderableType:
    """Each tower's file, size and distance from its original; the 8-bit tower's loss, latency and bytes."""
    table = Table(box=None, pad_edge=False)
    for name in ("tower", "file", "size", "compared on", "largest difference"):
        table.add_column(name, justify="left" if name in ("tower", "file") else "right", overflow="fold")
    for tower in exported.towers:
        table.add_row(tower.side, tower.file, readable(tower.bytes), f"{tower.rows} rows", f"{tower.difference:.2g}")
    return Group(table, *(_int8(tower.quantized) for tower in exported.towers if tower.quantized is not None))


def _int8(quantized: Quantized) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for name in ("query tower", "p50, one query, one thread", "size"):
        table.add_column(name, justify="left" if name == "query tower" else "right")
    for name, milliseconds in quantized.p50_ms.items():
        table.add_row(name, f"{milliseconds:.3g} ms", readable(quantized.bytes[name]))
    loss = quantized.loss
    recall = f"recall@10 {loss.recall.value:.4f} ({loss.recall.low:.4f}-{loss.recall.high:.4f}) of what float32 finds"
    cosines = f"cosine to float32 mean {loss.cosine_mean:.5f}, lowest {loss.cosine_lowest:.5f}"
    return Group("", table, f"{loss.queries} stored queries: {cosines}; {recall}", quantized.verdict)
