"""Rows that a search may return, and what searches need to know of them, made once."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from functools import cached_property

import faiss
import numpy as np

from tt_hydra.contracts import BoolArray, IntArray


@dataclass(eq=False)
class Mask:
    """Some rows of an index, but not all.

    Attributes:
        allowed: ``(size,)`` bool.
        count: how many are true.
    """

    allowed: BoolArray
    count: int
    _per_list: IntArray | None = field(default=None, init=False, repr=False)

    @property
    def share(self) -> float:
        """Allowed rows among all."""
        return self.count / len(self.allowed)

    @cached_property
    def rows(self) -> IntArray:
        """The allowed rows, in order."""
        return np.flatnonzero(self.allowed)

    @cached_property
    def selector(self) -> faiss.IDSelector:
        """The mask as FAISS takes it; several searches may share it."""
        return faiss.IDSelectorBitmap(np.packbits(self.allowed, bitorder="little"))

    def per_list(self, list_of: IntArray, number: int) -> IntArray:
        """Allowed rows of each of the ``number`` inverted lists of the index; ``list_of (size,)`` says which list a row is in."""
        if self._per_list is None:
            self._per_list = np.bincount(list_of[self.rows], minlength=number)
        return self._per_list


class Masks:
    """The masks of arrays that cannot be written to, as long as the arrays live: such an array is looked at once, not in each search."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[BoolArray], Mask | None]] = {}

    def of(self, allowed: BoolArray) -> Mask | None:
        """The mask of an array of booleans; None where all are true."""
        if allowed.flags.writeable:
            return _mask(allowed)
        key = id(allowed)
        reference, mask = self._known.get(key, (None, None))
        if reference is None or reference() is not allowed:
            mask = _mask(allowed)
            self._known[key] = (weakref.ref(allowed, lambda _: self._known.pop(key, None)), mask)
        return mask


def _mask(allowed: BoolArray) -> Mask | None:
    count = int(np.count_nonzero(allowed))
    return None if count == len(allowed) else Mask(allowed, count)
