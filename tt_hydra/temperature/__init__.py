"""Temperatures: functions of the training progress, or one learned number."""

from __future__ import annotations
