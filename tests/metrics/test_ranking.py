from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG

from tt_hydra.contracts import Ragged, SearchResult
from tt_hydra.metrics.ranking import Cutoffs, evaluate_ranking, ndcg

SHALLOW = Cutoffs(recall=(1, 2, 3), ndcg=3, mrr=3)


def ragged(rows, dtype=np.int64) -> Ragged:
    lengths = [len(row) for row in rows]
    values = np.array([value for row in rows for value in row], dtype=dtype)
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def searched(rows, scores=None) -> SearchResult:
    rows = np.array(rows, dtype=np.int64)
    if scores is None:
        scores = np.broadcast_to(np.arange(rows.shape[1], 0, -1), rows.shape)
    return SearchResult(np.array(scores, dtype=np.float32), rows)


def random_case(seed, queries=60, items=40, k=20, whole=True):
    generator = np.random.default_rng(seed)
    rows = np.argsort(generator.random((queries, items)), axis=1)[:, :k]
    relevant = [generator.choice(items, generator.integers(1, 9), replace=False).tolist() for _ in range(queries)]
    gains = [(generator.integers(1, 4, len(row)) if whole else generator.random(len(row)) + 0.1).tolist() for row in relevant]
    return rows, relevant, gains


def test_hand_computed():
    figures = evaluate_ranking(searched([[4, 7, 9], [1, 2, 3]]), ragged([[7, 9, 5, 6], [1]]), cutoffs=SHALLOW)
    assert figures.means["recall@1"] == pytest.approx((0 + 1) / 2)
    assert figures.means["recall@2"] == pytest.approx((1 / 4 + 1) / 2)
    assert figures.means["recall@3"] == pytest.approx((2 / 4 + 1) / 2)
    assert figures.means["mrr@3"] == pytest.approx((1 / 2 + 1) / 2)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert figures.per_query.values["ndcg@3"] == pytest.approx([(1 / np.log2(3) + 1 / np.log2(4)) / ideal, 1])


def test_gain_is_linear():
    figures = evaluate_ranking(searched([[0, 1, 2]]), ragged([[0, 1]]), ragged([[1, 3]]), cutoffs=SHALLOW)
    expected = (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3))
    assert figures.means["ndcg@3"] == pytest.approx(expected)


def test_the_names_and_cutoffs_of_the_frozen_keys():
    figures = evaluate_ranking(searched(np.arange(100)[None]), ragged([[99, 49, 19, 9]]))
    assert set(figures.means) == {"recall@10", "recall@20", "recall@50", "recall@100", "ndcg@10", "mrr@10"}
    assert [figures.means[f"recall@{k}"] for k in (10, 20, 50, 100)] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert figures.means["mrr@10"] == pytest.approx(0.1)


def test_tied_scores_keep_our_order():
    """trec_eval breaks ties by document id, descending: left to itself it would put 9 and 8 before 1."""
    figures = evaluate_ranking(searched([[1, 8, 9]], scores=[[0.5, 0.5, 0.5]]), ragged([[1]]), cutoffs=SHALLOW)
    assert figures.means["mrr@3"] == 1
    assert figures.means["recall@1"] == 1


def test_scores_play_no_part():
    rows, relevant, gains = random_case(3)
    cutoffs = Cutoffs(recall=(5, 20))
    plain = evaluate_ranking(searched(rows), ragged(relevant), ragged(gains), cutoffs=cutoffs)
    reversed_scores = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    assert evaluate_ranking(searched(rows, reversed_scores), ragged(relevant), ragged(gains), cutoffs=cutoffs).means == plain.means


def test_padding_is_no_result():
    figures = evaluate_ranking(searched([[5, -1, -1], [-1, -1, -1]]), ragged([[5, 6], [1]]), cutoffs=SHALLOW)
    assert figures.per_query.values["recall@3"] == pytest.approx([0.5, 0])
    assert figures.per_query.values["mrr@3"] == pytest.approx([1, 0])


@pytest.mark.parametrize("gains", [None, [[], [1], [0]]])
def test_queries_without_relevant_items_are_left_out_and_counted(gains):
    relevant = [[], [2], [] if gains is None else [1]]
    figures = evaluate_ranking(
        searched([[1, 2, 3]] * 3),
        ragged(relevant),
        None if gains is None else ragged(gains, np.float32),
        query_ids=["a", "b", "c"],
        cutoffs=SHALLOW,
    )
    assert list(figures.per_query.query_ids) == ["b"]
    assert figures.left_out == 2
    assert figures.means["mrr@3"] == 0.5


def test_no_judged_query_gives_no_figure():
    figures = evaluate_ranking(searched([[1, 2, 3]]), ragged([[]]), cutoffs=SHALLOW)
    assert figures.means == {}
    assert figures.left_out == 1


