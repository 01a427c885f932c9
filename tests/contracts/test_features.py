"""Rows of encoded features can be taken like rows of an array."""

from __future__ import annotations

import torch

from tt_hydra.contracts import Features, History, Padded


def padded(*rows: list[int]) -> Padded:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [99] * (longest - len(row)) for row in rows])
    return Padded(ids, torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows]))


def lists(value: Padded) -> list[list[int]]:
    return [ids[mask].tolist() for ids, mask in zip(value.ids, value.mask, strict=True)]


def test_sequences_are_padded_to_the_longest_row_that_is_taken() -> None:
    taken = padded([1, 2, 3], [4], [5, 6], []).take(torch.tensor([2, 1, 2]))
    assert lists(taken) == [[5, 6], [4], [5, 6]]
    assert taken.ids.shape == (3, 2)


def test_empty_sequences_keep_one_position() -> None:
    assert padded([1, 2], [], []).take(torch.tensor([1, 2])).ids.shape == (2, 1)


def test_rows_of_every_kind_of_feature_are_taken() -> None:
    values = {"code": torch.tensor([7, 8, 9]), "number": torch.arange(6.0).reshape(3, 2), "text": padded([1], [2, 2], [3])}
    taken = Features(3, values, torch.tensor([70, 80, 90])).take(torch.tensor([2, 0]))
    assert taken.size == 2
    assert taken.rows is not None
    assert taken.rows.tolist() == [90, 70]
    assert taken.values["code"].tolist() == [9, 7]  # type: ignore[union-attr]
    assert taken.values["number"].tolist() == [[4, 5], [0, 1]]  # type: ignore[union-attr]
    assert lists(taken.values["text"]) == [[3], [1]]  # type: ignore[arg-type]


def history() -> History:
    return History(padded([0, 2], [], [3], [2, 2, 1]), Features(4, {"code": torch.tensor([10, 11, 12, 13])}, torch.tensor([5, 6, 7, 8])))


def test_a_history_takes_along_the_items_that_it_names_and_no_others() -> None:
    taken = history().take(torch.tensor([3, 1, 0]))
    codes = taken.items.values["code"]
    assert sorted(codes.tolist()) == [10, 11, 12]  # type: ignore[union-attr]
    named = [codes[torch.tensor(row, dtype=torch.int64)].tolist() for row in lists(taken.positions)]  # type: ignore[index]
    assert named == [[12, 12, 11], [], [10, 12]]
    assert int(taken.positions.ids.max()) < taken.items.size, "padded positions can be looked up"


def test_histories_without_items_keep_one() -> None:
    taken = history().take(torch.tensor([1]))
    assert taken.items.size == 1
    assert lists(taken.positions) == [[]]
