"""Negative samplers: which catalogue rows stand against a query's positive, and with what probability."""

from __future__ import annotations
