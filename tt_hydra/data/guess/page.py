"""A draft as a commented data file."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tt_hydra.data.guess.column import share
from tt_hydra.data.guess.draft import Draft
from tt_hydra.data.guess.features import Feature, Left
from tt_hydra.data.guess.keys import SHOWN, Key
from tt_hydra.data.guess.roles import Roles, Use, written
from tt_hydra.data.guess.side import Side

PLAIN = re.compile(r"[A-Za-z_](?:[\w./-]*\w)?")
WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""Plain scalars that YAML does not read as texts."""
COMMENT_COLUMN = 40
ASK = "???"
TABLE = "tt_hydra.data.table.Table"
"""Named outright where something is asked: over a default of ``data=table``, Hydra would take ``???`` for nothing said."""


@dataclass(frozen=True, slots=True)
class Page:
    """A data file.

    Attributes:
        text: what it holds.
        questions: keys that the user must fill in before it runs.
    """

    text: str
    questions: tuple[str, ...]


def scalar(text: str) -> str:
    """A text as a YAML value that Hydra and OmegaConf read back unchanged."""
    return key(re.sub(r"(\\*)\$\{", lambda found: found.group(1) * 2 + "\\${", text))


def key(text: str) -> str:
    """A text as a YAML key; no interpolation is looked for in keys."""
    return text if PLAIN.fullmatch(text) and text.isascii() and text.lower() not in WORDS else json.dumps(text, ensure_ascii=False)


def page(draft: Draft, command: str) -> Page:
    """The file.

    Args:
        draft: what the tables seem to mean.
        command: the command line that runs it.
    """
    questions = [f"data.interactions.{name}" for name, asked in (("query", draft.asks_query), ("item", draft.item.event is None)) if asked]
    lines = [*_header(draft, command, questions), *_interactions(draft)]
    lines += [*_side("queries", draft.queries), *_side("items", draft.items), *_order(draft), *_run(draft, command)]
    return Page("\n".join(lines) + "\n", tuple(questions))


def _header(draft: Draft, command: str, questions: list[str]) -> list[str]:
    ask = [f"# To be answered before it runs: {', '.join(questions)} (search for {ASK})."] if questions else []
    return [
        "# @package _global_",
        "# Guessed by `python -m tt_hydra init`: each line says what was seen. Read it, and correct what is wrong. To run it:",
        *ask,
        f"#   {command}",
        *_layout(draft.path),
        "# Paths are relative to the working directory. All keys of a table: python -m tt_hydra data=table --cfg job",
        "",
        *([] if questions else ["defaults:", "  - table@data", "  - _self_", ""]),
        "data:",
        *([f"  _target_: {TABLE}"] if questions else []),
    ]


def _layout(path: str) -> list[str]:
    """A hint at a source that reads a layout better."""
    folder = Path(path).parent
    if folder.name != "qrels":
        return []
    return [
        "# The files seem to be in the BEIR layout, whose own parts this reads as they are:",
        f"#   {shlex.join(['python', '-m', 'tt_hydra', 'data=beir', f'data.path={folder.parent}', 'tower=bert'])}",
    ]


def _interactions(draft: Draft) -> list[str]:
    roles, moment = draft.roles, draft.moment
    lines = [_line(2, "interactions", ""), _line(4, "path", scalar(draft.path), f"{draft.rows:,} rows")]
    query = draft.query
    if draft.texts_are_queries:
        lines.append(_line(4, "query", "null", f"each distinct text is a query: {query.why}"))
    else:
        lines += _key("query", query)
    lines += _key("item", draft.item)
    if moment is None:
        lines.append(_line(4, "time", "null", "no column of times was found; with one, the split and the history follow the clock"))
    else:
        lines += [_line(4, "time", scalar(moment.column.name), moment.why), _line(4, "time_unit", moment.unit)]
        if moment.column.known < moment.column.rows:
            lines.append(_note(4, f"{share(1 - moment.column.known / moment.column.rows)} of the rows have no time and are left out"))
    for other in draft.other_moments:
        lines.append(_note(4, f"time: {scalar(other.column.name)}", f"if that is when the query found the item: {other.why}"))
    uses = (("text", roles.text), ("weight", roles.weight), ("split", roles.split), ("teacher", roles.teacher))
    lines += [_line(4, name, scalar(use.column), use.why) for name, use in uses if use is not None]
    if roles.impressions is not None:
        lines += _impressions(roles.impressions)
    if roles.labels:
        lines.append(_line(4, "labels", f"[{', '.join(scalar(use.column) for use in roles.labels)}]", "for losses that learn from them"))
        lines += [_note(4, f"  {_plain(use.column)}: {use.why}") for use in roles.labels]
    if roles.labels and roles.weight is None:
        lines.append(_note(4, "Every row counts as a success, whatever its labels: a weight of 0 drops a row"))
    if draft.takes_again:
        lines.append(_note(4, "repeats: first", "to predict only what is new to a query"))
    return lines + _context(roles, draft.moment is not None and draft.moment.dated, moment.column.name if moment else "")


