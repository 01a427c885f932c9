"""From what a user calls a bundle to its folder."""

from __future__ import annotations

from pathlib import Path

from tt_hydra.artifact.manifest import MANIFEST
from tt_hydra.artifact.registry import CURRENT, VERSIONS, Registry
from tt_hydra.errors import BundleError

BUNDLE = "bundle"


def resolve_bundle(text: str | Path, outputs: Path) -> Path:
    """The folder of a bundle: ``latest`` (newest finished run), ``current`` (the published one), a bundle's folder or a run's.

    Raises:
        BundleError: there is none, with the nearest that there are.
    """
    if str(text) == "latest":
        return _known(outputs / "run" / "latest" / BUNDLE, "no run has finished yet: run `python -m tt_hydra` first", outputs)
    if str(text) == "current":
        registry = Registry.under(outputs)
        number = registry.current
        folder = registry.folder / (CURRENT if number is None else f"{VERSIONS}/{number}")
        return _known(folder, "no bundle is published as current: use bundle=latest or a folder", outputs)
    folder = Path(text).expanduser()
    if not (folder / MANIFEST).is_file() and (folder / BUNDLE / MANIFEST).is_file():
        return (folder / BUNDLE).resolve()
    found = "there is no such folder" if not folder.exists() else f"it holds no {MANIFEST}, so it is no bundle"
    return _known(folder, found, outputs)


def _known(folder: Path, otherwise: str, outputs: Path) -> Path:
    if (folder / MANIFEST).is_file():
        return folder.resolve()
    newest = sorted(
        (path.parent for path in outputs.glob(f"run/*/{BUNDLE}/{MANIFEST}") if not path.parent.parent.is_symlink()), reverse=True
    )
    known = ", ".join(str(path) for path in newest[:3])
    hint = f"Bundles here: {known}" if known else f"There is no bundle under {outputs} yet"
    raise BundleError(f"bundle {folder}: {otherwise}. {hint}")
