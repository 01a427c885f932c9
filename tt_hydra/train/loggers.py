"""Loggers as components: where training curves are written besides the report.

Lightning is imported when a logger is built: it takes seconds, and a configuration is checked without it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tt_hydra.errors import ConfigError

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


class LoggerSpec(Protocol):
    """Where training curves go."""

    def build(self, folder: Path) -> Logger:
        """The Lightning logger that writes under ``folder`` or to its own service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Csv:
    """``csv/metrics.csv`` in the run's folder."""

    def build(self, folder: Path) -> Logger:
        """The CSV logger."""
        from pytorch_lightning.loggers import CSVLogger  # noqa: PLC0415

        return CSVLogger(save_dir=folder, name="csv", version="")


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorBoard:
    """TensorBoard event files in the run's folder."""

    def build(self, folder: Path) -> Logger:
        """The TensorBoard logger."""
        from pytorch_lightning.loggers import TensorBoardLogger  # noqa: PLC0415

        _require("tensorboard", "tensorboard")
        return TensorBoardLogger(save_dir=folder, name="tensorboard", version="", default_hp_metric=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class MLflow:
    """An MLflow experiment; ``tracking_uri: null`` writes to ``mlflow.db`` in the run's folder."""

    experiment: str = "tt_hydra"
    run_name: str | None = None
    tracking_uri: str | None = None

    def build(self, folder: Path) -> Logger:
        """The MLflow logger."""
        from pytorch_lightning.loggers import MLFlowLogger  # noqa: PLC0415

        _require("mlflow", "mlflow")
        uri = self.tracking_uri or f"sqlite:///{folder.resolve()}/mlflow.db"
        return MLFlowLogger(experiment_name=self.experiment, run_name=self.run_name, tracking_uri=uri)


@dataclass(frozen=True, kw_only=True, slots=True)
class WandB:
    """A Weights & Biases run; ``offline: true`` writes to the run's folder only."""

    project: str = "tt_hydra"
    name: str | None = None
    offline: bool = False

    def build(self, folder: Path) -> Logger:
        """The Weights & Biases logger."""
        from pytorch_lightning.loggers import WandbLogger  # noqa: PLC0415

        _require("wandb", "wandb")
        return WandbLogger(project=self.project, name=self.name, save_dir=folder, offline=self.offline)


def _require(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"logger={extra} needs the package {module!r}, which is not installed: pip install 'tt-hydra[{extra}]'")