def test_a_repeated_item_counts_once_with_its_greatest_gain():
    once = evaluate_ranking(searched([[2, 1, 3]]), ragged([[2, 3]]), ragged([[3, 1]]), cutoffs=SHALLOW)
    twice = evaluate_ranking(searched([[2, 1, 3]]), ragged([[3, 2, 2, 2]]), ragged([[1, 1, 3, 2]]), cutoffs=SHALLOW)
    assert once.means == twice.means


def test_equal_query_ids_are_separate_queries():
    figures = evaluate_ranking(searched([[1, 2, 3], [4, 5, 6]]), ragged([[1], [9]]), query_ids=["u", "u"], cutoffs=SHALLOW)
    assert figures.per_query.values["recall@1"] == pytest.approx([1, 0])


@pytest.mark.parametrize("seed", range(3))
def test_equals_ir_measures_called_directly(seed):
    rows, relevant, gains = random_case(seed)
    measures = [R @ 5, R @ 20, nDCG @ 10, RR @ 10]
    qrels = {
        str(query): {f"item {item}": gain for item, gain in zip(relevant[query], gains[query], strict=True)} for query in range(len(rows))
    }
    run = {str(query): {f"item {item}": 1 / (rank + 1) for rank, item in enumerate(row)} for query, row in enumerate(rows.tolist())}
    expected = ir_measures.calc_aggregate(measures, qrels, run)
    means = evaluate_ranking(searched(rows), ragged(relevant), ragged(gains), cutoffs=Cutoffs(recall=(5, 20))).means
    names = ["recall@5", "recall@20", "ndcg@10", "mrr@10"]
    assert [means[name] for name in names] == pytest.approx([expected[measure] for measure in measures], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_our_ndcg_equals_ir_measures_where_both_can_go(seed):
    rows, relevant, gains = random_case(seed)
    rows[:, 15:] = -1
    figures = evaluate_ranking(searched(rows), ragged(relevant), ragged(gains), cutoffs=Cutoffs(recall=(20,)))
    ours = ndcg(rows, ragged(relevant), ragged(gains), 10)
    np.testing.assert_allclose(ours, figures.per_query.values["ndcg@10"], atol=1e-6)


def test_fractional_gains():
    """nDCG does not change when all gains are scaled, so halves are checked against whole numbers."""
    rows, relevant, gains = random_case(5)
    halves = [[gain / 2 for gain in row] for row in gains]
    cutoffs = Cutoffs(recall=(20,))
    whole = evaluate_ranking(searched(rows), ragged(relevant), ragged(gains), cutoffs=cutoffs)
    half = evaluate_ranking(searched(rows), ragged(relevant), ragged(halves, np.float32), cutoffs=cutoffs)
    for name, values in whole.per_query.values.items():
        np.testing.assert_allclose(half.per_query.values[name], values, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("factor", [1, 100_000])
def test_large_gains(monkeypatch, factor):
    """Scaled gains leave nDCG as it is. trec_eval counts the items of every grade up to the largest, so it must get no large one."""
    rows, relevant, gains = random_case(5)
    cutoffs = Cutoffs(recall=(20,))
    expected = evaluate_ranking(searched(rows), ragged(relevant), ragged(gains), cutoffs=cutoffs).per_query.values
    grades, evaluator = [], ir_measures.evaluator
    monkeypatch.setattr(
        ir_measures,
        "evaluator",
        lambda measures, qrels: (grades.extend(map(max, map(dict.values, qrels.values()))), evaluator(measures, qrels))[1],
    )
    large = [[gain * factor for gain in row] for row in gains]
    found = evaluate_ranking(searched(rows), ragged(relevant), ragged(large), cutoffs=cutoffs).per_query.values
    assert max(grades) == (3 if factor == 1 else 1)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=name)


def test_more_queries_than_one_chunk(monkeypatch):
    rows, relevant, gains = random_case(7)
    cutoffs = Cutoffs(recall=(20,))
    at_once = evaluate_ranking(searched(rows), ragged(relevant), ragged(gains), cutoffs=cutoffs)
    monkeypatch.setattr("tt_hydra.metrics.ranking._CHUNK", 7)
    assert evaluate_ranking(searched(rows), ragged(relevant), ragged(gains), cutoffs=cutoffs).means == at_once.means


@pytest.mark.parametrize(
    ("relevant", "gains", "ids", "cutoffs", "message"),
    [
        ([[1], [2]], None, None, SHALLOW, "equally many"),
        ([[1]], None, ["a", "b"], SHALLOW, "equally many"),
        ([[1]], [[1, 2]], None, SHALLOW, "same row lengths"),
        ([[1]], None, None, Cutoffs(), "deepest cutoff needs 100"),
    ],
)
def test_arguments_that_do_not_belong_together(relevant, gains, ids, cutoffs, message):
    with pytest.raises(ValueError, match=message):
        evaluate_ranking(searched([[1, 2, 3]]), ragged(relevant), None if gains is None else ragged(gains), ids, cutoffs)
