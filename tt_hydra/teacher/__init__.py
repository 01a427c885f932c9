"""Teachers: where the scores come from that a distilling loss learns from."""

from __future__ import annotations
