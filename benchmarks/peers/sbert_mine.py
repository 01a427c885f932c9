"""sentence-transformers: ``mine_hard_negatives`` on the training pairs of a BEIR folder, when told."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from datasets import Dataset
from minilm import model, paced, setting
from sentence_transformers.util import mine_hard_negatives


def main() -> None:
    told = setting()
    folder = Path(told["data"])
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
    documents = {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in _rows(folder / "corpus.jsonl")}
    with (folder / "qrels" / "train.tsv").open(encoding="utf-8") as file:
        pairs = [(row["query-id"], row["corpus-id"]) for row in csv.DictReader(file, delimiter="\t")]
    anchors, positives = [queries[query] for query, _ in pairs], [documents[document] for _, document in pairs]
    encoder = model(told["max_length"])

    def work() -> int:
        found = mine_hard_negatives(
            Dataset.from_dict({"anchor": anchors, "positive": positives}),
            encoder,
            corpus=list(documents.values()),
            range_max=told["top"],
            relative_margin=told["margin"],
            num_negatives=told["negatives"],
            output_format="triplet",
            verbose=False,
        )
        rows = list(zip(found["anchor"], found["negative"], strict=True))
        Path(told["found"]).write_text(json.dumps(rows), encoding="utf-8")
        return 1

    paced(work)


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


if __name__ == "__main__":
    main()
