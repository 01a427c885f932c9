"""Rules between negatives, loss, curriculum, temperature and data: each one broken, and the message that says how to mend it."""

from __future__ import annotations

import pytest

PAIRS = ("data=pairs", "data.path=.")


def one(problems, *parts: str) -> None:
    assert len(problems) == 1, problems
    for part in parts:
        assert part in problems[0]


def test_words_are_needed_on_both_sides(told, tmp_path):
    assert told(*PAIRS, "negatives=bm25") == []
    one(told("negatives=bm25"), "negatives: are found by words", "queries of data=movielens have no text", "kind text")
    one(told("negatives=bm25", "~data.item_features.title"), "queries and the items of data=movielens")
    assert told("negatives=bm25", "+data.query_features.job=text") == []


def test_words_of_a_table_are_declared(told, tmp_path):
    (tmp_path / "events.csv").write_text("user_id,item_id,asked\na,b,c\n")
    (tmp_path / "items.csv").write_text("item_id,title\nb,c\n")
    table = ["negatives=bm25", "data=table", f"data.interactions.path={tmp_path}/events.csv", f"data.items.path={tmp_path}/items.csv"]
    one(told(*table), "queries and the items of data=table have no text")
    text = "data.interactions.text=asked"
    one(told(*table, text), "the items of data=table have no text")
    assert told(*table, text, "data.items.features={title: text}") == []
    assert told(*table, text, "data.items.features={title: {kind: text}}") == []


def test_a_frequency_that_no_loss_reads(told):
    assert told("negatives=mixed", "negatives.frequency=streaming") == []
    one(told("negatives=mixed", "negatives.frequency=streaming", "loss=infonce"), "negatives.frequency: has no effect", "sampled_softmax")


@pytest.mark.parametrize(
    "curriculum",
    [
        ["curriculum=easy_to_hard"],
        ["curriculum=step"],
        ["curriculum=step", "curriculum.phases=[{share: 0.5}]"],
        ["curriculum=step", "curriculum.phases=[{margin: 0.5}]"],
        ["curriculum=step", "curriculum.phases=[{window: [1, 2]}]"],
        ["curriculum=target_hardness", "curriculum.by=window"],
    ],
    ids=" ".join,
)
def test_a_curriculum_of_mined_negatives_needs_some(told, curriculum):
    one(told(*curriculum), "curriculum: has no effect", "negatives=in_batch has none", "negatives=bm25")
    assert told(*curriculum, *PAIRS, "negatives=bm25") == []


def test_a_curriculum_of_the_temperature_does_not(told):
    assert told("curriculum=step", "curriculum.phases=[{temperature: 2}, {start: 0.5}]") == []
    assert told("curriculum=target_hardness") == []


def test_ranks_beyond_those_that_are_kept(told):
    few = [*PAIRS, "negatives=bm25", "negatives.last=40"]
    one(told(*few, "curriculum=easy_to_hard"), "curriculum.window_start: reaches rank 100", "negatives.last=40")
    assert told(*few, "curriculum=easy_to_hard", "curriculum.window_start=[20,40]") == []
    one(told(*few, "curriculum=step"), "curriculum.phases[1].window: reaches rank 100")
    one(told(*few, "curriculum=target_hardness", "curriculum.by=window"), "curriculum.easy: reaches rank 100")
    assert told(*few, "curriculum=target_hardness") == []


def test_a_window_or_margin_that_a_curriculum_overrules_is_a_warning(look):
    mined = ("negatives=mined", "train.batch_size=1024")

    def warned(*overrides: str) -> list[str]:
        checked = look(*mined, *overrides)
        assert checked.errors == ()
        return [problem.path for problem in checked.problems]

    assert warned("negatives.first=10", "negatives.last=50") == []
    assert warned("negatives.first=10", "curriculum=easy_to_hard") == ["negatives.first"]
    assert warned("negatives.first=10", "curriculum=easy_to_hard", "curriculum.window_end=[10,30]") == []
    assert warned("negatives.last=50", "curriculum=easy_to_hard") == ["negatives.last"]
    absolute = ("negatives.margin_kind=absolute", "negatives.margin=0.05")
    assert warned(*absolute, "curriculum=easy_to_hard") == []
    assert warned(*absolute, "curriculum=easy_to_hard", "curriculum.margin_start=0.8", "curriculum.margin_end=0.95") == [
        "negatives.margin_kind"
    ]
    assert warned(*absolute, "curriculum=step", "curriculum.phases=[{margin: 0.9}]") == ["negatives.margin_kind"]


def test_a_distance_as_large_as_a_ratio_is_a_warning(look):
    mined = ("negatives=mined", "train.batch_size=1024", "negatives.margin_kind=absolute")
    checked = look(*mined)
    assert [problem.path for problem in checked.problems] == ["negatives.margin"]
    assert checked.errors == ()
    assert look(*mined, "negatives.margin=0.05").problems == ()


def test_two_controllers_of_one_temperature_are_a_warning(look):
    checked = look("curriculum=target_hardness", "temperature=learned")
    assert [problem.path for problem in checked.problems] == ["temperature"]
    assert checked.errors == ()
    assert look("curriculum=target_hardness", "temperature=cosine").problems == ()


def test_a_controller_needs_a_loss_that_takes_a_temperature(told):
    one(
        told("curriculum=target_hardness", "loss=triplet"), "curriculum: has no effect", "loss=triplet takes no temperature", "loss=infonce"
    )
    phases = ["curriculum=step", "curriculum.phases=[{temperature: 2}]"]
    one(told(*phases, "loss=triplet"), "curriculum: has no effect: it moves the temperature")
    assert told(*phases, "loss=bpr") == []


def test_two_sides_of_mined_negatives_alone(told):
    alone = ["negatives=mined", "negatives.with_in_batch=false", "negatives.start=0"]
    one(told(*alone, "loss=infonce", "loss.symmetric=true"), "negatives=mined gives an item no other queries")
    assert told("negatives=mined", "loss=infonce", "loss.symmetric=true") == []
