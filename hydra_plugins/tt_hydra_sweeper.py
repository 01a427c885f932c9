"""What ``--multirun`` runs: a study where there is a space to search, otherwise Hydra's own grid.

Hydra imports this module at each start: it imports nothing but Hydra.
"""

from __future__ import annotations

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class TTHydraSweeper(Sweeper):
    """Hands a ``--multirun`` to a study or to a grid.

    Args:
        n_trials: trials of a study at most, all its processes together; None for no such limit.
        max_batch_size: jobs of a grid that are launched together.
        params: settings of a grid besides those on the command line.
    """

    def __init__(self, n_trials: int | None = None, max_batch_size: int | None = None, params: dict[str, str] | None = None) -> None:
        self.n_trials = n_trials
        self._grid = BasicSweeper(max_batch_size, params)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra has composed."""
        self._grid.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self._launcher = Plugins.instance().instantiate_launcher(hydra_context=hydra_context, task_function=task_function, config=config)
        self._loader = hydra_context.config_loader
        self._config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the jobs of a grid, or the trials of a study."""
        from tt_hydra.searches import is_study  # noqa: PLC0415  # only a --multirun pays for it
        from tt_hydra.studies import sweep  # noqa: PLC0415

        told = [*arguments, *self._config.hydra.overrides.hydra]
        if not is_study(self._loader, self._config.hydra.job.config_name, told):
            return self._grid.sweep(arguments)
        return sweep(self._launcher, self._loader, self._config, told)
