"""What a training depends on beyond its settings: what ``auto`` came to on this machine, and what stands behind a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tt_hydra.artifact.files import sha256
from tt_hydra.component import spec_of
from tt_hydra.contracts import Kind
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.tower.autocast import Precision
from tt_hydra.tower.bert import Bert
from tt_hydra.tower.pretrained import location
from tt_hydra.tower.spec import TowerSpec
from tt_hydra.tower.static import Static
from tt_hydra.tower.token_vectors import find
from tt_hydra.train.initial import initial_files
from tt_hydra.train.precision import Device, resolve_device, resolve_precision

MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.model", "*.npz", "*.npy")


@dataclass(frozen=True, slots=True)
class Compute:
    """What the towers run on, once ``auto`` is resolved."""

    device: Device
    precision: Precision


def resolve_compute(settings: RunSettings, dataset: Dataset) -> Compute:
    """The device and precision that ``auto`` comes to on this machine."""
    device = resolve_device(settings.train.accelerator, settings.train.devices)
    has_text = any(side.of(Kind.TEXT) for side in (dataset.schema.query, dataset.schema.item))
    towers = (settings.query_tower or settings.tower, settings.item_tower or settings.tower)
    transformer = has_text and any(isinstance(tower, Bert) for tower in towers)
    return Compute(device, resolve_precision(settings.train.precision, device, transformer))


def resolved_nodes(settings: RunSettings, compute: Compute) -> dict[str, Any]:
    """The nodes that enter the key of a training as something else than what the config says.

    Weights to start from and local models enter by their content, not by their path.
    """
    train = spec_of(settings.train) | {"accelerator": compute.device, "precision": compute.precision}
    if settings.train.init_from is not None:
        train["init_from"] = [sha256(path) for path in initial_files(Path(settings.train.init_from))]
    towers = {name: getattr(settings, name) for name in ("tower", "query_tower", "item_tower")}
    readers = {name: _reader(getattr(settings, name)) for name in ("screen", "teacher")}
    return {"train": train, **{name: _tower(spec) for name, spec in towers.items()}, **readers}


def _reader(component: Any) -> dict[str, Any]:
    """The spec of what may read texts with a model of its own, by the content of all files of a local one."""
    spec = spec_of(component)
    folder = Path(str(spec.get("model"))).expanduser()
    if spec.get("model") is None or not folder.is_dir():
        return spec
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return spec | {"model": {path.relative_to(folder).as_posix(): sha256(path) for path in files}}


def _tower(spec: TowerSpec | None) -> dict[str, Any] | None:
    if spec is None:
        return None
    return spec_of(spec) | ({"model": _content(spec)} if isinstance(spec, (Bert, Static)) else {})


def _content(spec: Bert | Static) -> Any:
    folder = Path(location(spec.model))
    if not folder.is_dir():
        return spec.model
    folder = find(spec.model) if isinstance(spec, Static) else folder
    files = {path for pattern in MODEL_FILES for path in folder.glob(pattern)}
    return {path.name: sha256(path) for path in sorted(files)}
