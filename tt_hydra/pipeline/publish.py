"""The gate of the registry: a bundle becomes the current version unless it is worse, by more than is allowed, before the same questions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.registry import BUILT_ON, MADE_FROM, WRITES_THROUGH, Registry, Version
from tt_hydra.errors import BundleError, ConfigError, GateError, OvertakenError
from tt_hydra.pipeline.contest import ANN_RECALL, LATENCY, QUALITY, Contest, Contestant

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """By how much a version may be worse than the one whose place it takes, both asked the same questions in one process.

    Attributes:
        quality: recall@10 against the answers, through the index: by so much it may be lower.
        recall: recall@10 of the index against its own exact search: by so much it may be lower.
        latency: 99th percentile of a single query, tower and search: by this share it may be longer.
        latency_ms: a difference below so many milliseconds is none.
    """

    quality: float = 0.01
    recall: float = 0.02
    latency: float = 0.5
    latency_ms: float = 0.2

    def __post_init__(self) -> None:
        for name in ("quality", "recall", "latency", "latency_ms"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"gate.{name}={getattr(self, name)}: a margin is 0 or more; force=true lets everything through")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of a candidate and of the version that it is held against.

    Attributes:
        name: what it is.
        key: margin of the gate that applies.
        candidate: the candidate's value.
        current: the value to hold it against.
        bound: the worst value that passes.
    """

    name: str
    key: str
    candidate: float
    current: float
    bound: float

    @property
    def passes(self) -> bool:
        """Whether the candidate may be so."""
        return self.candidate <= self.bound if self.name == LATENCY else self.candidate >= self.bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the gate found.

    Attributes:
        against: number of the version that the candidate is held against; None where none is current.
        figures: what was compared; nothing where there was nothing to compare with.
        questions: how many questions both were asked.
        notes: what was not compared, and why.
    """

    against: int | None
    figures: Sequence[Figure] = ()
    questions: int = 0
    notes: Sequence[str] = ()

    @property
    def failed(self) -> list[Figure]:
        """The figures that do not pass."""
        return [figure for figure in self.figures if not figure.passes]

    @property
    def blind(self) -> bool:
        """Whether the candidate would take a version's place without a comparison."""
        return self.against is not None and not self.figures

    @property
    def lines(self) -> list[str]:
        """All of it, in words."""
        told = [
            f"gate: {each.name} {each.candidate:.4g}, version {self.against} has {each.current:.4g} ({self.questions} questions)"
            for each in self.figures
        ]
        return [*told, *(f"gate: {note}" for note in self.notes)]


def publish(
    registry: Registry,
    bundle: Bundle,
    gate: Gate,
    *,
    instead_of: int | None = None,
    against: int | None = None,
    force: bool = False,
    allow: Sequence[str] = (),
    compared: bool = False,
) -> Version:
    """Makes a bundle the current version, if it passes the gate.

    Where another version becomes current meanwhile, one that the service built anew perhaps, the bundle is held against that one too.

    Args:
        registry: whose current version it is held against.
        bundle: the candidate.
        gate: what is allowed.
        instead_of: the version that the candidate was made from and whose place it shall take; None for whatever is current.
        against: the version that it is held against; None for the current one.
        force: let everything through; the figures are told all the same.
        allow: module prefixes of components of one's own that the bundles may use.
        compared: refuse it too where a version is current and nothing of the two could be compared.

    Raises:
        GateError: it is worse than allowed, or lacks changes of the catalogue that the log no longer holds; nothing was published.
        OvertakenError: another version than ``instead_of`` became current.
        BundleError: it is damaged, or cannot take the changes of the catalogue.
    """
    while True:
        verdict = judge(registry, bundle, gate, against=against, allow=allow)
        for line in verdict.lines:
            logger.info("%s", line)
        if (verdict.failed or (compared and verdict.blind)) and not force:
            raise GateError(_refusal(bundle, verdict, gate))
        try:
            return registry.publish(bundle, instead_of=verdict.against if instead_of is None and against is None else instead_of)
        except OvertakenError:
            if instead_of is not None:
                raise
            logger.info("version %s became current meanwhile: the gate asks once more", registry.current)


def ensure(
    registry: Registry, bundle: Bundle, gate: Gate, *, force: bool = False, allow: Sequence[str] = (), compared: bool = False
) -> Version:
    """The current version, if it is this bundle or was made from it by compaction or an upgrade; otherwise the bundle is published.

    Args:
        registry: as in `publish`.
        bundle: the candidate.
        gate: what is allowed.
        force: let everything through.
        allow: module prefixes of components of one's own.
        compared: as in `publish`.

    Raises:
        GateError: as `publish`.
        BundleError: as `publish`.
    """
    if registry.current is not None:
        version = registry.version(registry.current)
        if bundle.manifest == version.manifest or bundle.manifest.fingerprint in version.manifest.conditions.get(MADE_FROM, ()):
            return version
    return publish(registry, bundle, gate, force=force, allow=allow, compared=compared)


