from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change, ChangeLog
from tt_hydra.artifact.registry import Registry
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.errors import BundleError, ConfigError, GateError
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.pipeline.compact import compact
from tt_hydra.pipeline.contest import Contest, Contestant
from tt_hydra.pipeline.publish import Gate, Verdict, ensure, judge, publish
from tt_hydra.quantization.binary import Binary

WIDE = Gate(quality=1.0, recall=1.0, latency=1e6)
"""Margins that nothing exceeds: what is left decides."""


pytestmark = pytest.mark.usefixtures("few_calls")


@pytest.fixture(scope="module")
def bundle(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("one") / "bundle", parts)


@pytest.fixture
def registry(tmp_path: Path, bundle: Bundle) -> Registry:
    """A registry in which the bundle is current."""
    found = Registry(tmp_path / "registry")
    found.publish(bundle)
    return found


def recall_by_hand(bundle: Bundle, gone: Sequence[str] = ()) -> float:
    """Recall@10 on the reference by comparing all vectors: seen and deleted items cannot be found, deleted ones are no answers."""
    questions, reference = bundle.questions, bundle.reference
    assert questions is not None
    assert reference is not None
    ids = bundle.items("id")["id"].to_list()
    recalls = []
    for vector, relevant, seen in zip(reference.queries, questions.relevant.to_list(), questions.exclude.to_list(), strict=True):
        order = [ids[row] for row in np.argsort(-(bundle.item_vectors @ vector), kind="stable")]
        top = [each for each in order if each not in seen and each not in gone][:10]
        wanted = [each for each in relevant if each not in gone]
        if wanted:
            recalls.append(len(set(top) & set(wanted)) / len(wanted))
    return float(np.mean(recalls))


