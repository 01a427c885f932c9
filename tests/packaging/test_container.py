"""The container file, as far as can be said without building it: its commands, keys, extras and probes exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from services import registry_of, running

from tt_hydra import cli
from tt_hydra.artifact.bundle import Bundle
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.paths import PACKAGE
from tt_hydra.serve.settings import ServeOptions

ROOT = PACKAGE.parent
PATH = PACKAGE / "deploy" / "Containerfile"
TEXT = PATH.read_text(encoding="utf-8")
LINES = [line.split(maxsplit=1) for line in TEXT.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def said(instruction: str) -> list[str]:
    return [rest for name, rest in LINES if name == instruction]


def listed(text: str) -> list[str]:
    return json.loads(text[text.index("[") :])


def test_what_it_starts_is_a_command_whose_keys_exist(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (entry,), (command,) = said("ENTRYPOINT"), said("CMD")
    python, flag, module, name, *overrides = listed(entry) + listed(command)
    assert (python, flag, module) == ("python", "-m", "tt_hydra")
    assert name in COMMANDS
    given = [name, *overrides, "--cfg", "job"]
    monkeypatch.setattr(sys, "argv", ["tt-hydra", *given])
    assert cli.status(given) == 0
    shown = capsys.readouterr().out
    assert "host: 0.0.0.0" in shown
    assert "bundle: current" in shown


def test_overrides_in_its_recipe_exist():
    keys = set(re.findall(r"serve\.\w+", "".join(line for line in TEXT.splitlines() if line.startswith("#"))))
    options = (ROOT / "conf" / "serve.yaml").read_text(encoding="utf-8")
    assert keys == {"serve.quiet_s"}
    assert all(re.search(rf"^  {key.removeprefix('serve.')}:", options, re.MULTILINE) for key in keys)


def test_its_recipe_names_the_file_and_the_make_target():
    assert f"--file {PATH.relative_to(ROOT).as_posix()} " in TEXT
    assert re.search(r"^build:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_arguments_are_used_and_extras_exist():
    arguments = dict(rest.split("=", 1) for rest in said("ARG"))
    used = set(re.findall(r"\$\{?(\w+)", "\n".join(rest for name, rest in LINES if name != "ARG")))
    assert used == set(arguments)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(shlex.split(arguments["EXTRAS"])[0].split(",")) <= extras.keys()


@pytest.mark.parametrize(("index", "words"), [("", []), ("https://index.example", ["--index-url", "https://index.example"])])
def test_the_index_of_torch_is_the_builders_choice(index, words):
    install = next(rest for rest in said("RUN") if "TORCH" in rest).replace("python -m pip", "printf '%s\\n'")
    environment = {"TORCH": "torch>=2.6", "TORCH_INDEX": index}
    shown = subprocess.run(["sh", "-c", install], env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown == ["install", "--no-cache-dir", *words, "torch>=2.6"]


def test_it_runs_as_nobody_special_with_its_data_in_the_volume_and_no_secret():
    assert said("USER") == ["10001"]
    variables = dict(each.split("=") for rest in said("ENV") for each in rest.split())
    assert [variables["TT_HYDRA_OUTPUTS"]] == said("VOLUME") == said("WORKDIR") == ["/data"]
    assert "TT_HYDRA_TOKEN" not in variables
    assert "--env TT_HYDRA_TOKEN " in TEXT
    order = [name for name, _ in LINES]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert "RUN" not in order[order.index("USER") :]


@pytest.mark.parametrize(("is_warm", "status"), [(True, 0), (False, 1)])
def test_its_health_is_the_services_readiness(bundle_folder, tmp_path, is_warm, status):
    python, *command = listed(said("HEALTHCHECK")[0])
    (port,) = said("EXPOSE")
    assert python == "python"
    assert f"serve.port={port}" in listed(said("ENTRYPOINT")[0])
    registry = registry_of(tmp_path / "registry", [Bundle.load(bundle_folder)])
    with running(registry, ServeOptions(runtime="torch"), is_warm=is_warm) as (client, _):
        here = [each.replace(f"127.0.0.1:{port}", str(client.base_url).removeprefix("http://")) for each in command]
        assert here != command
        assert subprocess.run([sys.executable, *here], capture_output=True, check=False).returncode == status
