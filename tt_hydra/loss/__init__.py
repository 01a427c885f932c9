"""Retrieval objectives: functions of two matrices of vectors, free of models, configs and process groups."""

from __future__ import annotations