def _key(name: str, found: Key) -> list[str]:
    if found.event is not None:
        return [_line(4, name, scalar(found.event), found.why)]
    more = [_note(4, f"and {len(found.candidates) - SHOWN:,} more")] if len(found.candidates) > SHOWN else []
    listed = [_note(4, f"{name}: {scalar(each)}") for each in found.candidates[:SHOWN]]
    return [_line(4, name, ASK, f"{found.why}: name the column"), *listed, *more]


def _impressions(use: Use) -> list[str]:
    lines = [_line(4, "impressions", scalar(use.column), f"{use.why}; negatives=given learns from those not taken")]
    return lines if use.sep is None else [*lines, _line(4, "impressions_sep", json.dumps(use.sep))]


def _context(roles: Roles, dated: bool, time: str) -> list[str]:
    lines = [_line(4, "context", "", "features of the event, known when the query is asked")]
    lines += _features(6, roles.context)
    if dated and time not in ("query", "item", "text", "weight", "split"):
        lines.append(_note(6, f"{key(time)}: time", "hour and weekday of the event"))
    return lines + _left(6, roles.left)


def _side(name: str, side: Side) -> list[str]:
    if side.path is None and not side.features:
        return [_note(2, f"{name}: there is no table of them"), *_left(4, side.left)]
    lines = [_line(2, name, "")]
    if side.path is not None:
        lines += [_line(4, "path", scalar(side.path), f"{side.rows:,} rows"), _line(4, "id", scalar(side.id or ASK))]
    lines.append(_line(4, "features", ""))
    return lines + _features(6, side.features) + _left(6, side.left)


def _features(indent: int, features: Mapping[str, Feature]) -> list[str]:
    return [_line(indent, key(name), written(kind), kind.why) for name, kind in features.items()]


def _left(indent: int, left: Mapping[str, Left]) -> list[str]:
    if not left:
        return []
    told = [
        _note(indent, f"{key(name)}: {reason.instead}", reason.why) if reason.instead else _note(indent, f"{_plain(name)}: {reason.why}")
        for name, reason in left.items()
    ]
    return [_note(indent, "Left out (a line that is a declaration may be taken in):"), *told]


def _order(draft: Draft) -> list[str]:
    habits, division = draft.habits, draft.division
    typical = f"{habits.per_query:g} events of a query (median)"
    if draft.history:
        if draft.asks_query:
            typical = "what a query of the id that you name had before; null where it comes once, or its events have nothing in common"
        lines = [_line(2, "history", "", typical), _line(4, "max_length", "50")]
        lines.append(_line(4, "ordered", "true" if draft.moment is not None else "false", "" if draft.moment else "no column of times"))
    else:
        lines = [_line(2, "history", "null", typical if draft.query.event else "queries are texts")]
    if draft.moment is not None and draft.moment.dated:
        lines.append(_note(2, "statistics: [count, rate_7d]", "popularity of an item up to the event"))
    lines += [_line(2, "split", ""), _line(4, "kind", division.kind, division.why)]
    if division.valid_from is not None and division.test_from is not None:
        lines += [_line(4, "valid_from", division.valid_from), _line(4, "test_from", division.test_from)]
    return [*lines, *([_note(4, f"or {division.otherwise}")] if division.otherwise else []), ""]


def _run(draft: Draft, command: str) -> list[str]:
    asks = draft.asks_query or draft.item.event is None
    again = "whether items are taken again is not known yet" if asks else f"{share(draft.habits.repeated)} of the events take an item again"
    asked = draft.searches
    seen = "false" if asked or draft.takes_again else "true"
    why = "a text may be asked again, and answered alike" if asked else again
    lines = [
        _line(0, "metric", "cosine", "dot would let popular items have longer vectors"),
        _line(0, "evaluate", ""),
        _line(2, "exclude_seen", seen, why),
    ]
    if draft.only_text:
        lines += [
            "# Both sides are texts and nothing else: a pretrained encoder may know more than these rows can teach, at more time per row:",
            f"#   {command} tower=bert embedding_dim=null train.batch_size=32 train.max_epochs=3 train.patience=2",
        ]
    elif any(kind.kind == "text" for kind in draft.items.features.values()) or asked:
        lines += [
            "# There are texts: tower=bert or tower=static read them better than the default, which hashes words, at more time per row."
        ]
    return lines


def _line(indent: int, name: str, value: str, why: str = "") -> str:
    text = f"{' ' * indent}{name}:{' ' if value else ''}{value}"
    return f"{text:<{COMMENT_COLUMN - 1}} # {_one_line(why)}" if why else text


def _note(indent: int, text: str, why: str = "") -> str:
    line = f"{' ' * indent}# {_one_line(text)}"
    return f"{line:<{COMMENT_COLUMN - 1}} # {_one_line(why)}" if why else line


def _plain(name: str) -> str:
    """A name for a comment: on one line, whatever it holds."""
    return name if name.isprintable() else json.dumps(name)


def _one_line(text: str) -> str:
    return " ".join(text.split())
