"""Starting from the weights of a bundle, by name, and for categories by value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tt_hydra.data.dataset import Dataset
from tt_hydra.data.encoders import FIRST_CODE, Categorical
from tt_hydra.data.featurizer import Featurizer
from tt_hydra.errors import ConfigError
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.fit import TrainingJob
from tt_hydra.train.initial import initial_files, initialise

TABLE = "towers.item.features.encoders.0.weight"


@pytest.fixture
def dataset(datasets: Callable[[str], Dataset]) -> Dataset:
    return datasets("leave_last_out")


@pytest.fixture
def towers(make_job: Callable[..., TrainingJob]) -> Callable[[int], TwoTower]:
    return lambda seed: make_job(seed=seed).towers


def write_bundle(folder: Path, towers: TwoTower, featurizer: Featurizer | None) -> Path:
    folder.mkdir(exist_ok=True)
    state = towers.state_dict()
    for side in ("query", "item"):
        save_file(
            {name: weight for name, weight in state.items() if name.startswith(f"towers.{side}")}, folder / f"{side}_tower.safetensors"
        )
    if featurizer is not None:
        (folder / "featurizer.json").write_text(featurizer.to_json(), encoding="utf-8")
    return folder


def recoded(featurizer: Featurizer, vocabulary: tuple[str, ...]) -> Featurizer:
    """The same with another vocabulary of the items' ids."""
    items = tuple(replace(each, vocabulary=vocabulary) if each.name == "id" else each for each in featurizer.items)
    return replace(featurizer, items=items)


def item_ids(featurizer: Featurizer) -> tuple[str, ...]:
    (encoder,) = (each for each in featurizer.items if isinstance(each, Categorical))
    return encoder.vocabulary


@pytest.mark.parametrize("with_featurizer", [True, False])
def test_every_weight_is_taken_over(tmp_path: Path, towers, dataset: Dataset, with_featurizer: bool) -> None:
    earlier, later = towers(1), towers(2)
    bundle = write_bundle(tmp_path / "bundle", earlier, dataset.featurizer if with_featurizer else None)
    initialise(later, bundle, dataset.featurizer)
    assert all(torch.equal(weight, earlier.state_dict()[name]) for name, weight in later.state_dict().items())


def test_categories_are_taken_over_by_value_and_not_by_code(tmp_path: Path, towers, dataset: Dataset) -> None:
    earlier, later, untouched = towers(1), towers(2), towers(2)
    ids = item_ids(dataset.featurizer)
    reordered = (*reversed(ids[:-1]), "an item that is new")
    initialise(later, write_bundle(tmp_path / "bundle", earlier, dataset.featurizer), recoded(dataset.featurizer, reordered))
    table, origin, own = (each.state_dict()[TABLE] for each in (later, earlier, untouched))
    for code, value in enumerate(reordered[:-1], FIRST_CODE):
        assert torch.equal(table[code], origin[FIRST_CODE + ids.index(value)])
    assert torch.equal(table[-1], own[-1]), "what the bundle does not know starts afresh"
    assert torch.equal(table[:FIRST_CODE], origin[:FIRST_CODE])


def test_a_feature_keeps_its_weights_when_others_come_before_it(tmp_path: Path, towers, dataset: Dataset) -> None:
    earlier = towers(1)
    state = {name: weight for name, weight in earlier.state_dict().items() if name != TABLE}
    state[TABLE.replace(".0.", ".1.")] = earlier.state_dict()[TABLE]
    state[TABLE] = torch.full_like(earlier.state_dict()[TABLE], 9.0)  # another feature, of the same size
    first = Categorical(name="first", vocabulary=item_ids(dataset.featurizer))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    save_file(state, bundle / "item_tower.safetensors")
    (bundle / "featurizer.json").write_text(
        replace(dataset.featurizer, items=(first, *dataset.featurizer.items)).to_json(), encoding="utf-8"
    )
    later = towers(2)
    initialise(later, bundle, dataset.featurizer)
    assert torch.equal(later.state_dict()[TABLE], earlier.state_dict()[TABLE])


def test_weights_of_another_shape_start_afresh(tmp_path: Path, towers, dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    earlier, later, untouched = towers(1), towers(2), towers(2)
    state = earlier.state_dict()
    projection = "towers.item.projection.linear.weight"
    state[projection] = torch.ones(3, 3)
    (tmp_path / "bundle").mkdir()
    save_file(state, tmp_path / "bundle" / "model.safetensors")
    with caplog.at_level("INFO"):
        initialise(later, tmp_path / "bundle", dataset.featurizer)
    assert torch.equal(later.state_dict()[projection], untouched.state_dict()[projection])
    assert torch.equal(later.state_dict()[TABLE], earlier.state_dict()[TABLE])
    assert f"took over {len(state) - 1} of {len(state)} weights; 1 start afresh" in caplog.text


def test_foreign_weights_are_refused(tmp_path: Path, towers, dataset: Dataset) -> None:
    save_file({"encoder.layer.0.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=r"train\.init_from=.*none of its 1 weights"):
        initialise(towers(0), tmp_path, dataset.featurizer)


def test_a_folder_without_weights_is_refused(tmp_path: Path, towers, dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"holds no \*\.safetensors: name a bundle folder"):
        initialise(towers(0), tmp_path, dataset.featurizer)
    with pytest.raises(ConfigError, match="name a bundle folder"):
        initial_files(tmp_path / "nowhere")


def test_the_files_that_decide_are_the_weights_and_the_featurizer(tmp_path: Path, towers, dataset: Dataset) -> None:
    bundle = write_bundle(tmp_path / "bundle", towers(0), dataset.featurizer)
    (bundle / "report.html").write_text("")
    assert [path.name for path in initial_files(bundle)] == ["item_tower.safetensors", "query_tower.safetensors", "featurizer.json"]
