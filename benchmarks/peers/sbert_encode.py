"""sentence-transformers: ``SentenceTransformer.encode`` of the next texts of a list, when told."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

from minilm import model, paced, setting


def main() -> None:
    told = setting()
    texts = json.loads(Path(told["texts"]).read_text(encoding="utf-8"))
    encoder = model(told["max_length"], told.get("attention"), told.get("dtype"))
    parts = cycle(range(0, len(texts) - told["at_once"] + 1, told["at_once"]))
    batch = {} if told.get("batch_size") is None else {"batch_size": told["batch_size"]}

    def work() -> int:
        start = next(parts)
        return len(encoder.encode(texts[start : start + told["at_once"]], show_progress_bar=False, **batch))

    paced(work)


if __name__ == "__main__":
    main()