def test_nothing_is_current_and_that_is_said(tmp_path: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert publish(Registry(tmp_path), bundle, Gate()).number == 1
    assert "no version is current, so there is nothing to compare with" in caplog.text


def test_both_are_asked_the_same_questions(registry: Registry, bundle: Bundle, other: Bundle) -> None:
    verdict = judge(registry, other, WIDE)
    quality, recall, latency = verdict.figures
    assert (verdict.against, verdict.questions) == (1, 12)
    assert quality.candidate == pytest.approx(recall_by_hand(other))
    assert quality.current == pytest.approx(recall_by_hand(bundle))
    assert quality.candidate != quality.current, "the premise: towers of other weights find other items"
    assert (recall.candidate, recall.current) == (1, 1), "both search exactly"
    assert 0 < latency.candidate < 1000
    assert publish(registry, other, WIDE).number == 2
    assert (registry.current, registry.previous) == (2, 1)


def test_a_worse_candidate_is_refused_with_all_that_one_needs_to_know(registry: Registry, bundle: Bundle, other: Bundle) -> None:
    better, worse = sorted([bundle, other], key=recall_by_hand, reverse=True)
    registry.publish(better)
    high, low = recall_by_hand(better), recall_by_hand(worse)
    strict = replace(WIDE, quality=(high - low) / 2)
    current = registry.current
    with pytest.raises(GateError) as refused:
        publish(registry, worse, strict)
    told = str(refused.value)
    assert str(worse.folder) in told
    assert f"quality recall@10 is {low:.4g}, version {current} has {high:.4g}, and gate.quality={strict.quality:g}" in told
    assert "on the same 12 questions" in told
    assert "gate.quality, or publish it all the same with force=true" in told
    assert registry.current == current
    assert publish(registry, worse, replace(WIDE, quality=high - low)).manifest == worse.manifest, "the margin itself is allowed"


def test_force_lets_it_through_and_tells_the_figures(
    registry: Registry, bundle: Bundle, other: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    better, worse = sorted([bundle, other], key=recall_by_hand, reverse=True)
    registry.publish(better)
    with caplog.at_level(logging.INFO):
        assert publish(registry, worse, replace(WIDE, quality=0.0), force=True).manifest == worse.manifest
    assert f"quality recall@10 {recall_by_hand(worse):.4g}" in caplog.text


def poor(parts: Parts, folder: Path) -> tuple[Bundle, float]:
    """A bundle with an index of one bit a number, and its recall by hand."""
    vectors = np.load(parts.item_vectors)
    (folder / "index").mkdir()
    index = build_index(Flat(), Binary(refine=0), vectors, "cosine")
    index.save(folder / "index")
    bundle = write_bundle(folder / "poor", replace(parts, index=folder / "index"))
    assert bundle.reference is not None
    found = index.search(bundle.reference.queries, 10).rows
    exact = np.argsort(-(bundle.reference.queries @ vectors.T), axis=1)[:, :10]
    return bundle, float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


def test_an_index_that_finds_less_is_refused(registry: Registry, parts: Parts, tmp_path: Path) -> None:
    bundle, by_hand = poor(parts, tmp_path)
    with pytest.raises(GateError, match=rf"its ANN recall@10 is {by_hand:.4g}, version 1 has 1, and gate.recall=0.02 allows 0.98"):
        publish(registry, bundle, replace(WIDE, recall=0.02))


def test_what_stands_beside_an_index_does_not_flatter_it(registry: Registry, parts: Parts, bundle: Bundle, tmp_path: Path) -> None:
    worse, by_hand = poor(parts, tmp_path)
    registry.publish(worse)
    added = [{**row, "id": f"again {row['id']}"} for row in worse.items("id", "title", "genres", "year").to_dicts()]
    ChangeLog(registry.changes).append([Change(items=added, deleted=worse.items("id")["id"].to_list()[:30])])
    assert by_hand < 1
    _, recall, _ = judge(registry, bundle, WIDE).figures
    assert (recall.candidate, recall.current) == (1, pytest.approx(by_hand))


def test_a_slower_one_is_refused(registry: Registry, other: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Contest, "p99_ms", lambda _: [4.0, 2.0])
    with pytest.raises(GateError, match=r"its query p99 ms is 4, version 1 has 2, and gate.latency=0.5 allows 3 "):
        publish(registry, other, replace(WIDE, latency=0.5))
    assert publish(registry, other, replace(WIDE, latency=0.5, latency_ms=2.0)).number == 2, "2 ms are said to be no difference"


def test_without_questions_it_is_published_and_said(
    registry: Registry, parts: Parts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    older = write_bundle(tmp_path / "older", replace(parts, reference=None, measured={"x": 1.0}))
    with caplog.at_level(logging.INFO):
        assert publish(registry, older, Gate(quality=0.0)).number == 2
    assert "keeps no validation queries, so it is not compared with version 1" in caplog.text


def test_whoever_asks_for_a_comparison_is_not_published_without_one(
    registry: Registry, bundle: Bundle, other: Bundle, parts: Parts, tmp_path: Path
) -> None:
    blind = write_bundle(tmp_path / "blind", replace(parts, reference=None, measured={"x": 1.0}))
    with pytest.raises(GateError, match=r"blind is not published: .* keeps no validation queries.* Version 1, .*stays current.*force=true"):
        ensure(registry, blind, Gate(), compared=True)
    assert [version.number for version in registry.versions()] == [1]
    assert ensure(registry, bundle, Gate(), compared=True).number == 1, "it is current"
    assert ensure(registry, other, WIDE, compared=True).number == 2, "it was compared"
    assert ensure(registry, blind, Gate(), compared=True, force=True).number == 3
    assert ensure(Registry(tmp_path / "empty"), blind, Gate(), compared=True).number == 1, "there is nothing whose place it takes"


@pytest.mark.parametrize("first", [False, True], ids=["instead of another", "as the first"])
def test_a_bundle_that_no_server_could_serve_is_refused_where_it_is_compared_with_nothing(
    registry: Registry, parts: Parts, tmp_path: Path, first: bool
) -> None:
    """Features of a kind that this bundle has no towers for were written meanwhile: it knows ready-made vectors only."""
    folder = shutil.copytree(parts.dataset.folder, tmp_path / "dataset")
    np.save(folder / "query_vectors.npy", np.ones((parts.dataset.num_queries, 16), np.float32))
    given = replace(parts, model=None, dataset=type(parts.dataset).load(folder), reference=None, measured={"x": 1.0})
    asked = Registry(tmp_path / "empty") if first else registry
    ChangeLog(asked.changes).append([Change(items=[{"id": "new", "title": "sea", "year": 1999}])])
    with pytest.raises(BundleError, match="cannot embed 1 of the items written since, the first is 'new'"):
        publish(asked, write_bundle(tmp_path / "given", given), WIDE, force=True)
    assert asked.current == (None if first else 1)


def test_changes_of_the_catalogue_are_part_of_both(registry: Registry, bundle: Bundle, other: Bundle) -> None:
    questions = bundle.questions
    assert questions is not None
    gone = [ids[0] for ids in questions.relevant.to_list()[:3]]
    ChangeLog(registry.changes).append([Change(deleted=gone), Change(items=[{"id": "new", "title": "sea", "year": 1999}])])
    quality, recall, _ = judge(registry, other, WIDE).figures
    assert quality.current == pytest.approx(recall_by_hand(bundle, gone), abs=1 / 12)
    assert recall.candidate == pytest.approx(1), "what was added is found exactly"
    one = Contestant.load(other.folder, ChangeLog(registry.changes).read(0))
    assert not one.holds(gone[0])
    assert one.holds("new")


def test_another_version_became_current_meanwhile(registry: Registry, parts: Parts, other: Bundle, tmp_path: Path) -> None:
    third = write_bundle(tmp_path / "third", replace(parts, measured={"x": 3.0}))
    registry.publish(other)
    with pytest.raises(GateError, match=r"version 2 became current .* version 2 stays"):
        registry.publish(third, instead_of=1)
    assert [version.number for version in registry.versions()] == [1, 2]


def test_a_bundle_is_held_against_what_became_current_while_the_gate_asked(
    registry: Registry, parts: Parts, other: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    third = write_bundle(tmp_path / "third", replace(parts, measured={"x": 3.0}))
    asked: list[int | None] = []

    def slow(registry: Registry, bundle: Bundle, gate: Gate, **more: Any) -> Verdict:
        verdict = judge(registry, bundle, gate, **more)
        asked.append(verdict.against)
        registry.publish(other)  # the first time while the gate asks; after that it is there already
        return verdict

    monkeypatch.setattr("tt_hydra.pipeline.publish.judge", slow)
    with caplog.at_level(logging.INFO):
        assert publish(registry, third, WIDE).number == 3
    assert asked == [1, 2]
    assert (registry.current, registry.previous) == (3, 2)
    assert "version 2 became current meanwhile" in caplog.text


def test_changes_that_every_kept_version_contains_are_forgotten(registry: Registry, parts: Parts, tmp_path: Path) -> None:
    log = ChangeLog(registry.changes)
    log.append([Change(deleted=["i1"])])
    second = write_bundle(tmp_path / "2", replace(parts, conditions={"writes_through": 1}))
    third = write_bundle(tmp_path / "3", replace(parts, conditions={"writes_through": 1}, measured={"x": 3.0}))
    registry.publish(second)
    registry.retain(1)
    assert [change.seq for change in log.read(0)] == [1], "version 1, which is kept as the previous one, does not contain it"
    registry.publish(third)
    assert list(registry.retain(1)) == [1]
    assert ChangeLog(registry.changes).last == 1
    fresh = write_bundle(tmp_path / "fresh", replace(parts, measured={"x": 4.0}))
    with pytest.raises(GateError, match=r"contains the changes of the catalogue through 0, .* update model="):
        publish(registry, fresh, WIDE)
    assert log.append([Change(deleted=["i2"])])[0].seq == 2


def test_a_version_of_another_registry_is_refused(registry: Registry, parts: Parts, tmp_path: Path, other: Bundle) -> None:
    foreign = Registry(tmp_path / "foreign")
    foreign.publish(other)
    ChangeLog(foreign.changes).append([Change(deleted=["i1"])])
    compacted = Bundle.load(compact(foreign, WIDE).folder)
    with pytest.raises(GateError, match=r"was built on a version that .* does not hold"):
        publish(registry, compacted, WIDE)
    assert publish(foreign, compacted, WIDE).number == 2
    empty = Registry(tmp_path / "empty")
    assert publish(empty, compacted, WIDE).writes_through == 1
    assert empty.log.append([Change(deleted=["i2"])])[0].seq == 2, "numbers go on behind what the version contains"


def test_margins_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"gate.recall=-1: a margin is 0 or more"):
        Gate(recall=-1)


def test_a_damaged_current_version_does_not_hold_up_the_next_one(
    registry: Registry, other: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    path = registry.version(1).folder / "item_vectors.npy"
    content = path.read_bytes()
    path.unlink()  # a link: the bundle that it came from stays whole
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with caplog.at_level(logging.INFO):
        assert publish(registry, other, Gate(quality=0.0)).number == 2
    assert "version 1 cannot be asked, so there is nothing to compare with" in caplog.text
    assert "item_vectors.npy is damaged" in caplog.text


def test_a_candidate_that_is_damaged_after_it_was_opened_is_refused_by_file(registry: Registry, other: Bundle, tmp_path: Path) -> None:
    copy = Bundle.load(shutil.copytree(other.folder, tmp_path / "copy"))
    path = copy.folder / "item_vectors.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"item_vectors\.npy is damaged"):
        publish(registry, copy, WIDE)
    assert (registry.current, len(registry.versions())) == (1, 1)
