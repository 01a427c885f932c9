"""The registry: numbered versions of bundles, and which of them is current.

Layout: ``versions/<n>/``, each a bundle; ``active``, a link to ``pointers/<name>/``, which holds the links ``current`` and ``previous``;
``current`` and ``previous``, links through ``active``. One rename of ``active`` moves both, so a reader finds the old pair or the new one.
``changes/`` is the log of what was written to the catalogue since, whatever version is current: a version contains the changes up to its
``writes_through``, and whoever serves it applies the others.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import CHANGES, ChangeLog
from tt_hydra.artifact.files import REMOVED, link_or_copy, publish, remove_tree, sizes, sync
from tt_hydra.artifact.lock import FileLock
from tt_hydra.artifact.manifest import Manifest
from tt_hydra.errors import BundleError, NoVersionError, OvertakenError

REGISTRY = "registry"
"""Its folder under the root of all outputs."""
VERSIONS, POINTERS, ACTIVE, CURRENT, PREVIOUS = "versions", "pointers", "active", "current", "previous"
WRITES_THROUGH = "writes_through"
"""Condition in a manifest: number of the last change that the bundle's own catalogue contains; absent for 0."""
MADE_FROM = "made_from"
"""Condition in a manifest: fingerprints of the manifests of the bundles that it was made from, one after the other."""
BUILT_ON = "built_on"
"""Condition in a manifest: fingerprint of the manifest of the version that was current when it was built, in the same registry."""
TRAFFIC = "traffic"
"""Its folder with samples of what a service was asked."""
PATIENCE_SECONDS = 30.0
"""How long another process that writes to the registry is waited for."""
_PARTIAL = ".partial"
_POLL_SECONDS = 0.05

logger = logging.getLogger(__name__)


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

    @property
    def writes_through(self) -> int:
        """The last change that its own catalogue contains."""
        return int(self.manifest.conditions.get(WRITES_THROUGH, 0))


@dataclass(frozen=True, slots=True)
class Registry:
    """Versions of bundles under one folder."""

    folder: Path

    @classmethod
    def under(cls, outputs: Path) -> Registry:
        """The registry under the root of all outputs."""
        return cls(outputs.absolute() / REGISTRY)

    def versions(self) -> list[Version]:
        """All versions whose manifests are whole, oldest first; of the others the log tells."""
        found = map(_opened_if_whole, self._folders())
        return [version for version in found if version is not None]

    @property
    def current(self) -> int | None:
        """Number of the version that is served."""
        return self._pointed(CURRENT)

    @property
    def previous(self) -> int | None:
        """Number of the version that was served before."""
        return self._pointed(PREVIOUS)

    @property
    def changes(self) -> Path:
        """Folder of the log of changes."""
        return self.folder / CHANGES

    @property
    def log(self) -> ChangeLog:
        """The log of changes; numbers go on behind those that a version contains, should the files be gone."""
        return ChangeLog(self.changes, max((version.writes_through for version in self.versions()), default=0))

    def version(self, number: int) -> Version:
        """One version.

        Raises:
            NoVersionError: there is no such version.
            BundleError: its manifest is damaged.
        """
        folder = next((each for each in self._folders() if int(each.name) == number), None)
        version = None if folder is None else _opened(folder)
        if version is None:
            held = ", ".join(str(each.number) for each in self.versions()) or "none"
            raise NoVersionError(f"{self.folder} has no version {number}; it has {held}")
        return version

    def running(self, otherwise: str) -> Version:
        """The version that is served.

        Args:
            otherwise: what to do where there is none.

        Raises:
            BundleError: there is none, or its manifest is damaged.
        """
        number = self.current
        if number is None:
            raise BundleError(f"{self.folder} has no current version: {otherwise}")
        return self.version(number)

    def publish(self, bundle: Bundle, activate: bool = True, instead_of: int | None = None) -> Version:
        """Makes a bundle the next version; one that is here already keeps its number.

        Args:
            bundle: its files are linked, or copied where the file system refuses links.
            activate: make it current.
            instead_of: the version whose place it shall take; None for whatever is current.

        Raises:
            OvertakenError: another version than ``instead_of`` is current by now.
            BundleError: another process writes to the registry for long.
        """
        with self._writing():
            if instead_of is not None and self.current != instead_of:
                raise OvertakenError(
                    f"version {self.current} became current in {self.folder} while {bundle.folder} was made to take the place of version "
                    f"{instead_of}: version {self.current} stays. Run the command again, so that it starts from there"
                )
            version = next((each for each in self.versions() if each.manifest == bundle.manifest), None)
            if version is None:
                number = max((int(each.name) for each in self._folders()), default=0) + 1
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
            version = self.version(number)
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
        """Removes all but the ``keep`` newest versions; the current and the previous one always stay, and damaged ones.

        Changes of the catalogue that all versions which are left contain go too: nobody will apply them again. While one of them is
        damaged none goes: it may come back whole from a backup.

        Returns:
            Numbers of the versions that were removed.
        """
        with self._writing():
            self._clean()
            old = [version for version in self.versions()[: -keep or None] if version.number not in (self.current, self.previous)]
            for version in old:
                remove_tree(version.folder)
            left = self.versions()
            through = min((version.writes_through for version in left), default=0)
            if through and len(left) == len(self._folders()):
                self.log.prune(through)
        return [version.number for version in old]

    def _folders(self) -> list[Path]:
        """Those of all versions, damaged ones included, oldest first."""
        found = (path for path in (self.folder / VERSIONS).glob("*") if path.name.isdigit() and path.is_dir())
        return sorted(found, key=lambda path: int(path.name))

    def _clean(self) -> None:
        """Removes what an interrupted writer left."""
        for pattern in (f"*{REMOVED}*", f".*{_PARTIAL}"):
            for leftover in (self.folder / VERSIONS).glob(pattern):
                shutil.rmtree(leftover)

    def _pointed(self, name: str) -> int | None:
        while True:
            active = self._active()
            try:
                return int((self.folder / name).resolve(strict=True).name)
            except FileNotFoundError:
                if self._active() == active:  # else another process moved it, and removed what was being followed
                    return None

    def _active(self) -> str | None:
        try:
            return os.readlink(self.folder / ACTIVE)
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
        lock, gives_up = FileLock(self.folder / ".lock"), time.monotonic() + PATIENCE_SECONDS
        while not lock.try_exclusive():
            if time.monotonic() > gives_up:
                raise BundleError(f"{self.folder} is being written by {lock.holder()}: try again when it has finished")
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()


def _opened_if_whole(folder: Path) -> Version | None:
    try:
        return _opened(folder)
    except (BundleError, OSError) as error:
        _tell_damaged(folder, str(error))
        return None


@cache
def _tell_damaged(folder: Path, reason: str) -> None:
    """Once in a process: versions are listed many times."""
    logger.warning("version %s is left out: %s. Or remove the folder, if that version is not needed any more", folder.name, reason)


def _opened(folder: Path) -> Version | None:
    """The version that lies in a folder; None if another process removed it meanwhile."""
    try:
        return Version(int(folder.name), folder, Manifest.load(folder))
    except BundleError:
        if folder.exists():
            raise
        return None
