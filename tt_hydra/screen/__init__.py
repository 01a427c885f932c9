"""False-negative filters: which candidates of a step are too close to a query to serve as its negatives."""

from __future__ import annotations
