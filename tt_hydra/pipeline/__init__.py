"""One use case a file: plain typed arguments in, a result out."""

from __future__ import annotations
