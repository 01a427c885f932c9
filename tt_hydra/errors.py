"""Errors that a user can mend: each message says what, what was got, what is allowed, how to fix it."""

from __future__ import annotations


class TTHydraError(Exception):
    """Base of every error of ours; the command line prints its message without a traceback."""


def interruption(error: BaseException) -> KeyboardInterrupt | None:
    """The Ctrl-C behind an error, if there is one: a library that is interrupted in native code may end with an error of its own."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen


class ConfigError(TTHydraError):
    """A key, a value or a combination of choices that cannot work."""


class DataError(TTHydraError):
    """Input data that is missing, malformed or contradicts its declaration."""


class IndexSpecError(TTHydraError):
    """An index, a quantization or their pair that cannot be built on these vectors."""


class BudgetError(TTHydraError):
    """A budget that no index was found to keep."""


class BundleError(TTHydraError):
    """A bundle that is incomplete, damaged or belongs to another model."""


class NoVersionError(BundleError):
    """A number that no version of the registry has."""


class GateError(BundleError):
    """A bundle that is worse than the current version by more than is allowed, or that cannot take its place."""


class BuildingError(BundleError):
    """Another process builds a version of the same registry."""


class OvertakenError(GateError):
    """A bundle whose place was taken by another version while it was made."""


class StoreError(TTHydraError):
    """A stage store entry that cannot be read or written."""


class Pruned(TTHydraError):
    """A training that was ended because it was not worth going on."""


class ServiceError(TTHydraError):
    """A request that a service refused, or that it did not answer.

    Args:
        message: the reason, in the service's words where it gave one.
        status: of HTTP; None without an answer.
        field: what of the request it is about.
    """

    def __init__(self, message: str, *, status: int | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.field = status, field
