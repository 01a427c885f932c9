"""Errors that a user can mend: each message says what, what was got, what is allowed, how to fix it."""

from __future__ import annotations


class TTHydraError(Exception):
    """Base of every error of ours; the command line prints its message without a traceback."""


class ConfigError(TTHydraError):
    """A key, a value or a combination of choices that cannot work."""


class DataError(TTHydraError):
    """Input data that is missing, malformed or contradicts its declaration."""


class IndexSpecError(TTHydraError):
    """An index, a quantization or their pair that cannot be built on these vectors."""


class BundleError(TTHydraError):
    """A bundle that is incomplete, damaged or belongs to another model."""


class StoreError(TTHydraError):
    """A stage store entry that cannot be read or written."""
