"""Starting a training from the weights of an earlier bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tt_hydra.contracts import Kind, Side
from tt_hydra.data.encoders import FIRST_CODE
from tt_hydra.data.featurizer import Featurizer
from tt_hydra.errors import ConfigError
from tt_hydra.tower.two_tower import TwoTower

logger = logging.getLogger(__name__)

FEATURIZER = "featurizer.json"
SIDES: tuple[Side, Side] = ("query", "item")
Weights = Mapping[str, Tensor]


def initialise(towers: TwoTower, bundle: Path, featurizer: Featurizer) -> None:
    """Takes over every weight of the bundle's towers that has the same name and shape here, and the vector of every known category.

    Codes of categories are numbers of one data set: their vectors are taken over by feature and value, so that a data set with new
    items, or with the same ones in another order, starts from what is known of each. A weight that is not in the bundle, and the
    vector of a category that it does not know, stay as they are.

    Args:
        towers: changed in place.
        bundle: folder of a bundle.
        featurizer: of the data that the towers are for.

    Raises:
        ConfigError: there are no weights at that place, or none of them fits.
    """
    saved = {name: tensor for file in weight_files(bundle) for name, tensor in load_file(file).items()}
    own = towers.state_dict()
    if (bundle / FEATURIZER).exists():
        origin = Featurizer.from_json((bundle / FEATURIZER).read_text(encoding="utf-8"))
        found = _outside_tables(saved) | {name: weight for side in SIDES for name, weight in _tables(side, origin, featurizer, saved, own)}
    else:
        found = dict(saved)
    fitting = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
    if not fitting:
        raise ConfigError(f"train.init_from={bundle}: none of its {len(saved)} weights has the name and shape of a weight of these towers")
    towers.load_state_dict({**own, **fitting})
    logger.info("train.init_from: took over %d of %d weights; %d start afresh", len(fitting), len(saved), len(own) - len(fitting))


def weight_files(bundle: Path) -> list[Path]:
    """The weight files of a bundle.

    Raises:
        ConfigError: there are none.
    """
    files = sorted(bundle.glob("*.safetensors"))
    if not files:
        raise ConfigError(f"train.init_from={bundle} holds no *.safetensors: name a bundle folder such as outputs/run/latest/bundle")
    return files


def initial_files(bundle: Path) -> list[Path]:
    """Every file of a bundle that decides what a training starts from.

    Raises:
        ConfigError: there are no weights.
    """
    return [*weight_files(bundle), *(path for path in (bundle / FEATURIZER,) if path.exists())]


def _outside_tables(saved: Weights) -> dict[str, Tensor]:
    return {name: weight for name, weight in saved.items() if ".features.encoders." not in name}


def _tables(side: Side, origin: Featurizer, featurizer: Featurizer, saved: Weights, own: Weights) -> list[tuple[str, Tensor]]:
    """The weights of a side's feature encoders under the names that they have here."""
    places = {feature: place for place, feature in enumerate(_encoded(side, origin))}
    earlier, now = _vocabularies(side, origin), _vocabularies(side, featurizer)
    found = []
    for place, feature in enumerate(_encoded(side, featurizer)):
        old, new = (f"towers.{side}.features.encoders.{number}." for number in (places.get(feature, -1), place))
        for name, weight in saved.items():
            if name.startswith(old) and new + name.removeprefix(old) in own:
                target = new + name.removeprefix(old)
                coded = feature in earlier and feature in now
                found.append((target, _recoded(weight, own[target], earlier[feature], now[feature]) if coded else weight))
    return found


def _recoded(weight: Tensor, own: Tensor, earlier: tuple[str, ...], now: tuple[str, ...]) -> Tensor:
    """``own (codes, dim)`` with the vectors of the values that ``weight`` knows too."""
    if weight.shape[1:] != own.shape[1:]:
        return weight
    codes = {value: code for code, value in enumerate(earlier, FIRST_CODE)}
    pairs = [(code, codes[value]) for code, value in enumerate(now, FIRST_CODE) if value in codes]
    to, origin = torch.tensor([*((code, code) for code in range(FIRST_CODE)), *pairs]).T
    recoded = own.clone()
    recoded[to] = weight[origin]
    return recoded


def _encoded(side: Side, featurizer: Featurizer) -> list[str]:
    """The features that have an encoder each, in the order in which a tower numbers them."""
    return [feature.name for feature in featurizer.schema.side(side).features if feature.kind not in (Kind.TEXT, Kind.HISTORY)]


def _vocabularies(side: Side, featurizer: Featurizer) -> dict[str, tuple[str, ...]]:
    encoders = featurizer.items if side == "item" else (*featurizer.queries, *featurizer.context)
    return {encoder.name: encoder.vocabulary for encoder in encoders if hasattr(encoder, "vocabulary")}
