"""Rows that a search may return, and what searches need to know of them, made once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

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


T = TypeVar("T")


class Seen(Generic[T]):
    """What was made of arrays that cannot be written to, as long as they live: such an array is looked at once, not in each search.

    Args:
        make: what is made of an array.
    """

    def __init__(self, make: Callable[[BoolArray], T]) -> None:
        self._make = make
        self._known: dict[int, tuple[weakref.ref[BoolArray], T]] = {}

    def of(self, allowed: BoolArray) -> T:
        """What is made of an array."""
        if allowed.flags.writeable:
            return self._make(allowed)
        key, known = id(allowed), self._known.get(id(allowed))
        if known is not None and known[0]() is allowed:
            return known[1]
        for gone in [each for each, (array, _) in list(self._known.items()) if array() is None]:
            self._known.pop(gone, None)
        own = allowed.copy()  # what is made may hold on to what it is made of: then an array would outlive whoever gave it
        own.flags.writeable = False
        made = self._make(own)
        self._known[key] = weakref.ref(allowed), made
        return made


def mask_of(allowed: BoolArray) -> Mask | None:
    """The mask of an array of booleans; None where all are true."""
    count = int(np.count_nonzero(allowed))
    return None if count == len(allowed) else Mask(allowed, count)
