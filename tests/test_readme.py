"""The README says what is: its commands compose and pass the check, its declaration runs, its tables name what there is."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml  # type: ignore[import-untyped]

from tt_hydra.config.arguments import understand
from tt_hydra.config.build import build
from tt_hydra.config.check import check
from tt_hydra.config.commands import COMMANDS, PATHS, RUN_DIR, RUNS, TEXTS
from tt_hydra.config.compose import compose, jobs_of, make_loader
from tt_hydra.config.paths import PACKAGE, config_dir
from tt_hydra.config.problems import refuse
from tt_hydra.config.rules import RUN_RULES
from tt_hydra.searches import examine, is_study, search_of

ROOT = PACKAGE.parent
FILES = ("csv", "html", "json", "jsonl", "log", "parquet", "yaml")
"""What a name of a file, which is not a key, ends with."""
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONF = config_dir()
OURS = "python -m tt_hydra"
TORCHRUN = "torchrun "
GROUPS = {path.name: {option.stem for option in path.glob("*.yaml")} for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found.group(1)


def cells(text: str) -> dict[str, str]:
    """A table's second column by its first."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return {first.strip(): second.strip() for first, second, *_ in rows}


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


LINES = [line.strip() for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines() if line.strip()]
DECLARATION = next(block for block in blocks("yaml") if block.startswith("# mine/data/shop.yaml\n"))


def write_shop(folder: Path) -> None:
    """What the README's commands read: the declaration, and tables of a small shop."""
    (folder / "mine" / "data").mkdir(parents=True)
    (folder / "mine" / "data" / "shop.yaml").write_text(DECLARATION, encoding="utf-8")
    (folder / "scifact").mkdir()
    random = np.random.default_rng(3)
    users, items = [str(number) for number in range(40, 64)], [f"s{number}" for number in range(30)]
    pl.DataFrame({"user_id": users, "age": random.integers(18, 80, len(users))}).write_parquet(folder / "users.parquet")
    prices, tags = random.random(len(items)), ["lamp|brass", "chair", ""] * 10
    titles = [f"article {number % 5}" for number in range(len(items))]
    pl.DataFrame({"sku": items, "title": titles, "tags": tags, "price": prices}).write_csv(folder / "items.csv")
    chosen = [(user, random.permutation(items)[:6]) for user in users]
    rows = [
        (user, item, 1_713_000_000 + 86_400 * day, ("web", "app")[day % 2])
        for user, bought in chosen
        for day, item in enumerate(bought.tolist())
    ]
    pl.DataFrame(rows, schema=["user_id", "sku", "timestamp", "device"], orient="row").write_parquet(folder / "events.parquet")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return folder


@pytest.fixture(scope="module")
def run(shop: Path) -> Path:
    """The outputs of the README's own declaration, run as a command."""
    outputs = shop / "outputs"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TT_HYDRA_OUTPUTS": str(outputs), "OMP_NUM_THREADS": "1"}
    small = ["experiment=debug", "logger=none", "runtime.progress_bar=false"]
    command = [sys.executable, "-m", "tt_hydra", "--config-dir", "mine", "data=shop", *small]
    done = subprocess.run(command, cwd=shop, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return outputs


def test_every_line_is_of_a_kind_that_is_tested() -> None:
    kinds = (OURS, TORCHRUN, "make ", ". .venv/bin/activate")
    assert [line for line in LINES if not line.startswith(kinds)] == []
    assert sum(line.startswith(OURS) for line in LINES) > 20


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith((OURS, TORCHRUN))])
def test_a_command_composes_passes_the_check_and_is_built(line: str, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    words = shlex.split(line)
    call = understand(words[words.index("tt_hydra") + 1 :], COMMANDS, TEXTS, PATHS)
    if call.flags.help:
        return
    loader = make_loader(call.folders)
    if call.flags.multirun and "sweep=auto" not in call.overrides and is_study(loader, call.command, call.overrides):
        search, problems = search_of(loader, call.command, call.overrides)
        refuse([*problems, *examine(loader, call.command, search)])
        return
    rules = RUN_RULES if call.command in RUNS else ()
    given = {RUN_DIR[call.command]: "."} if call.command in RUN_DIR else {}
    for overrides in jobs_of(loader, call.overrides) if call.flags.multirun else [list(call.overrides)]:
        config, problems = compose(loader, call.command, overrides)
        checked = check(config, COMMANDS[call.command], rules, given)
        refuse([*problems, *checked.problems])
        build(checked, object)


def test_make_targets_and_benchmarks_are_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)) <= set(targets)
    for name in re.findall(r"NAME=(\w+)", README):
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name


