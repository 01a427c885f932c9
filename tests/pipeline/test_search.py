from __future__ import annotations

import json
from pathlib import Path

import ir_measures
import pytest

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.registry import REGISTRY, Registry
from tt_hydra.errors import ConfigError, DataError
from tt_hydra.pipeline.search import Answer, SearchFiles, SearchSettings, search, trec_lines, write_answers
from tt_hydra.serve.query import Hit
from tt_hydra.serve.retriever import Retriever


def settings(bundle: Path, **given) -> SearchSettings:
    return SearchSettings(bundle=str(bundle), outputs=bundle.parent, **given)


def test_one_query_gives_what_the_retriever_gives(bundle_folder):
    (answer,) = search(settings(bundle_folder, query_id="3", k=4))
    assert answer.name == "3"
    assert answer.hits == Retriever.load(bundle_folder).search(query_id="3", k=4)


def test_a_query_that_is_not_known_is_told_how_the_command_takes_it(bundle_folder, tmp_path):
    with pytest.raises(DataError, match=r"is not known to this bundle.*a file for search\.input") as refused:
        list(search(settings(bundle_folder, query_id="nobody")))
    row = str(refused.value).rpartition("as in ")[2].replace("42", "3")
    (tmp_path / "queries.jsonl").write_text(row)
    (answer,) = search(settings(bundle_folder, search=SearchFiles(input=str(tmp_path / "queries.jsonl"))))
    assert (answer.name, len(answer.hits)) == ("new", 10)


def test_seen_items_are_left_out_as_the_bundle_was_evaluated_or_as_told(bundle_folder):
    history = set(Retriever.load(bundle_folder).bundle.queries["history"][2])
    assert history
    for exclude, expected in ((None, False), (False, False), (True, True)):
        (answer,) = search(settings(bundle_folder, query_id="2", k=40, exclude_seen=exclude))
        assert history.isdisjoint(hit.id for hit in answer.hits) == expected


def test_a_file_of_queries_becomes_a_run_that_trec_tools_read(bundle_folder, tmp_path):
    retriever = Retriever.load(bundle_folder)
    hits = {name: retriever.search(query_id=name, k=3) for name in retriever.bundle.queries["id"]}
    first, second = [name for name, found in hits.items() if all(" " not in hit.id for hit in found)][:2]
    (tmp_path / "queries.jsonl").write_text(f'{{"id": "{first}"}}\n{{"id": "other", "query_id": "{second}"}}\n')
    chosen = settings(bundle_folder, k=3, search=SearchFiles(input=str(tmp_path / "queries.jsonl")))
    assert write_answers(search(chosen), tmp_path / "out" / "run.trec") == 2
    run = list(ir_measures.read_trec_run(str(tmp_path / "out" / "run.trec")))
    expected = [(name, hit.id) for name, known in ((first, first), ("other", second)) for hit in hits[known]]
    assert [(row.query_id, row.doc_id) for row in run] == expected
    assert [row.score for row in run[:3]] == pytest.approx([hit.score for hit in hits[first]], abs=1e-6)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.trec"]


def test_results_as_json_lines_hold_any_id(bundle_folder, tmp_path):
    (answer,) = search(settings(bundle_folder, query_id="1", k=40))
    write_answers(iter([answer]), tmp_path / "run.jsonl")
    row = json.loads((tmp_path / "run.jsonl").read_text(encoding="utf-8"))
    assert row["id"] == "1"
    assert [(found["id"], found["title"]) for found in row["results"]] == [(hit.id, hit.title) for hit in answer.hits]
    assert "Ü, 'q'" in [found["id"] for found in row["results"]]


def test_an_id_that_a_trec_run_cannot_hold_leaves_no_half_file(tmp_path):
    answers = [Answer("q", [Hit(1, "fine", 0.5, ""), Hit(2, "with blank", 0.25, "")])]
    with pytest.raises(DataError, match=r"'with blank'.*\.jsonl"):
        write_answers(iter(answers), tmp_path / "run.trec")
    assert list(tmp_path.iterdir()) == []
    assert list(trec_lines(Answer("q", [Hit(1, "a", 0.5, "title")]))) == ["q Q0 a 1 0.500000 tt_hydra"]


def test_search_parameters_are_handed_on_and_unknown_ones_refused(bundle_folder):
    with pytest.raises(Exception, match="efSearch"):
        list(search(settings(bundle_folder, query_id="1", params={"efSearch": 3})))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "search needs a query"),
        ({"query": "a", "search": SearchFiles(input="f")}, "one of them"),
        ({"query": "a", "k": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_asked(given, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        settings(tmp_path, **given)


def test_changes_that_are_not_searched_are_told(bundle_folder, tmp_path, caplog):
    registry = Registry(tmp_path / REGISTRY)
    registry.publish(Bundle.load(bundle_folder))
    asked = SearchSettings(bundle="current", query_id="3", outputs=tmp_path)
    list(search(asked))
    assert caplog.records == []
    registry.log.append([Change(deleted=["i1"]), Change(deleted=["i2"])])
    list(search(asked))
    (record,) = caplog.records
    assert record.getMessage().startswith("2 changes of the catalogue came after version 1 and are not searched here")
    damaged = registry.version(1).folder / "manifest.json"
    damaged.unlink()  # it may be a link to the bundle's own
    damaged.write_text("{}")
    list(search(SearchSettings(bundle=str(bundle_folder), query_id="3", outputs=tmp_path)))
    assert len(caplog.records) == 1, "a bundle beside the registry has nothing to do with it, damaged or not"
