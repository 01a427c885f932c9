"""Every option of every group: composed, checked, built, mirrored in the package and in the tests."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from tt_hydra.config import signature
from tt_hydra.config.build import build
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.paths import PACKAGE, config_dir
from tt_hydra.errors import ConfigError
from tt_hydra.pipeline.settings import RunSettings

CONF = config_dir()
TESTS = Path(__file__).resolve().parent.parent
MIRRORED = ("data", "tower", "pooling", "loss", "negatives", "screen", "teacher", "curriculum", "temperature", "index", "quantization")
OPTIONS = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if path.parent != CONF and path.parent.parts[-2:-1] != ("hydra",))
PLACES = {
    "tower": [["tower", "tower@query_tower"], ["tower@item_tower"]],
    "pooling": [["pooling", "pooling@text_pooling", "pooling@history_pooling"]],
}
"""Where the options of a group can be chosen, if not in one place."""
COMPANIONS = {
    **{f"negatives/{name}.yaml": ["data=pairs", "data.path=."] for name in ("given", "bm25")},
    **{f"curriculum/{name}.yaml": ["data=pairs", "data.path=.", "negatives=bm25"] for name in ("step", "easy_to_hard")},
    **{f"data/{name}.yaml": ["data.path=."] for name in ("beir", "pairs", "vectors")},
    "data/table.yaml": ["data.interactions.path=."],
    "experiment/text.yaml": ["data.path=."],
    "experiment/gowalla.yaml": ["data.interactions.path=."],
    "experiment/grocery.yaml": [f"data.{table}.path=." for table in ("interactions", "queries", "items")],
    **{
        f"loss/{name}.yaml": ["data=pairs", "data.path=.", "data.teacher=score", "data.negatives_teacher=scores", "negatives=given"]
        for name in ("margin_mse", "kl_distill")
    },
    "screen/guide.yaml": ["data=pairs", "data.path=."],
    "teacher/cross_encoder.yaml": ["data=pairs", "data.path=.", "loss=kl_distill", "teacher.model=name", "negatives=mined"],
}
"""What an option needs beside it."""


def node_of(path: Path) -> dict[str, object]:
    content = yaml.safe_load((CONF / path).read_text(encoding="utf-8")) or {}
    if "defaults" in content and "_target_" in content:
        config, _ = compose(make_loader(), "run", [f"{path.parts[0]}={path.stem}"])
        return OmegaConf.to_container(config[path.parts[0]], resolve=True)
    return content.get(path.parts[0], content) or {}


def not_installed(path: Path) -> str | None:
    return {"mlflow": "mlflow", "wandb": "wandb", "tensorboard": "tensorboard"}.get(path.stem) if path.parts[0] == "logger" else None


@pytest.mark.parametrize("path", OPTIONS, ids=str)
def test_every_option_composes_passes_the_check_and_is_built(path, look):
    for places in PLACES.get(path.parts[0], [[path.parts[0]]]):
        checked = look(*(f"{place}={path.stem}" for place in places), *COMPANIONS.get(str(path), []))
        package = not_installed(path)
        if checked.errors and package is not None and f"needs the package {package!r}" in str(checked.errors[0]):
            continue
        assert not checked.errors, checked.errors
        assert isinstance(build(checked, RunSettings), RunSettings)


@pytest.mark.parametrize("path", [path for path in OPTIONS if "_target_" in node_of(path)], ids=str)
def test_an_option_file_says_every_field_with_its_default(path):
    node = node_of(path)
    cls = signature.find_class(str(node.pop("_target_")))
    assert cls is not None
    fields = signature.fields(cls)
    assert list(node) == list(fields), "the same keys in the same order"
    for name, value in node.items():
        default = signature.default(fields[name])
        if default is not ...:
            assert value == (list(default) if isinstance(default, tuple) else default), name


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("train/default.yaml", "tt_hydra.train.settings.TrainSettings"),
        ("budget/none.yaml", "tt_hydra.pipeline.settings.Budget"),
    ],
)
def test_a_plain_group_says_every_field_with_its_default(path, settings):
    cls = signature.find_class(settings)
    assert yaml.safe_load((CONF / path).read_text(encoding="utf-8")) == {
        name: signature.default(field) for name, field in signature.fields(cls).items()
    }


def test_folders_that_are_named_by_the_time_differ_within_a_second():
    named = [line for path in CONF.glob("*.yaml") for line in path.read_text(encoding="utf-8").splitlines() if "${now:" in line]
    assert len(named) >= 5
    assert all("%S-%f}" in line for line in named), named


def test_the_root_says_every_field_with_its_default():
    root = yaml.safe_load((CONF / "run.yaml").read_text(encoding="utf-8"))
    groups = {next(iter(entry)).partition("@")[0] for entry in root["defaults"] if isinstance(entry, dict)}
    cls = signature.find_class("tt_hydra.pipeline.settings.RunSettings")
    for name, field in signature.fields(cls).items():
        assert name in root or name in groups, name
        if name in root and signature.default(field) is not ...:
            assert root[name] == signature.default(field), name
    for name, settings in (("evaluate", "EvaluateSettings"), ("runtime", "Runtime")):
        known = signature.fields(signature.find_class(f"tt_hydra.pipeline.settings.{settings}"))
        assert list(root[name]) == [key for key in known if key != "run_dir"]
        for key in root[name].keys() - {"outputs"}:
            default = signature.default(known[key])
            assert root[name][key] == (list(default) if isinstance(default, tuple) else default), key


@pytest.mark.parametrize("group", MIRRORED)
def test_options_modules_and_tests_have_the_same_names(group):
    options = {path.stem for path in (CONF / group).glob("*.yaml")}
    for name in options:
        assert (PACKAGE / group / f"{name}.py").is_file(), f"conf/{group}/{name}.yaml has no module"
        assert (TESTS / group / f"test_{name}.py").is_file(), f"conf/{group}/{name}.yaml has no test"
    public = {target.split(".")[2] for target in signature.components(f"tt_hydra.{group}")}
    targets = {str(node_of(Path(group, f"{name}.yaml"))["_target_"]).split(".")[2] for name in options}
    assert targets == options
    assert options <= public


@pytest.mark.parametrize("path", OPTIONS, ids=str)
def test_every_option_says_what_it_is_and_shows_a_command(path):
    lines = (CONF / path).read_text(encoding="utf-8").splitlines()
    header = itertools.takewhile(lambda line: line.startswith("#"), lines)
    assert any("python -m tt_hydra" in line for line in header)


def test_values_that_components_refuse_are_told_all_at_once(look):
    with pytest.raises(ConfigError) as refused:
        build(look("train.max_epochs=-1", "tower.dropout=2", "temperature.start=0"), RunSettings)
    assert all(key in str(refused.value) for key in ("train.max_epochs", "tower.dropout", "temperature.start"))
