"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_BLOCK = 1 << 30
PAD = 1 << 26


def keep_freed_memory() -> None:
    """Lets the C library keep what tensors free instead of handing it back at once.

    A training step frees and asks for the same hundreds of megabytes again and again; each time the system would hand out fresh,
    zeroed pages. Where it costs most (wide text vectors in histories) this takes a fifth of the kernel's time and half of the clock's.
    Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(M_TOP_PAD, PAD)
