from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.keys import fingerprint
from tt_hydra.artifact.manifest import MANIFEST, Manifest
from tt_hydra.artifact.renew import complete, signed
from tt_hydra.errors import BundleError

LONG_AGO = "2020-01-01T00:00:00+00:00"


def test_a_renewed_bundle_is_new_and_its_model_as_old_as_it_was(bundle_folder: Path) -> None:
    """However often its catalogue is built anew: a service whose index is fresh may serve a model of years ago."""
    old = replace(Bundle.load(bundle_folder).manifest, created=LONG_AGO)
    assert old.trained_at == LONG_AGO
    once = signed(bundle_folder, old, {"renewed": 1})
    again = complete(signed(bundle_folder, once.manifest, {"renewed": 2}), None, {}, {})
    for renewed in (once, again, Bundle.load(bundle_folder)):
        assert renewed.manifest.trained_at == LONG_AGO
        assert renewed.manifest.created > "2026"


def test_a_manifest_of_before_is_what_it_was(bundle_folder: Path) -> None:
    """Those of a run say nothing of training besides; their fingerprints, which later versions name, stay."""
    path = bundle_folder / MANIFEST
    content = json.loads(path.read_text())
    checksum = content.pop("checksum")
    assert "trained" not in content
    assert Manifest.load(bundle_folder).fingerprint == fingerprint(content) == checksum
    content["trained"] = LONG_AGO
    path.write_text(json.dumps({**content, "checksum": fingerprint(content)}))
    assert Manifest.load(bundle_folder).fingerprint == fingerprint(content)
    assert Manifest.load(bundle_folder).trained_at == LONG_AGO
    content["cooked"] = LONG_AGO
    path.write_text(json.dumps({**content, "checksum": fingerprint(content)}))
    with pytest.raises(BundleError, match="damaged or was edited"):
        Manifest.load(bundle_folder)
