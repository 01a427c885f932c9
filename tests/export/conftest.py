from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bert import write_tiny_bert


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BERT of three layers and width 8, with a tokenizer of single letters."""
    return write_tiny_bert(tmp_path_factory.mktemp("bert"))
