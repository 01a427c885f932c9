"""What stays on disk: the stage store (content-addressed, resumable) and the bundle (versioned, checked, served)."""

from __future__ import annotations
