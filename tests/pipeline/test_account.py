"""Where recall is lost: against brute force, step by step."""

from __future__ import annotations

import json

import numpy as np
import pytest
from vector_cases import catalogue, questions, similarities

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.contracts import Ragged
from tt_hydra.data.dataset import Dataset
from tt_hydra.index.build import build_index
from tt_hydra.index.factory import Factory
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.metrics.exact import exact_search
from tt_hydra.pipeline.stage.account import Labelled, Unlabelled, lost, prefix_recall
from tt_hydra.pipeline.stage.embed import ITEMS as VECTORS
from tt_hydra.pipeline.stage.embed import load_vectors, queries_file
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq

ITEMS, ASKED = catalogue(2500), questions(60)
DIM = ITEMS.shape[1]


def lists(rows: np.ndarray) -> Ragged:
    return Ragged(rows.ravel(), np.arange(len(rows) + 1) * rows.shape[1])


def ranked(dim: int, metric: str, codes: np.ndarray = ITEMS) -> np.ndarray:
    """All rows of each query, best first by the first ``dim`` dimensions."""
    return np.argsort(-similarities(ASKED[:, :dim], codes[:, :dim], metric), axis=1, kind="stable")


TRUTH = ranked(DIM, "dot")
ANSWERS = TRUTH[:, [0, 3, 8, 40]]
"""Three answers among the ten best and one that the model has at rank 41: it loses a quarter."""
SEEN = TRUTH[:, [5, 6]]


def labelled(metric: str = "dot", *, seen: bool = False) -> Labelled:
    relevant = lists(ANSWERS)
    gains = Ragged(np.ones(ANSWERS.size, np.float32), relevant.offsets)
    return Labelled(queries=ASKED, items=ITEMS, relevant=relevant, gains=gains, seen=lists(SEEN) if seen else None, metric=metric)


def recall(rows: np.ndarray, *, seen: bool = False) -> float:
    """Recall@10 of whole rankings, by sets."""
    found = []
    for ranking, answers, gone in zip(rows, ANSWERS, SEEN, strict=True):
        kept = [row for row in ranking if not (seen and row in gone)][:10]
        found.append(len(set(kept) & set(answers)) / len(answers))
    return float(np.mean(found))


def account(spec: object, quantization: object, prefix_dim: int | None = None, *, seen: bool = False) -> dict[str, float]:
    index = build_index(spec, quantization, ITEMS, "dot", seed=3, prefix_dim=prefix_dim)
    part = labelled(seen=seen)
    real = float(part.recall(index).mean(dtype=np.float64))
    steps = lost(part, index, recall(TRUTH, seen=seen), real)
    assert sum(steps.values()) + real == pytest.approx(1, abs=1e-12)
    return dict(steps)


def test_a_flat_index_loses_what_the_model_loses() -> None:
    steps = account(Flat(), NoQuantization())
    assert steps["model"] == pytest.approx(0.25)
    assert [steps[step] for step in ("dim", "quantizer", "search")] == pytest.approx([0, 0, 0], abs=1e-9)


def test_what_a_query_had_is_left_out_of_every_step() -> None:
    steps = account(Flat(), NoQuantization(), seen=True)
    assert steps["model"] == pytest.approx(1 - recall(TRUTH, seen=True))
    assert account(Ivf(nprobe=1), NoQuantization(), seen=True)["quantizer"] == pytest.approx(0, abs=1e-9)


def test_few_lists_lose_in_the_search_alone() -> None:
    steps = account(Ivf(nlist=8, nprobe=1), NoQuantization())
    assert steps["search"] > 0.1
    assert (steps["dim"], steps["quantizer"]) == (0, 0)


@pytest.mark.parametrize("dim", [4, 12])
def test_a_prefix_loses_what_exact_search_over_cut_vectors_loses(dim: int) -> None:
    steps = account(Flat(), NoQuantization(), prefix_dim=dim)
    assert steps["dim"] == pytest.approx(recall(TRUTH) - recall(ranked(dim, "dot")))
    assert steps["dim"] > 0.02
    assert (steps["quantizer"], steps["search"]) == pytest.approx((0, 0), abs=1e-9)


def test_a_projection_is_a_matter_of_dimensions() -> None:
    steps = account(Ivf(nlist=8, nprobe=8), Pca(dim=6))
    values = np.linalg.svd(ITEMS.astype(np.float64), full_matrices=False)[2][:6]
    projected = np.argsort(-(ASKED @ values.T) @ (ITEMS @ values.T).T, axis=1, kind="stable")
    assert steps["dim"] == pytest.approx(recall(TRUTH) - recall(projected), abs=0.01)
    assert (steps["quantizer"], steps["search"]) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("spec", [Ivf(nlist=8, nprobe=2), Hnsw(M=4, efConstruction=20, efSearch=1)])
def test_codes_and_search_are_told_apart(spec: object) -> None:
    """The codes of a graph are those of a flat index; those of lists are compared in all lists."""
    whole = Flat() if isinstance(spec, Hnsw) else Ivf(nlist=8, nprobe=8)
    codes = build_index(whole, Pq(m=4, bits=4), ITEMS, "dot", seed=3)
    if isinstance(spec, Hnsw):
        codes = build_index(spec, Pq(m=4, bits=4), ITEMS, "dot", seed=3).exhaustive()
    steps = account(spec, Pq(m=4, bits=4))
    assert steps["quantizer"] == pytest.approx(recall(TRUTH) - recall(codes.search(ASKED, 10).rows))
    assert steps["quantizer"] > 0.05


