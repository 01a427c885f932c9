"""Our side of the text benchmarks as a worker: training steps of the real trainer, or texts encoded, when told."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from paced import answer

from tt_hydra.contracts import Features, FloatArray
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.encoded import pad_rows
from tt_hydra.data.pairs import Pairs
from tt_hydra.data.prepare import prepare
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.pooling.mean import Mean
from tt_hydra.temperature.constant import Constant
from tt_hydra.tower.autocast import Precision
from tt_hydra.tower.bert import Bert
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.datamodule import BatchModule, EpochBatches
from tt_hydra.train.encode import by_length, evaluating
from tt_hydra.train.memory import keep_freed_memory
from tt_hydra.train.module import Objective, RetrievalModule
from tt_hydra.train.optimizer import AdamW
from tt_hydra.train.precision import LIGHTNING_NAMES, resolve_precision
from tt_hydra.train.settings import TrainSettings


class Paced(pl.Callback):
    """After each step says how long it took, from the order to do it on, and waits for the next order."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def on_train_start(self, *_: Any) -> None:
        self._wait()

    def on_train_batch_end(self, *_: Any) -> None:
        answer(done=self.batch_size, seconds=time.perf_counter() - self.start, cpu_s=time.process_time() - self.cpu)
        self._wait()

    def _wait(self) -> None:
        if not sys.stdin.readline():
            sys.exit()
        self.start, self.cpu = time.perf_counter(), time.process_time()


def towers_of(dataset: Dataset, max_length: int) -> TwoTower:
    tower = Bert(query_max_length=max_length, item_max_length=max_length)
    torch.manual_seed(42)
    return TwoTower.build(
        query=tower, item=tower, schema=dataset.schema, text_pooling=Mean(), history_pooling=Mean(),
        embedding_dim=None, metric="cosine", num_items=dataset.num_items,
    )  # fmt: skip


def read(path: str, folder: str) -> Dataset:
    prepare(Pairs(path=path, query="anchor", positive="positive", test_share=0.0, valid_share=0.0).read(), seed=42, folder=Path(folder))
    return Dataset.load(Path(folder))


def train(told: dict[str, Any], folder: str) -> None:
    dataset = read(told["pairs"], folder)
    towers = towers_of(dataset, told["max_length"])
    dataset = dataset.tokenized(towers.tokenizers)
    precision = resolve_precision("auto", "cpu", large_matrices=True)
    objective = Objective(loss=InfoNCE(symmetric=True), temperature=Constant(), optimizer=AdamW())
    settings = TrainSettings(max_epochs=1000, batch_size=told["batch_size"])
    module = RetrievalModule(towers, objective, settings, 10_000, 42)
    sampler = InBatch().fit(dataset.training_view())
    template = EpochBatches(dataset=dataset, sampler=sampler, batch_size=told["batch_size"], seed=42, prefetch=settings.prefetch)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        precision=LIGHTNING_NAMES[precision],  # type: ignore[arg-type]
        gradient_clip_val=settings.gradient_clip,
        callbacks=[Paced(told["batch_size"])],
        max_epochs=settings.max_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    trainer.fit(module, datamodule=BatchModule(template))


def encode(told: dict[str, Any], folder: str) -> None:
    texts = json.loads(Path(told["texts"]).read_text(encoding="utf-8"))
    towers, precision = towers_of_texts(folder, told["max_length"])
    parts = cycle(range(0, len(texts) - told["at_once"] + 1, told["at_once"]))
    for _ in sys.stdin:
        begin, cpu = time.perf_counter(), time.process_time()
        start = next(parts)
        vectors = embed(towers, texts[start : start + told["at_once"]], precision)
        answer(done=len(vectors), seconds=time.perf_counter() - begin, cpu_s=time.process_time() - cpu)


def towers_of_texts(folder: str, max_length: int) -> tuple[TwoTower, Precision]:
    """Towers whose sides have one text each."""
    pairs = Path(folder) / "some.jsonl"
    pairs.write_text("\n".join(json.dumps({"anchor": f"query {number}", "positive": f"text {number}"}) for number in range(4)))
    return towers_of(read(str(pairs), folder), max_length), resolve_precision("auto", "cpu", large_matrices=True)


def reference_and_ours(texts: list[str], max_length: int) -> tuple[FloatArray, FloatArray]:
    """Vectors of length 1, ``(texts, width)``: by the Hugging Face forward in float32, and as we embed on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        towers, precision = towers_of_texts(folder, max_length)
    towers.eval()
    ours = embed(towers, texts, precision).numpy()
    text = towers.towers["item"].features.text
    tokens = towers.tokenizers["item"](texts)
    reference = np.empty_like(ours)
    with torch.inference_mode():
        for rows in by_length({"": tokens}, np.arange(len(texts)), 32):
            padded = pad_rows(tokens, rows)
            vectors = text.encoder(input_ids=padded.ids, attention_mask=padded.mask.long()).last_hidden_state
            reference[rows] = torch.nn.functional.normalize(text.pool(vectors, padded.mask), dim=1).numpy()
    return reference, ours


def embed(towers: TwoTower, texts: list[str], precision: Precision) -> torch.Tensor:
    """Tokenizes and encodes as the stages ``train`` and ``embed`` do."""
    (name,) = towers.texts["item"]
    tokens = towers.tokenizers["item"](texts)
    chunks = by_length({name: tokens}, np.arange(len(texts)), 256)
    vectors = torch.empty(len(texts), towers.dim)
    with evaluating(towers, precision):
        for rows in chunks:
            vectors[rows] = towers.embed_items(Features(len(rows), {name: pad_rows(tokens, rows)}, None))
    return vectors


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        {"train": train, "encode": encode}[told["work"]](told, folder)
