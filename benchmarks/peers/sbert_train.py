"""sentence-transformers: MultipleNegativesRankingLoss through SentenceTransformerTrainer, step by step when told, or to the end."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from minilm import model, setting
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import TrainerCallback


class Paced(TrainerCallback):
    """After each step says how long it took, from the order to do it on, and waits for the next order."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._wait()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        print(
            json.dumps({"done": self.batch_size, "seconds": time.perf_counter() - self.start, "cpu_s": time.process_time() - self.cpu}),
            flush=True,
        )
        self._wait()

    def _wait(self) -> None:
        if not sys.stdin.readline():
            sys.exit()
        self.start, self.cpu = time.perf_counter(), time.process_time()


class LikeLengths(DefaultBatchSampler):
    """Batches of pairs of like lengths, in random order: 16 batches' worth of pairs at a time are sorted by length and cut."""

    def __init__(self, dataset: Dataset, batch_size: int, drop_last: bool, **more: Any) -> None:
        super().__init__(dataset, batch_size, drop_last, **more)
        self.lengths = np.array([len(row["anchor"]) + len(row["positive"]) for row in dataset])

    def __iter__(self) -> Any:
        generator = np.random.default_rng(0)
        order = generator.permutation(len(self.lengths))
        size = 16 * self.batch_size
        batches = []
        for start in range(0, len(order), size):
            part = order[start : start + size]
            part = part[np.argsort(self.lengths[part])]
            batches += [part[first : first + self.batch_size].tolist() for first in range(0, len(part), self.batch_size)]
        generator.shuffle(batches)
        return iter(batches)

    def __len__(self) -> int:
        return (len(self.lengths) + self.batch_size - 1) // self.batch_size


def trainer_of(told: dict[str, Any], encoder: SentenceTransformer, folder: str) -> SentenceTransformerTrainer:
    pairs = [json.loads(line) for line in Path(told["pairs"]).read_text(encoding="utf-8").splitlines()]
    rate = {} if told.get("lr") is None else {"learning_rate": told["lr"], "warmup_ratio": 0.1}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder,
        num_train_epochs=told["epochs"],
        per_device_train_batch_size=told["batch_size"],
        use_cpu=True,
        bf16=told.get("bf16", False),
        batch_sampler=LikeLengths if told.get("grouped") else "batch_sampler",
        seed=told.get("seed", 42),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **rate,
    )
    callbacks = [] if "vectors" in told else [Paced(told["batch_size"])]
    loss = MultipleNegativesRankingLoss(encoder)
    return SentenceTransformerTrainer(encoder, arguments, train_dataset=Dataset.from_list(pairs), loss=loss, callbacks=callbacks)


def main() -> None:
    told = setting()
    encoder = model(told["max_length"], told.get("attention"))
    with tempfile.TemporaryDirectory() as folder:
        trainer_of(told, encoder, folder).train()
    if "vectors" in told:
        encoder.max_seq_length = told.get("encode_length", told["max_length"])
        for name in ("queries", "items"):
            texts = json.loads(Path(told[name]).read_text(encoding="utf-8"))
            vectors = encoder.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False)
            np.save(Path(told["vectors"]) / f"{name}.npy", vectors)


if __name__ == "__main__":
    main()