def judge(registry: Registry, bundle: Bundle, gate: Gate, *, against: int | None = None, allow: Sequence[str] = ()) -> Verdict:
    """Holds a bundle against the current version, or the one named, both with all changes of the catalogue; publishes nothing.

    Raises:
        GateError: it lacks changes that the log no longer holds.
        BundleError: it is damaged, or cannot take the changes.
    """
    current = registry.current if against is None else against
    version = None if current is None else registry.version(current)
    pending = missing(registry, bundle)
    if version is not None and version.manifest == bundle.manifest:
        return Verdict(against=current, notes=(f"this bundle is version {current}, which is current",))
    candidate = Contestant.load(bundle.folder, pending, allow)
    if version is None:
        return Verdict(against=None, notes=("no version is current, so there is nothing to compare with",))
    if bundle.questions is None:
        note = f"{bundle.folder} keeps no validation queries, so it is not compared with version {current}; a new run keeps them"
        return Verdict(against=current, notes=(note,))
    try:
        running = Contestant.load(version.folder, missing(registry, version), allow)
    except BundleError as error:
        return Verdict(against=current, notes=(f"version {current} cannot be asked, so there is nothing to compare with: {error}",))
    return _verdict(Contest.among([candidate, running], bundle.questions), version.number, gate)


def missing(registry: Registry, bundle: Bundle | Version) -> list[Change]:
    """The changes of the catalogue that a bundle, published or not, does not contain.

    Raises:
        GateError: the log no longer holds all of them.
    """
    through = int(bundle.manifest.conditions.get(WRITES_THROUGH, 0))
    if through and isinstance(bundle, Bundle):
        _check_registry(registry, bundle)
    try:
        return registry.log.read(through)
    except BundleError as error:
        raise GateError(
            f"{bundle.folder} contains the changes of the catalogue through {through}, and those behind it cannot be read ({error}). Where "
            f"they are in later versions only, `python -m tt_hydra update model={bundle.folder}` takes its towers and embeds the catalogue "
            "as it is now"
        ) from error


def _check_registry(registry: Registry, bundle: Bundle) -> None:
    """Raises GateError for a bundle that contains changes of another registry's log, whose numbers mean nothing here."""
    versions = registry.versions()
    known = {version.manifest.fingerprint for version in versions}
    if versions and known.isdisjoint({bundle.manifest.fingerprint, bundle.manifest.conditions.get(BUILT_ON)}):
        raise GateError(
            f"{bundle.folder} was built on a version that {registry.folder} does not hold, and contains changes of that catalogue: their "
            f"numbers mean nothing here. `python -m tt_hydra update model={bundle.folder}` takes its towers and embeds the catalogue as "
            "it is now; an empty registry takes it whole"
        )


def _verdict(contest: Contest, current: int, gate: Gate) -> Verdict:
    count = len(contest.questions)
    if not count:
        return Verdict(against=current, notes=(f"there is no question that both the candidate and version {current} can answer",))
    figures, notes = [], []
    if quality := contest.quality():
        figures.append(_lower(QUALITY, "quality", quality, gate.quality))
    else:
        notes.append(f"quality is not compared: no question has an answer that both the candidate and version {current} hold")
    figures.append(_lower(ANN_RECALL, "recall", contest.ann_recall(), gate.recall))
    candidate, running = contest.p99_ms()
    longest = max(running * (1 + gate.latency), running + gate.latency_ms)
    figures.append(Figure(name=LATENCY, key="latency", candidate=candidate, current=running, bound=longest))
    return Verdict(against=current, figures=figures, questions=count, notes=notes)


def _lower(name: str, key: str, values: Sequence[float], margin: float) -> Figure:
    candidate, current = values
    return Figure(name=name, key=key, candidate=candidate, current=current, bound=current - margin - 1e-9)


def _refusal(bundle: Bundle, verdict: Verdict, gate: Gate) -> str:
    if verdict.blind:
        return (
            f"{bundle.folder} is not published: {'; '.join(verdict.notes)}. Version {verdict.against}, which may be of another model, "
            "stays current. Publish it all the same with force=true"
        )
    told = [
        f"its {each.name} is {each.candidate:.4g}, version {verdict.against} has {each.current:.4g}, and gate.{each.key}="
        f"{getattr(gate, each.key):g} allows {each.bound:.4g}"
        for each in verdict.failed
    ]
    keys = " and ".join(f"gate.{each.key}" for each in verdict.failed)
    return (
        f"{bundle.folder} is not published: {'; '.join(told)} (on the same {verdict.questions} questions). Version {verdict.against} stays "
        f"current. Allow more with {keys}, or publish it all the same with force=true"
    )
