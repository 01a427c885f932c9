"""Towers in other forms: ONNX graphs with flat named inputs, folders of sentence-transformers."""

from __future__ import annotations
