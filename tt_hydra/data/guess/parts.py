"""How the interactions are best divided into training, validation and test, and what a query's earlier events say."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tt_hydra.data.declaration import SplitKind
from tt_hydra.data.guess.column import mean, share
from tt_hydra.data.guess.moments import Moment, extreme, told

VALID_FROM, TEST_FROM = 0.8, 0.9
"""Shares of the events before validation and before the test."""
DAY, LONG = 86_400_000_000, 30 * 86_400_000_000
"""A day, and a span in which parts begin at midnight, in microseconds."""
MET_BEFORE = 0.5
"""Share of the test's events whose query must have earlier ones for a split by time to be fair to histories."""
ENOUGH = 3.0
"""Events of a query that leave one to train on when the last two are held out."""


@dataclass(frozen=True, slots=True)
class Division:
    """A split.

    Attributes:
        kind: of the split.
        why: what was seen.
        valid_from: temporal: first moment of the validation, as YAML.
        test_from: temporal: first moment of the test, as YAML.
        otherwise: another way, and for whom.
    """

    kind: SplitKind
    why: str
    valid_from: str | None = None
    test_from: str | None = None
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Habits:
    """How often queries come and items are taken again.

    Attributes:
        per_query: events of a query, the median.
        per_item: events of an item of the catalogue, on average.
        repeated: share of the events whose query had the item before.
    """

    per_query: float
    per_item: float
    repeated: float


def habits(events: pl.DataFrame, items: int) -> Habits:
    """Counts.

    Args:
        events: columns ``query`` and ``item``.
        items: size of the catalogue.
    """
    counts = events["query"].drop_nulls().value_counts(name="n")["n"]
    typical = counts.median()
    pairs = events.select("query", "item").drop_nulls()
    repeated = (len(pairs) - pairs.unique().height) / max(1, len(pairs))
    return Habits(float(typical) if isinstance(typical, (int, float)) else 0.0, len(events) / max(1, items), repeated)


def divide(queries: pl.Series, moment: Moment | None, per_query: float) -> Division:
    """The split of interactions that do not say their part.

    Args:
        queries: the query of each row.
        moment: the time of each row; None where there is none.
        per_query: events of a query, the median.
    """
    if moment is None:
        as_read = "leave_last_out, if the rows stand in their order"
        return Division("random", "no column of times: nothing says what came first", otherwise=as_read)
    last = f"a query has {per_query:g} events (median)"
    if not moment.dated:
        if per_query >= ENOUGH:
            return Division("leave_last_out", f"{last}, and their order is known")
        return _at_steps(moment) or Division("random", f"{last}, and too few different times to cut at")
    bounds = _bounds(moment.values)
    if bounds is None:
        return Division("leave_last_out" if per_query >= ENOUGH else "random", f"{last}; too few different times to cut at")
    rows = pl.DataFrame({"query": queries, "time": moment.values})
    met = rows.filter(pl.col("time") < bounds[1])["query"].unique()
    later = rows.filter(pl.col("time") >= bounds[1])["query"]
    known = mean(later.is_in(met.implode()))
    texts = [told(bound, day=bound % DAY == 0) for bound in bounds]
    seen = f"{share(known)} of the events from {texts[1]} on are of queries that were there before"
    if known < MET_BEFORE and per_query >= ENOUGH:
        by_time = f"temporal, valid_from: '{texts[0]}', test_from: '{texts[1]}', which never learns from another query's future"
        return Division("leave_last_out", f"only {seen}, and {last}", otherwise=by_time)
    after = [mean(rows["time"] >= bound) for bound in bounds]
    why = f"validation {share(after[0] - after[1])}, test {share(after[1])} of the events; {seen}"
    valid, test = (f'"{text}"' for text in texts)
    return Division("temporal", why, valid, test, otherwise="leave_last_out, which tests each query's last event, as many papers do")


def _bounds(times: pl.Series, dated: bool = True) -> tuple[int, int] | None:
    """Where validation and test begin; None where a part would be empty."""
    known = times.drop_nulls()
    ends = [known.quantile(part, "nearest") for part in (VALID_FROM, TEST_FROM)]
    exact = tuple(int(end) for end in ends if end is not None)
    long = dated and extreme(known, True) - extreme(known, False) >= LONG
    second = tuple(end - end % 1_000_000 for end in exact) if dated else exact
    midnight = tuple(end - end % DAY for end in exact)
    for bounds in (midnight, second, exact) if long else (second, exact):
        if len(bounds) == 2 and extreme(known, False) < bounds[0] < bounds[1] and known.is_between(*bounds, closed="left").any():
            return bounds[0], bounds[1]
    return None


def _at_steps(moment: Moment) -> Division | None:
    bounds = _bounds(moment.values, dated=False)
    if bounds is None:
        return None
    return Division("temporal", "numbers that only order, cut at 80% and 90% of the events", *map(str, bounds))
