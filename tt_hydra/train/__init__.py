"""Training two towers with Lightning: the only package that imports it."""

from __future__ import annotations
