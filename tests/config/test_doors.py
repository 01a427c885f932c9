"""Hydra and OmegaConf stand at the door only; option files are found from anywhere."""

from __future__ import annotations

import ast

import pytest
from hydra.types import RunMode

from tt_hydra.config.changed import changed
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.paths import PACKAGE, OwnOptions, config_dir
from tt_hydra.config.problems import Problem, did_you_mean, nearest, refuse
from tt_hydra.config.summary import summary
from tt_hydra.errors import ConfigError


def test_only_the_command_line_and_the_config_package_know_hydra():
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).parts
        if place[0] in ("cli.py", "commands.py", "studies.py", "searches.py", "proposals.py", "config"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("hydra", "omegaconf") for name in names), path


def test_option_files_are_found_beside_the_package_or_in_it(tmp_path, monkeypatch):
    assert config_dir().is_absolute()
    monkeypatch.setattr("tt_hydra.config.paths.PACKAGE", tmp_path / "tt_hydra")
    with pytest.raises(ConfigError, match=r"no run\.yaml in .*tt_hydra/conf nor in"):
        config_dir()
    for place in (tmp_path / "conf", tmp_path / "tt_hydra" / "conf"):
        place.mkdir(parents=True)
        (place / "run.yaml").touch()
        assert config_dir() == place


def test_what_differs_from_the_defaults():
    overrides = ["index=hnsw", "index.efSearch=7", "experiment=debug", "seed=42", "train.batch_size=99", "runtime.threads=1"]
    loader = make_loader()
    config, _ = compose(loader, "run", overrides)
    choices = {"index": "hnsw", "experiment": "debug", "tower": "mlp", "hydra/job_logging": "other"}
    found = changed(loader, "run", config, choices)
    assert found["index"] == ("flat", "hnsw")
    assert found["index.efSearch"] == (128, 7)
    assert found["experiment"] == (None, "debug")
    assert found["train.batch_size"] == (1024, 99)
    assert found["embedding_dim"] == (64, 16), "what the experiment sets is told too"
    assert not any(key in found for key in ("seed", "index.M", "tower", "runtime.threads", "hydra/job_logging"))


def test_what_differs_is_found_where_the_search_path_says(tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "mine.yaml").write_text("defaults: [hnsw]\nM: 12\n")
    loader, place = make_loader(), f"hydra.searchpath=[file://{tmp_path}]"
    config, problems = compose(loader, "run", [place, "index=mine", "index.efSearch=7"])
    assert not problems
    own = OwnOptions.of(loader.load_configuration("run", [place], run_mode=RunMode.RUN).hydra)
    found = changed(loader, "run", config, {"index": "mine"}, own.overrides())
    assert own.words() == [place]
    assert found == {"index": ("flat", "mine"), "index.efSearch": (128, 7)}


def test_what_a_run_comes_to(look):
    lines = dict(
        summary(look("tower=bert", "tower@query_tower=mlp", "query_tower.dropout=0.5", "index=hnsw", "pooling@text_pooling=cls").spec)
    )
    assert lines["query tower"] == "mlp (dropout=0.5)"
    assert lines["item tower"] == "bert"
    assert lines["pooling"] == "cls for texts, mean for histories"
    assert lines["index"] == "hnsw, quantization none"
    assert lines["vectors"] == "64 dimensions, cosine, weights not shared"
    assert lines["training"] == "adamw, default settings"


def test_nearest_names():
    assert nearest("EFSEARCH", ["efSearch", "efConstruction"]) == "efSearch"
    assert nearest("hnws", ["flat", "ivf", "hnsw"]) == "hnsw"
    assert nearest("zzz", ["flat"]) is None
    assert did_you_mean("zzz", ["b", "a"]) == "; there are a, b"
    assert did_you_mean("zzz", []) == ""


def test_problems_become_one_error():
    refuse([Problem("a", "is fine, mostly", warning=True)])
    with pytest.raises(ConfigError, match=r"^a: is wrong$"):
        refuse([Problem("a", "is wrong"), Problem("a", "is wrong")])
    with pytest.raises(ConfigError, match=r"^2 problems in the configuration\n  a: is wrong\n  is bad$"):
        refuse([Problem("a", "is wrong"), Problem("", "is bad")])
