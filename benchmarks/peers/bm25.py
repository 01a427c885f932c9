"""BM25 (bm25s): in its defaults, and stemmed with the parameters that suit short texts.

Usage: bm25.py FOLDER OUT.json. Reads a folder in the BEIR layout; writes for each variant the seconds that it took and the ids of the
100 best documents of each question of the test part.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

import bm25s
import Stemmer

DEPTH = 100
VARIANTS = {"bm25": (None, {}), "bm25_stemmed": ("english", {"k1": 0.9, "b": 0.4})}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def search(documents: list[str], questions: list[str], language: str | None, parameters: dict[str, float]) -> list[list[int]]:
    stemmer = None if language is None else Stemmer.Stemmer(language)
    engine = bm25s.BM25(**parameters)
    engine.index(bm25s.tokenize(documents, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    asked = bm25s.tokenize(questions, stopwords="en", stemmer=stemmer, show_progress=False)
    return engine.retrieve(asked, k=min(DEPTH, len(documents)), show_progress=False)[0].tolist()


def main(folder: Path, out: Path) -> None:
    corpus, texts = read(folder / "corpus.jsonl"), {row["_id"]: row["text"] for row in read(folder / "queries.jsonl")}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        names = list(dict.fromkeys(row["query-id"] for row in csv.DictReader(file, delimiter="\t")))
    documents = [f"{row.get('title', '')} {row['text']}".strip() for row in corpus]
    found = {}
    for variant, (language, parameters) in VARIANTS.items():
        started = time.perf_counter()
        lists = search(documents, [texts[name] for name in names], language, parameters)
        seconds = time.perf_counter() - started
        ranked = {name: [corpus[row]["_id"] for row in rows] for name, rows in zip(names, lists, strict=True)}
        found[variant] = {"seconds": seconds, "ranked": ranked}
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
