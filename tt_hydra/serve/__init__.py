"""Serving a bundle: queries in, items out. Needs no trainer."""

from __future__ import annotations
