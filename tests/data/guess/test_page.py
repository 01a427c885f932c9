from __future__ import annotations

import polars as pl
import pytest
import yaml
from omegaconf import OmegaConf

from tt_hydra.data.guess.draft import draft
from tt_hydra.data.guess.page import page, scalar
from tt_hydra.data.guess.side import Given

ODD = [
    "a b",
    "yes",
    "null",
    "1",
    "1.5",
    "a: b",
    "a # b",
    "- a",
    "'",
    '"',
    "ünï",
    "line\nbreak",
    "${a}",
    "\\${a}",
    "{x}",
    "*",
    "&a",
    "~",
    "",
    "tab\there",
]


@pytest.mark.parametrize("text", [*ODD, "plain", "data/file.parquet", "item_id"])
def test_texts_come_back(text):
    made = OmegaConf.create(f"key: {scalar(text)}")
    assert made.key == text


def test_plain_names_stay_plain():
    assert scalar("item_id") == "item_id"
    assert scalar("data/items.parquet") == "data/items.parquet"


def test_what_must_be_asked():
    rows = {"user_id": [1, 1, 2, 2] * 5, "customer_id": [3, 3, 4, 4] * 5, "item_id": [1, 2, 3, 4] * 5}
    made = page(draft(Given("events.csv", pl.DataFrame(rows)), None, None), "COMMAND")
    assert made.questions == ("data.interactions.query",)
    assert yaml.safe_load(made.text)["data"]["interactions"]["query"] == "???"
    assert "# query: user_id" in made.text
    assert "# query: customer_id" in made.text
    assert "To be answered before it runs: data.interactions.query" in made.text
    assert "queries are texts" not in made.text
    assert yaml.safe_load(made.text)["evaluate"] == {"exclude_seen": True}, "nothing says that items are taken again"
    assert "take an item again" not in made.text


def test_a_long_list_of_candidates_is_cut():
    rows = {"user_id": [1, 1, 2, 2] * 40} | {f"f{n}": [row % (60 + n) for row in range(160)] for n in range(9)}
    items = pl.DataFrame({"ref": list(range(80)), "title": [f"t{n}" for n in range(80)]})
    text = page(draft(Given("events.csv", pl.DataFrame(rows)), Given("items.csv", items), None), "COMMAND").text
    assert [line.strip() for line in text.splitlines() if "# item: " in line] == [f"# item: f{n}" for n in (8, 7, 6, 5, 4)]
    assert "# and 4 more\n" in text


def test_values_and_reasons():
    rows = {"user_id": [1, 1, 2, 2] * 5, "item_id": [1, 2, 3, 4] * 5, "rating": [1, 5, 3, 4] * 5, "mood": ["a", "a", "b", "b", "b"] * 4}
    items = pl.DataFrame({"item_id": [1, 2, 3, 4, 5], "tags": ["a;b", "b", "c;a", "a;b", "c"]})
    made = page(draft(Given("events.csv", pl.DataFrame(rows)), Given("items.csv", items), None), "COMMAND")
    found = yaml.safe_load(made.text)
    assert made.questions == ()
    assert found["data"]["interactions"] == {
        "path": "events.csv",
        "query": "user_id",
        "item": "item_id",
        "time": None,
        "labels": ["rating"],
        "context": None,
    }
    assert found["data"]["items"]["features"] == {"tags": {"kind": "multi", "sep": ";"}}
    assert found["data"]["split"] == {"kind": "random"}
    assert found["data"]["history"] == {"max_length": 50, "ordered": False}
    assert found["metric"] == "cosine"
    assert found["evaluate"] == {"exclude_seen": True}
    assert "# mood: categorical" in made.text
    assert "COMMAND" in made.text


def test_the_layout_of_beir_is_recognised():
    rows = {"query-id": ["a", "b"] * 3, "corpus-id": ["d", "e"] * 3}
    made = page(draft(Given("my/set/qrels/train.tsv", pl.DataFrame(rows)), None, None), "COMMAND")
    assert "data=beir data.path=my/set" in made.text