def test_the_table_of_groups_names_every_option_and_its_first_is_the_default() -> None:
    named = {quoted(group)[0]: quoted(options) for group, options in cells(section("Swapping parts")).items()}
    plain = {group: [option for option in options if option.isidentifier()] for group, options in named.items()}
    assert {group: set(options) for group, options in plain.items()} == GROUPS
    defaults = [entry for entry in yaml.safe_load((CONF / "run.yaml").read_text(encoding="utf-8"))["defaults"] if isinstance(entry, dict)]
    for group, default in (next(iter(entry.items())) for entry in defaults):
        assert default is None or group not in GROUPS or plain[group][0] == default, group


def test_every_option_that_is_mentioned_exists() -> None:
    own = {("data", Path(DECLARATION.splitlines()[0]).stem), ("experiment", "best")}
    for group, options in re.findall(r"\b([a-z_]+)(?:@[a-z_]+)?=([a-z0-9_,]+)", README):
        for option in options.split(",") if group in GROUPS else ():
            assert option in GROUPS[group] or (group, option) in own, f"{group}={option}"


def test_every_key_that_is_mentioned_exists() -> None:
    known = set(_keys())
    roots = {key.split(".")[0] for key in known}
    for key in re.findall(r"(?:^|[\s`'+])([a-z_]+(?:\.[A-Za-z_]\w*)+)\b(?![./])", README, re.MULTILINE):
        own = key.startswith(("loss.tasks.", "hydra.")) or key.rpartition(".")[2] in FILES
        assert key.split(".")[0] not in roots or key in known or own, key


def _keys() -> Iterator[str]:
    for group, options in GROUPS.items():
        for option in options:
            content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8")) or {}
            yield from _walk(content.get(group) or content, f"{group}.")
    for command in COMMANDS:
        yield from _walk(yaml.safe_load((CONF / f"{command}.yaml").read_text(encoding="utf-8")), "")


def _walk(tree: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _walk(value, f"{prefix}{key}.")


def test_files_that_are_mentioned_are_there() -> None:
    for name in re.findall(r"`((?:conf|tt_hydra|tests|benchmarks)/[^`*]+)`", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / name).exists(), name


def test_the_table_of_keys_is_that_of_a_run(run: Path) -> None:
    found = json.loads((run / "run" / "latest" / "metrics.json").read_text(encoding="utf-8"))
    documented = [key for first in cells(section("Keys of metrics.json")) for key in quoted(first)]
    patterns = {key: re.compile(re.sub(r"<\w+>", "[^/]+", key) + "(/ci_low|/ci_high)?") for key in documented}
    assert [key for key in found if not any(pattern.fullmatch(key) for pattern in patterns.values())] == []
    assert [key for key, pattern in patterns.items() if not any(map(pattern.fullmatch, found))] == []
    metrics = {key.rpartition("/")[2] for key in found if key.startswith("test/model/") and "/ci_" not in key}
    assert metrics == {name for name in quoted(section("Keys of metrics.json")) if re.fullmatch(r"(recall|ndcg|mrr)@\d+", name)}


def test_what_a_run_is_said_to_leave_is_there(run: Path) -> None:
    folder = run / "run" / "latest"
    for name in ("metrics.json", "report.html", "bundle", "per_query_test.parquet", "run.log", ".hydra"):
        assert f"`{name}" in README or f"({name}" in README
        assert (folder / name).exists(), name


def test_three_lines_of_python(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_HYDRA_OUTPUTS", str(run))
    code = blocks("python")[0]
    assert len([line for line in code.splitlines() if line]) == 3
    names: dict[str, Any] = {}
    exec(code, names)
    hits = names["hits"]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert all(hit.id.startswith("s") and hit.title.startswith("article") for hit in hits)
    assert hits[0].score >= hits[4].score


def test_the_client_of_a_running_service(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_HYDRA_TOKEN", "secret")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TT_HYDRA_OUTPUTS": str(run), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tt_hydra", "serve", "bundle=latest", "serve.port=0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            address = next(line.split()[-1] for line in service.stdout if line.startswith("serving at "))
            code = blocks("python")[1]
            assert "http://127.0.0.1:8080" in code
            names: dict[str, Any] = {}
            exec(code.replace("http://127.0.0.1:8080", address), names)
            assert [hit.id[0] for hit in names["hits"]] == ["s"] * 5
        finally:
            service.terminate()
    assert service.returncode == 0
