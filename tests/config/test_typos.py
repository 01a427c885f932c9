"""A wrong key, option or value, wherever it stands, is told with its dotted path and the right name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tt_hydra.config.paths import config_dir
from tt_hydra.errors import ConfigError

CONF = config_dir()
WITH_KEYS = {
    "data": ("movielens", "min_rating"),
    "tower": ("mlp", "feature_dim"),
    "pooling": ("attention", "hidden_dim"),
    "loss": ("infonce", "symmetric"),
    "negatives": ("uniform", "num_negatives"),
    "screen": ("margin", "margin"),
    "temperature": ("cosine", "start"),
    "index": ("hnsw", "efSearch"),
    "quantization": ("pq", "refine"),
    "optimizer": ("adamw", "weight_decay"),
    "train": ("default", "max_epochs"),
    "budget": ("none", "build_s"),
    "logger": ("mlflow", "run_name"),
}
"""An option of each group, and one of its keys."""


@pytest.fixture
def told(told):
    """As elsewhere, but whether optional packages are installed does not matter here."""
    return lambda *overrides, **options: [problem for problem in told(*overrides, **options) if "needs the package" not in problem]


def misspelt(key: str) -> str:
    return key[:-2] + key[-1]


def test_keys_in_option_files(told, tmp_path):
    expected = []
    for group, (option, key) in WITH_KEYS.items():
        node = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8"))
        node[misspelt(key)] = node.pop(key)
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine.yaml").write_text(yaml.safe_dump(node))
        expected.append((f"{group}.{misspelt(key)}", f"did you mean {key!r}?"))
    problems = told(*(f"{group}=mine" for group in WITH_KEYS), folders=[tmp_path])
    assert sorted((problem.partition(":")[0], problem.partition("; ")[2]) for problem in problems) == sorted(expected)


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_keys_on_the_command_line(sign, told):
    wrong = [f"{sign}{group}.{misspelt(key)}=1" for group, (_, key) in WITH_KEYS.items()]
    problems = told(*(f"{group}={option}" for group, (option, _) in WITH_KEYS.items()), *wrong)
    found = {problem.partition(":")[0]: problem.partition("did you mean ")[2].strip("'?").rpartition(".")[2] for problem in problems}
    assert found == {f"{group}.{misspelt(key)}": key for group, (_, key) in WITH_KEYS.items()}


def test_options(told):
    problems = told(*(f"{group}={misspelt(option)}" for group, (option, _) in WITH_KEYS.items()))
    assert problems == [
        f"{group}: has no option {misspelt(option)!r}; did you mean {option!r}?" for group, (option, _) in WITH_KEYS.items()
    ]


def test_groups(told):
    problems = told(*(f"{misspelt(group)}={option}" for group, (option, _) in WITH_KEYS.items()))
    assert problems == [f"{misspelt(group)}: is no key; did you mean {group!r}?" for group in WITH_KEYS]


def test_keys_of_the_root_in_an_experiment(told, tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "embeding_dim: 7\nSeed: 1\nevaluate: {exclude_sen: true}\nruntime: {thread: 1}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\n" + text)
    problems = told("experiment=mine", folders=[tmp_path])
    assert sorted((problem.partition(":")[0], problem.partition("did you mean ")[2]) for problem in problems) == [
        ("Seed", "'seed'?"),
        ("embeding_dim", "'embedding_dim'?"),
        ("evaluate.exclude_sen", "'exclude_seen'?"),
        ("runtime.thread", "'threads'?"),
    ]


@pytest.mark.parametrize(("key", "right"), [("batch_size", "train.batch_size"), ("exclude_seen", "evaluate.exclude_seen")])
def test_a_key_at_the_wrong_level_is_told_its_place(key, right, told):
    assert f"did you mean {right!r}?" in told(f"{key}=1")[0]
    assert f"did you mean {right!r}?" in told(f"+{key}=1")[0]


def test_a_nested_key(told):
    assert told("data.history.max_lenght=3") == ["data.history.max_lenght: is no key; did you mean 'data.history.max_length'?"]
    assert "did you mean 'sep'?" in told("+data.item_features.genres={kind:multi,sepp:a}")[0]
    assert "did you mean 'multi'?" in told("data.item_features.genres=mutli")[0]


def test_every_mistake_is_told_at_once(told, tmp_path):
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("_target_: tt_hydra.loss.infonce.InfoNCE\nsymetric: true\n")
    problems = told("loss=mine", "index=hnws", "index.efSerch=2", "trian.max_epochs=1", "seed=x", "metric=dott", folders=[tmp_path])
    assert [problem.partition(":")[0] for problem in problems] == [
        "index", "index.efSerch", "trian.max_epochs", "seed", "metric", "loss.symetric",
    ]  # fmt: skip


WRONG_VALUES = {
    "seed=1.5": "must be a whole number, got 1.5",
    "embedding_dim=big": "must be a whole number, or null, got 'big'",
    "metric=dott": "must be dot or cosine, got 'dott'; did you mean 'dot'?",
    "tie=maybe": "must be auto, or true or false, got 'maybe'",
    "tower.hidden_dims=64": "must be a list whose values are each a whole number, got 64",
    "optimizer.betas=[0.9]": "must be a list of 2 values, got [0.9]",
    "train.warmup=a": "must be a finite number, got 'a'",
    "train.patience=true": "must be a whole number, or null, got true",
    "train.devices=[0]": "must be a whole number, got [0]",
    "train.decay=null": "must be none or linear or cosine, got null",
    "evaluate.exclude_seen=1": "must be true or false, got 1",
    "~loss": "is missing: RunSettings needs it, a Loss",
}


def test_values_of_the_wrong_type(told):
    problems = told(*WRONG_VALUES)
    assert sorted(problems) == sorted(f"{override.partition('=')[0].lstrip('~')}: {text}" for override, text in WRONG_VALUES.items())
    assert told("tower.hidden_dims=[64,x]") == ["tower.hidden_dims[1]: must be a whole number, got 'x'"]
    assert told("quantization=null") == ["quantization: has no option 'null'; there are binary, fp16, int8, none, opq, pca, pq, scalar"]


def test_values_take_the_form_of_their_fields(look, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").touch()
    checked = look(
        "train.precision=32", "train.gradient_clip=1", "tie=true", "data.path=2024", "embedding_dim=null", "tower.hidden_dims=[8,4]"
    )
    assert not checked.errors
    train, tower = checked.spec["train"], checked.spec["tower"]
    assert train["precision"] == "32"
    assert isinstance(train["gradient_clip"], float)
    assert checked.spec["tie"] is True
    assert checked.spec["data"]["path"] == "2024"
    assert checked.spec["embedding_dim"] is None
    assert tower["hidden_dims"] == (8, 4)


def test_a_component_of_the_wrong_kind_or_none(told, tmp_path):
    (tmp_path / "loss").mkdir()

    def problems(text: str) -> list[str]:
        (tmp_path / "loss" / "mine.yaml").write_text(text)
        return told("loss=mine", folders=[tmp_path])

    assert "is no Loss" in problems("_target_: tt_hydra.tower.mlp.Mlp\n")[0]
    assert "did you mean 'tt_hydra.loss.infonce.InfoNCE'?" in problems("_target_: tt_hydra.loss.infonce.InfoNCe\n")[0]
    assert "did you mean 'tt_hydra.loss.infonce.InfoNCE'?" in problems("_target_: tt_hydra.loss.infonc.InfoNCE\n")[0]
    assert "runtime.allow_targets" in problems("_target_: os.system\ncommand: ls\n")[0]
    assert problems("symmetric: true\n")[0].startswith("loss: has no _target_")
    assert problems("")[0].startswith("loss: ")
    assert problems("just words\n")[0]
    assert "mine.yaml" in problems("a: [1\n")[0]
    assert "line 2" in problems("a: [1\n")[0]


def test_an_index_of_the_wrong_kind(told):
    assert told("index._target_=tt_hydra.quantization.pq.Pq")[0].startswith("index._target_: 'tt_hydra.quantization.pq.Pq' does not fit")


def test_a_component_of_ones_own(told, tmp_path, monkeypatch):
    (tmp_path / "my_losses.py").write_text(
        "class Mine:\n    uses_temperature = False\n    uses_log_q = False\n"
        "    def __init__(self, margin, scale=1.0): ...\n    def __call__(self, queries, items, targets, temperature): ...\n"
        "    def build(self): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("_target_: my_losses.Mine\nmargin: 0.2\n")
    allowed = ["loss=mine", "runtime.allow_targets=[my_losses.]"]
    assert "not allowed" in told("loss=mine", folders=[tmp_path])[0]
    assert told(*allowed, folders=[tmp_path]) == []
    assert "did you mean 'scale'?" in told(*allowed, "+loss.scal=2", folders=[tmp_path])[0]
    assert told(*allowed, "~loss.margin", folders=[tmp_path]) == ["loss.margin: is missing: Mine needs it"]
    (told_so,) = told(*allowed, "temperature.start=0.5", folders=[tmp_path])
    assert told_so.startswith("temperature.start: has no effect")


def test_missing_and_unreadable_values(told):
    assert told("side=item", command="embed") == ["input: must be given: a text, for example input=VALUE"]
    assert told(command="compare")[0] == "runs: must be given: a list whose values are each a text, for example runs=[VALUE]"
    assert told("embedding_dim=${embeding_dim}")[0].startswith("embedding_dim: cannot be resolved")
    assert told("data.path=(a")[0].startswith("data.path=(a: cannot be read; quote the value")
    assert told("index=flat,hnsw")[0].startswith("index: has several values (flat,hnsw); add --multirun")
    assert told("query_tower=mlp")[0].endswith("choose it with tower@query_tower=mlp")
    assert "hydra.run.dir" in told("+runtime.run_dir=x")[0]
    assert told("+experiment=debug") == ["experiment: is among the groups already: write experiment=debug, without the +"]
    assert told("+index=hnws")[1:] == ["index: has no option 'hnws'; did you mean 'hnsw'?"]
    assert told("tower@qery_tower=mlp") == ["tower@qery_tower: is no group; did you mean 'tower@query_tower'?"]


def test_a_key_that_the_option_file_leaves_out_can_be_added(told, tmp_path):
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("_target_: tt_hydra.loss.infonce.InfoNCE\n")
    assert told("loss=mine", "+loss.symmetric=true", folders=[tmp_path]) == []
    assert told("loss=mine", "loss.symmetric=true", folders=[tmp_path])[0].endswith("add it with +loss.symmetric=true")


def test_a_mapping_that_names_other_keys_can_be_added_to(told, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(
        "defaults: [table, _self_]\ninteractions: {path: .}\nitems: {path: ., features: {a: text}}\n"
    )
    (refused,) = told("data=mine", "data.items.features={b: text}", folders=[tmp_path])
    assert refused == "data.items.features: names keys that are not there; to add them: +data.items.features={b: text}"
    assert told("data=mine", "+data.items.features={b: text}", folders=[tmp_path]) == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_are_finite(told, value):
    assert told(f"budget.latency_p99_ms={value}") == [f"budget.latency_p99_ms: must be a finite number, or null, got {value}"]
    assert told(f"optimizer.lr={value}") == [f"optimizer.lr: must be a finite number, got {value}"]


def test_no_folder_of_options(told, tmp_path):
    with pytest.raises(ConfigError, match="--config-dir"):
        told(folders=[Path(tmp_path / "absent")])


@pytest.mark.parametrize("override", ["train.accumulate_grad_batches=4", "+train.gradient_accumulation_steps=4"])
def test_whoever_asks_for_accumulated_gradients_is_told_what_they_are_after(told, override):
    (problem,) = told(override)
    assert "accumulated gradients add no negatives" in problem
    assert "train.batch_size" in problem
    assert "train.micro_batch_size" in problem


def test_an_option_within_an_option(told):
    inner = ("loss=matryoshka", "loss@loss.inner=infonce")
    assert told("loss=matryoshka", "loss@loss.inner=infonc") == ["loss@loss.inner: has no option 'infonc'; did you mean 'infonce'?"]
    assert told(*reversed(inner), "loss.inner.symetric=true") == ["loss.inner.symetric: is no key; did you mean 'loss.inner.symmetric'?"]
    assert told("loss=infonce", "loss@loss.inner=infonce")[0].startswith("loss@loss.inner: is no group")
    task, within = "loss@loss.tasks.retrieval.loss", "loss@loss.tasks.retrieval.loss.inner"
    problems = told(f"{within}=bprr", "loss=multi_task", f"{task}=matryoshka", "loss.weighting=equal")
    assert [problem.partition(": ")[0] for problem in problems] == [within, "loss.weighting"]
