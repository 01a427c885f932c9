"""Declarative, config-driven AutoML for two-tower retrieval."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tt_hydra.serve.retriever import Retriever

__version__ = "0.1.0"


def load(bundle: str | Path = "latest", *, outputs: str | Path | None = None, verify: bool = True, device: str = "cpu") -> Retriever:
    """Opens a bundle for search.

    Example:
        >>> retriever = load("outputs/run/latest/bundle")  # doctest: +SKIP
        >>> retriever.search(text="a film about the sea", k=10)  # doctest: +SKIP

    Args:
        bundle: its folder, a run's folder, ``latest`` or ``current``.
        outputs: root of the runs; by default ``TT_HYDRA_OUTPUTS``, else ``outputs``.
        verify: compare the checksum of every file first.
        device: where the towers run.

    Raises:
        BundleError: there is no such bundle, or it is incomplete, damaged or put together from several.
    """
    from tt_hydra.artifact.resolve import resolve_bundle  # noqa: PLC0415  # importing tt_hydra must stay cheap
    from tt_hydra.serve.retriever import Retriever  # noqa: PLC0415

    root = Path(outputs or os.environ.get("TT_HYDRA_OUTPUTS") or "outputs")
    return Retriever.load(resolve_bundle(bundle, root), verify=verify, device=device)
