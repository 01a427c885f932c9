"""The first stage by itself: a source's data set, found in the store or made, under the key that a run gives it."""

from __future__ import annotations

from tt_hydra.artifact.keys import stage_key
from tt_hydra.artifact.store import Store
from tt_hydra.component import option_of
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.tables import Source
from tt_hydra.pipeline.stage.prepare import prepare
from tt_hydra.pipeline.stage.table import STAGES


def prepared(store: Store, source: Source, seed: int) -> Dataset:
    """The data set of a source."""
    stage = STAGES["prepare"]
    key = stage_key("prepare", {"seed": seed, "data": source.fingerprint()}, [], stage.code, stage.libraries)
    with store.stage("prepare", key, describe={"title": option_of(source)}) as entry:
        if not entry.done:
            prepare(source, seed, entry.folder)
    return Dataset.load(entry.folder)
