"""Declarative, config-driven AutoML for two-tower retrieval."""

from __future__ import annotations

__version__ = "0.1.0"
