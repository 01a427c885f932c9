from __future__ import annotations

import torch

from tt_hydra.contracts import Feature, Features, Kind, Padded, SideSchema
from tt_hydra.tower.features import CodeTable, FeatureEncoder, NumberLine


def test_padding_and_unknown_start_at_zero() -> None:
    table = CodeTable(5, 3)
    assert table(torch.tensor([0, 1])).abs().sum() == 0
    assert (table(torch.tensor([2, 3, 4])).abs().sum(dim=1) > 0).all()


def test_padding_is_never_trained_and_unknown_is() -> None:
    table = CodeTable(5, 3)
    table(torch.tensor([0, 1, 2])).sum().backward()
    assert table.weight.grad[:, 0].tolist() == [0, 1, 1, 0, 0]


def test_multi_valued_is_the_mean_of_the_real_codes() -> None:
    table = CodeTable(5, 3)
    codes = Padded(torch.tensor([[2, 4, 0], [3, 3, 3], [0, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]]).bool())
    expected = torch.stack([(table.weight[2] + table.weight[4]) / 2, table.weight[3], torch.zeros(3)])
    torch.testing.assert_close(table(codes), expected)


def test_a_missing_number_is_told_from_zero() -> None:
    torch.manual_seed(0)
    zero, missing = NumberLine(4)(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    assert zero.abs().sum() == 0
    assert missing.abs().sum() > 0


def test_features_stand_in_declaration_order() -> None:
    schema = SideSchema((Feature(name="b", kind=Kind.NUMERIC), Feature(name="a", kind=Kind.CATEGORICAL, size=3)))
    encoder = FeatureEncoder(schema, 2, None)
    values = {"a": torch.tensor([2]), "b": torch.tensor([[1.0, 0.0]])}
    parts = [encoder.encoders[0](values["b"]), encoder.encoders[1](values["a"])]
    torch.testing.assert_close(encoder(Features(1, values), None), torch.cat(parts, dim=1))
    assert encoder.width == 4
