"""A data set in the BEIR layout as plain Python, and its text pairs as files for both sides of a benchmark."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Pair = tuple[str, str]
"""Ids of a query and of a document that answers it."""


@dataclass(frozen=True)
class Texts:
    """Queries and documents by id, a document's text being its title and its text."""

    folder: Path
    queries: dict[str, str]
    documents: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Texts:
        queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
        documents = {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in _rows(folder / "corpus.jsonl")}
        return cls(folder, queries, documents)

    def pairs(self, part: str, number: int | None = None, seed: int = 0) -> list[Pair]:
        """The positive judgements of a part, or a sample of them, in a random order."""
        with (self.folder / "qrels" / f"{part}.tsv").open(encoding="utf-8") as file:
            found = [(row["query-id"], row["corpus-id"]) for row in csv.DictReader(file, delimiter="\t") if float(row["score"]) > 0]
        random.Random(seed).shuffle(found)
        return found[:number]

    def write_pairs(self, pairs: Iterable[Pair], path: Path) -> None:
        """The texts of pairs as JSON lines ``{"anchor", "positive"}``."""
        rows = ({"anchor": self.queries[query], "positive": self.documents[document]} for query, document in pairs)
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def subset(texts: Texts, folder: Path, train: Iterable[Pair], test: Iterable[str] = ("test",)) -> Path:
    """The same data set with other training pairs, with several parts as one ``test``, and without queries that nobody judged."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(texts.folder, folder)
    for name, pairs in (("train", train), ("test", [pair for part in test for pair in texts.pairs(part)])):
        rows = [f"{query}\t{document}\t1" for query, document in pairs]
        (folder / "qrels" / f"{name}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows, ""]), encoding="utf-8")
    less = Texts(folder, texts.queries, texts.documents)
    judged = {query for path in (folder / "qrels").glob("*.tsv") for query, _ in less.pairs(path.stem)}
    kept = [json.dumps({"_id": query, "text": text}) for query, text in texts.queries.items() if query in judged]
    (folder / "queries.jsonl").write_text("\n".join([*kept, ""]), encoding="utf-8")
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
