"""profile: what of a run's data decides on where a study searches."""

from __future__ import annotations

from tt_hydra.artifact.store import Store
from tt_hydra.contracts import Kind
from tt_hydra.pipeline.prepared import prepared
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.sweep.automatic import DataProfile


def profile(settings: RunSettings) -> DataProfile:
    """Looks at the data of a run; preparing it is the run's own first stage, which is not done twice."""
    with Store(settings.runtime.outputs / "store") as store:
        dataset = prepared(store, settings.data, settings.seed)
    if dataset.vectors is not None:
        return DataProfile(items=dataset.num_items, pairs=0, only_text=False, history=False, vectors=True)
    return DataProfile(
        items=dataset.num_items,
        pairs=len(dataset.train),
        only_text=dataset.schema.query.only_text and dataset.schema.item.only_text,
        history=bool(dataset.schema.query.of(Kind.HISTORY)),
        vectors=False,
    )
