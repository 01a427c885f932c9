"""The registry: numbered versions of bundles, and which of them is current.

Layout: ``versions/<n>/``, each a bundle; ``active``, a link to ``pointers/<name>/``, which holds the links ``current`` and ``previous``;
``current`` and ``previous``, links through ``active``. One rename of ``active`` moves both, so a reader finds the old pair or the new one.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.files import link_or_copy, publish, remove_tree, sizes, sync
from tt_hydra.artifact.lock import FileLock
from tt_hydra.artifact.manifest import MANIFEST, Manifest
from tt_hydra.errors import BundleError

REGISTRY = "registry"
"""Its folder under the root of all outputs."""
VERSIONS, POINTERS, ACTIVE, CURRENT, PREVIOUS = "versions", "pointers", "active", "current", "previous"
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Version:
    """A published bundle.

    Attributes:
        number: its number, from 1, never given twice while it is kept.
        folder: where it lies.
        manifest: what it says of itself.
    """

    number: int
    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Registry:
    """Versions of bundles under one folder."""

    folder: Path

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        found = (path for path in (self.folder / VERSIONS).glob("*") if path.name.isdigit() and (path / MANIFEST).is_file())
        return [Version(int(path.name), path, Manifest.load(path)) for path in sorted(found, key=lambda path: int(path.name))]

    @property
    def current(self) -> int | None:
        """Number of the version that is served."""
        return self._pointed(CURRENT)

    @property
    def previous(self) -> int | None:
        """Number of the version that was served before."""
        return self._pointed(PREVIOUS)

    def publish(self, bundle: Bundle, activate: bool = True) -> Version:
        """Makes a bundle the next version; one that is here already keeps its number.

        Args:
            bundle: its files are linked, or copied where the file system refuses links.
            activate: make it current.

        Raises:
            BundleError: another process writes to the registry.
        """
        with self._writing():
            known = self.versions()
            version = next((each for each in known if each.manifest == bundle.manifest), None)
            if version is None:
                number = max((each.number for each in known), default=0) + 1
                version = Version(number, self._copy(bundle, number), bundle.manifest)
            if activate:
                self._point(version.number)
        return version

    def activate(self, number: int) -> Version:
        """Makes a version current.

        Raises:
            BundleError: there is no such version, or it is damaged.
        """
        with self._writing():
            version = self._find(number)
            Bundle.load(version.folder)
            self._point(number)
        return version

    def rollback(self) -> Version:
        """Makes the previous version current again, and the current one previous.

        Raises:
            BundleError: nothing was current before, or that version is no longer kept.
        """
        if self.previous is None:
            raise BundleError(f"{self.folder}: no version was current before this one, so there is none to go back to")
        return self.activate(self.previous)

    def retain(self, keep: int) -> Sequence[int]:
        """Removes all but the ``keep`` newest versions; the current and the previous one always stay.

        Returns:
            Numbers of the versions that were removed.
        """
        with self._writing():
            old = [version for version in self.versions()[: -keep or None] if version.number not in (self.current, self.previous)]
            for version in old:
                remove_tree(version.folder)
        return [version.number for version in old]

    def _find(self, number: int) -> Version:
        known = {version.number: version for version in self.versions()}
        if number not in known:
            held = ", ".join(map(str, known)) or "none"
            raise BundleError(f"{self.folder} has no version {number}; it has {held}")
        return known[number]

    def _pointed(self, name: str) -> int | None:
        try:
            return int((self.folder / name).resolve(strict=True).name)
        except FileNotFoundError:
            return None

    def _copy(self, bundle: Bundle, number: int) -> Path:
        final = self.folder / VERSIONS / str(number)
        unfinished = final.with_name(f".{number}{_PARTIAL}")
        shutil.rmtree(unfinished, ignore_errors=True)
        for name in sizes(bundle.folder):
            link_or_copy(bundle.folder / name, unfinished / name)
        publish(unfinished, final)
        return final

    def _point(self, number: int) -> None:
        if number == self.current:
            return
        pair = self.folder / POINTERS / uuid.uuid4().hex[:12]
        pair.mkdir(parents=True)
        versions = Path("..", "..", VERSIONS)
        (pair / CURRENT).symlink_to(versions / str(number))
        if self.current is not None:
            (pair / PREVIOUS).symlink_to(versions / str(self.current))
        unfinished = self.folder / f".{ACTIVE}{_PARTIAL}"
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(Path(POINTERS, pair.name))
        sync(pair)
        unfinished.replace(self.folder / ACTIVE)
        for name in (CURRENT, PREVIOUS):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path(ACTIVE, name))
        sync(self.folder)
        for old in (self.folder / POINTERS).iterdir():
            if old.name != pair.name:
                shutil.rmtree(old)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        lock = FileLock(self.folder / ".lock")
        if not lock.try_exclusive():
            raise BundleError(f"{self.folder} is being written by {lock.holder()}: try again when it has finished")
        try:
            yield
        finally:
            lock.release()
