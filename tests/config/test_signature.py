"""What the sources say about components agrees with what Python says, without importing them."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys

import pytest

from tt_hydra.config import signature
from tt_hydra.config.bind import PACKAGES
from tt_hydra.config.types import Component, Either, describe, resolve

TARGETS = sorted(
    target for package in sorted(set(PACKAGES.values())) for target in signature.components(package) if not target.endswith("Settings")
)


@pytest.mark.parametrize("target", TARGETS)
def test_fields_and_defaults_are_those_that_python_sees(target):
    module, _, name = target.rpartition(".")
    real = getattr(importlib.import_module(module), name)
    cls = signature.find_class(target)
    assert cls is not None
    found = signature.fields(cls)
    assert list(found) == [field.name for field in dataclasses.fields(real)]
    for field in dataclasses.fields(real):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        assert (found[field.name].default is None) == required
        if signature.default(found[field.name]) is not ...:
            assert signature.default(found[field.name]) == field.default


def test_every_kind_of_component_of_a_run_has_its_package():
    cls = signature.find_class("tt_hydra.pipeline.settings.RunSettings")
    kinds = [resolve(field.annotation, field.module) for field in signature.fields(cls).values()]
    flat = [option for kind in kinds for option in (kind.options if isinstance(kind, Either) else (kind,))]
    assert {kind.protocol.node.name for kind in flat if isinstance(kind, Component)} <= set(PACKAGES)
    assert not any(describe(kind) == "anything" for kind in kinds)


def test_what_a_class_says_about_itself():
    loss, given = (signature.find_class(f"tt_hydra.{name}") for name in ("loss.infonce.InfoNCE", "negatives.given.Given"))
    assert signature.constant(loss, "uses_temperature") is True
    assert signature.constant(loss, "uses_log_q") is False
    assert signature.constant(given, "requires_given") is True
    assert signature.constant(loss, "no_such_name") is None


def test_names_that_are_not_ours_or_not_there():
    assert signature.find_class("os.system") is None
    assert signature.find_class("tt_hydra.loss.infonce.Absent") is None
    assert signature.find_class("tt_hydra.loss.../../x.Y") is None
    assert signature.load("tt_hydra.absent") is None


def test_a_check_imports_nothing_heavy():
    heavy = ("torch", "pytorch_lightning", "transformers", "faiss", "polars", "numpy", "tt_hydra.contracts", "tt_hydra.tower.mlp")
    program = (
        "import sys\n"
        "from tt_hydra.config.check import check\nfrom tt_hydra.config.commands import COMMANDS\n"
        "from tt_hydra.config.compose import compose, make_loader\nfrom tt_hydra.config.rules import RUN_RULES\n"
        "config, _ = compose(make_loader(), 'run', ['tower=bert', 'index=hnsw', 'quantization=pq'])\n"
        "checked = check(config, COMMANDS['run'], RUN_RULES, {'runtime.run_dir': '.'})\n"
        f"print(checked.problems, [name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "() []"