def test_rescoring_gives_back_what_a_short_prefix_lost() -> None:
    lossy, refined = account(Flat(), Int8(), prefix_dim=6), account(Flat(), Int8(refine=20), prefix_dim=6)
    everything = account(Flat(), Int8(refine=250), prefix_dim=6)
    assert lossy["dim"] > refined["dim"] + 0.01
    assert everything["dim"] == pytest.approx(0, abs=1e-9), "250 candidates for each of ten are the whole catalogue"
    assert everything["quantizer"] == pytest.approx(0, abs=1e-9)


def test_what_a_projection_in_a_factory_string_leaves_out_is_not_the_codes() -> None:
    coded, plain = (account(Factory(spec=spec), NoQuantization()) for spec in ("PCA6,IVF1,SQ8", "PCA6,Flat"))
    assert coded["dim"] == pytest.approx(plain["dim"], abs=0.02)
    assert coded["dim"] > 0.1
    assert (plain["quantizer"], plain["search"]) == pytest.approx((0, 0), abs=1e-9)
    assert abs(coded["quantizer"]) < 0.05


def test_what_a_factory_string_keeps_is_found_out_by_searching() -> None:
    steps = account(Factory(spec="IVF8,PQ4x4", nprobe=1), NoQuantization())
    assert steps["quantizer"] > 0.05
    assert steps["search"] > 0.02


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_each_query_of_a_prefix_is_judged_by_brute_force(metric: str) -> None:
    found = prefix_recall(labelled(metric), 7)
    top = ranked(7, metric)[:, :10]
    expected = [len(set(row) & set(answers)) / 4 for row, answers in zip(top, ANSWERS, strict=True)]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("quantization", [NoQuantization(), Int8(), Int8(refine=2)])
def test_a_catalogue_of_a_few_items(quantization: object) -> None:
    relevant = lists(np.zeros((len(ASKED), 1), np.int64))
    gains = Ragged(np.ones(len(ASKED), np.float32), relevant.offsets)
    few = Labelled(queries=ASKED, items=ITEMS[:6], relevant=relevant, gains=gains, seen=None, metric="dot")
    index = build_index(Flat(), quantization, ITEMS[:6], "dot", prefix_dim=4)
    assert lost(few, index, 1.0, 1.0) == dict.fromkeys(("model", "dim", "quantizer", "search"), 0.0)


def test_without_labels_the_ten_nearest_items_are_what_is_lost() -> None:
    exact = exact_search(ASKED, ITEMS, 10, "dot")
    judge = Unlabelled(queries=ASKED, items=ITEMS, exact=exact, metric="dot")
    index = build_index(Ivf(nlist=8, nprobe=1), Int8(), ITEMS, "dot", seed=3, prefix_dim=12)
    real = float(judge.recall(index).mean(dtype=np.float64))
    steps = lost(judge, index, 1.0, real)
    assert sum(steps.values()) + real == pytest.approx(1, abs=1e-12)
    kept = [len(set(row) & set(top)) / 10 for row, top in zip(ranked(12, "dot")[:, :10], TRUTH[:, :10], strict=True)]
    assert steps["dim"] == pytest.approx(1 - np.mean(kept), abs=1e-3)
    assert steps["model"] == 0
    assert min(steps["dim"], steps["search"]) > 0.05 > abs(steps["quantizer"])


def test_the_figures_at_ten_are_those_of_a_search_for_ten(command, in_process) -> None:
    """Asked for a hundred, lists that hold fewer give way to exhaustive search, and a graph walks on: more of the first ten are found."""
    line = command("index=ivf", "index.nlist=4", "index.nprobe=1", "quantization=none", "evaluate.exclude_seen=false")
    metrics = in_process(line)
    (embedded,) = (folder for folder in (line.outputs / "store" / "embed").iterdir() if (folder / VECTORS).exists())
    (prepared,) = (folder for folder in (line.outputs / "store" / "prepare").iterdir() if folder.is_dir())
    index = Bundle.load(line.outputs / "run" / "latest" / "bundle").load_index()
    block = Dataset.load(prepared).eval_part("test")
    found = index.search(np.asarray(load_vectors(embedded, queries_file("test"))), 10).rows
    answers = [set(block.relevant.row(number).tolist()) for number in range(len(block))]
    expected = np.mean([len(set(row.tolist()) & own) / len(own) for row, own in zip(found, answers, strict=True)])
    assert metrics["test/index/recall@10"] == pytest.approx(expected)
    assert expected != metrics["test/model/recall@10"], "the premise is that such lists give other items than exact search"


def test_a_run_tells_what_each_prefix_leaves(command, in_process) -> None:
    line = command("loss=matryoshka", "loss.dims=[4,2]", "train.max_epochs=1", "prefix_dim=4")
    metrics = in_process(line)
    for part in ("valid", "test"):
        exact, real = metrics[f"{part}/model/recall@10"], metrics[f"{part}/index/recall@10"]
        steps = [metrics[f"{part}/lost/{step}"] for step in ("model", "dim", "quantizer", "search")]
        assert sum(steps) + real == pytest.approx(1, abs=1e-12)
        assert steps[0] == pytest.approx(1 - exact)
        assert steps[1] == pytest.approx(exact - metrics[f"{part}/prefix/4/recall@10"])
        assert metrics[f"{part}/prefix/2/recall@10/ci_low"] <= metrics[f"{part}/prefix/2/recall@10"]
    header = json.loads((line.outputs / "run" / "latest" / "bundle" / "index" / "index.json").read_text())
    assert (header["dim"], header["prefix_dim"]) == (8, 4)
