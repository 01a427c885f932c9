from __future__ import annotations

import pytest
import torch
from loss_cases import dense, errors_against, random_case, targets_of
from torch import Tensor
from torch.nn.functional import normalize

from tt_hydra.contracts import Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.bpr import Bpr
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.matryoshka import Matryoshka, trained_prefixes
from tt_hydra.loss.multi_task import MultiTask, Task
from tt_hydra.loss.sigmoid import Sigmoid

TAU = torch.tensor(0.5)


def test_is_the_weighted_mean_over_the_whole_and_its_prefixes() -> None:
    case = random_case(8)
    queries, items = normalize(case.queries, dim=1), normalize(case.items, dim=1)
    loss = Matryoshka(inner=InfoNCE(), dims=(3, 2), weights=(0.5, 0.25)).build()(queries, items, case.targets, TAU)
    each = {dim: InfoNCE()(normalize(queries[:, :dim], dim=1), normalize(items[:, :dim], dim=1), case.targets, TAU) for dim in (5, 3, 2)}
    expected = (each[5].loss + 0.5 * each[3].loss + 0.25 * each[2].loss) / 1.75
    torch.testing.assert_close(loss.loss, expected)
    torch.testing.assert_close(loss.hardest_negative_similarity, each[5].hardest_negative_similarity)
    assert set(loss.parts) == {"loss_5", "loss_3", "loss_2"}
    torch.testing.assert_close(loss.parts["loss_3"], each[3].loss)


def plain(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
    def rows(scores: Tensor, positive: Tensor, negative: Tensor, offset: Tensor) -> Tensor:
        return scores.masked_fill(~negative, -torch.inf).logsumexp(1).logaddexp(positive) - positive

    whole = dense(rows, queries, items, targets, temperature)
    prefixes = [dense(rows, normalize(queries[:, :dim]), normalize(items[:, :dim]), targets, temperature) for dim in (16, 8)]
    return (whole + sum(prefixes)) / 3


def test_tiles_equal_the_dense_matrix() -> None:
    spec = Matryoshka(inner=InfoNCE(chunk_size=1), dims=(16, 8))
    assert max(errors_against(spec, plain, chunk_size=None)) < 1e-5


def test_a_prefix_keeps_its_length_under_dot() -> None:
    queries, items = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[3.0, 0.0, 0.0], [0.0, 5.0, 9.0]])
    targets = targets_of(torch.tensor([0]), torch.zeros(1, 2, dtype=torch.bool))
    spec = {"inner": InfoNCE(), "dims": (1,)}
    dot, cosine = (Matryoshka(**spec, metric=metric).build()(queries, items, targets, TAU).parts["loss_1"] for metric in ("dot", "cosine"))
    torch.testing.assert_close(dot, torch.log1p(torch.exp(torch.tensor(-12.0))))
    torch.testing.assert_close(cosine, torch.log1p(torch.exp(torch.tensor(-2.0))))


def test_all_widths_share_the_inner_losss_weights() -> None:
    assert [name for name, _ in Matryoshka(inner=Sigmoid()).build().named_parameters()] == ["inner.bias"]


def test_what_it_says_of_itself_is_what_the_inner_loss_says() -> None:
    assert Matryoshka().uses_log_q
    assert not Matryoshka(inner=InfoNCE()).uses_log_q


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dims": ()}, r"loss\.dims"),
        ({"dims": (4, 0)}, r"loss\.dims"),
        ({"dims": (4, 4)}, r"loss\.dims"),
        ({"dims": (4, 2), "weights": (1.0,)}, r"loss\.weights"),
        ({"dims": (4,), "weights": (-1.0,)}, r"loss\.weights"),
        ({"inner": Matryoshka()}, r"loss\.inner"),
    ],
)
def test_values_that_make_no_sense(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Matryoshka(**wrong)


def test_a_prefix_as_long_as_the_vectors_is_refused() -> None:
    case = random_case(4)
    with pytest.raises(ConfigError, match="width, which is 5"):
        Matryoshka(dims=(5,)).build()(case.queries, case.items, case.targets, TAU)


def test_the_prefixes_that_a_loss_trains_are_found_where_it_is_wrapped() -> None:
    assert trained_prefixes(InfoNCE()) == ()
    assert trained_prefixes(Matryoshka(dims=(8, 32))) == (8, 32)
    assert trained_prefixes(Matryoshka(dims=(32, 8))) == (8, 32)
    tasks = {"a": Task(loss=Matryoshka(dims=(4,), inner=Bpr())), "b": Task(kind="binary", label="liked", threshold=1)}
    assert trained_prefixes(MultiTask(tasks=tasks)) == (4,)
