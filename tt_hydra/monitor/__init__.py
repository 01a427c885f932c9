"""Watching what is served: latency, recall against exact search, drift, staleness."""

from __future__ import annotations
