"""What ranks that torchrun started tell each other, through a store in this process."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch.distributed

from tt_hydra.errors import StoreError
from tt_hydra.pipeline import announce as telling
from tt_hydra.pipeline.announce import announce, hear


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that threads may share."""
    shared = torch.distributed.HashStore()
    monkeypatch.setattr(telling, "_store", lambda: shared)


def folder_with(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_a_rank_waits_until_it_is_told_and_sees_the_same_files(tmp_path: Path) -> None:
    there, here = folder_with(tmp_path / "there", "last.ckpt", "best.safetensors"), tmp_path / "here"
    heard = threading.Event()
    thread = threading.Thread(target=lambda: (hear("train", lambda: here), heard.set()), daemon=True)
    thread.start()
    assert not heard.wait(0.3), "nothing was told"
    announce("train", there)
    folder_with(here, "last.ckpt")
    assert not heard.wait(0.3), "one file is not to be seen yet"
    folder_with(here, "best.safetensors", "another")
    assert heard.wait(10)


def test_a_stage_that_was_finished_meanwhile_has_other_files(tmp_path: Path) -> None:
    announce("train", folder_with(tmp_path / "there", "last.ckpt"))
    hear("train", lambda: folder_with(tmp_path / "here", "entry.json"))


def test_a_node_that_does_not_share_the_folder_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "SEEN_WITHIN_SECONDS", 0.0)
    announce("prepare", folder_with(tmp_path / "there", "entry.json"))
    with pytest.raises(StoreError, match=r"does not see what the first rank wrote to .*here.*TT_HYDRA_OUTPUTS"):
        hear("prepare", lambda: tmp_path / "here")
