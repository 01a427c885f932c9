"""Starting a training from the weights of an earlier bundle."""

from __future__ import annotations

import logging
from pathlib import Path

from safetensors.torch import load_file

from tt_hydra.errors import ConfigError
from tt_hydra.tower.two_tower import TwoTower

logger = logging.getLogger(__name__)


def initialise(towers: TwoTower, bundle: Path) -> None:
    """Takes over every weight of the bundle's towers that has the same name and shape here.

    Raises:
        ConfigError: there are no weights at that place, or none of them fits.
    """
    files = weight_files(bundle)
    saved = {name: tensor for file in files for name, tensor in load_file(file).items()}
    own = towers.state_dict()
    fitting = {name: tensor for name, tensor in saved.items() if name in own and own[name].shape == tensor.shape}
    if not fitting:
        raise ConfigError(f"train.init_from={bundle}: none of its {len(saved)} weights has the name and shape of a weight of these towers")
    towers.load_state_dict({**own, **fitting})
    logger.info("train.init_from: took over %d of %d weights; %d start afresh", len(fitting), len(saved), len(own) - len(fitting))


def weight_files(bundle: Path) -> list[Path]:
    """The weight files of a bundle or of a stored training.

    Raises:
        ConfigError: there are none.
    """
    files = sorted(bundle.glob("*.safetensors"))
    if not files:
        raise ConfigError(f"train.init_from={bundle} holds no *.safetensors: name a bundle folder such as outputs/run/latest/bundle")
    return files
