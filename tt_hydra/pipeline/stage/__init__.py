"""The stages of a run: each fills a folder of the stage store from what the stages before it left."""

from __future__ import annotations
