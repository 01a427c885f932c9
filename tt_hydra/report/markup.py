"""HTML by construction: every text that is not already markup is escaped, so no title or id can become a tag."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = frozenset({"meta", "link", "br", "hr", "col"})


class Html(str):
    """A string that is markup already."""

    __slots__ = ()


def escape(text: object) -> Html:
    """Any value as text; markup stays what it is."""
    return text if isinstance(text, Html) else Html(html.escape(str(text), quote=True))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """The parts one after the other, each escaped unless it is markup."""
    return Html(separator.join(escape(part) for part in parts))


def element(tag: str, /, *children: object, **attributes: object) -> Html:
    """An element.

    Args:
        tag: its name.
        children: texts, which are escaped, or markup.
        attributes: ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``; True gives a bare attribute, None and False none.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value), quote=True)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def table(headings: Iterable[object], rows: Iterable[Iterable[Html]], *, caption: str, class_: str = "") -> Html:
    """A table that scrolls sideways within its own frame, by keyboard too.

    Args:
        headings: texts or ``th`` elements.
        rows: cells (``td`` or ``th`` elements) of each row.
        caption: what it shows, for those who do not see it.
        class_: of the table.
    """
    head = (cell if isinstance(cell, Html) else element("th", cell, scope="col") for cell in headings)
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *head)),
            element("tbody", *(element("tr", *row) for row in rows)),
            class_=class_ or None,
        ),
        class_="scroll",
        role="region",
        aria_label=caption,
        tabindex="0",
    )


def number_heading(text: str) -> Html:
    """The heading of a column of numbers."""
    return element("th", text, scope="col", class_="num")


def number(text: object) -> Html:
    """A cell with a number."""
    return element("td", text, class_="num")


def row_heading(*children: object) -> Html:
    """The cell that names a row."""
    return element("th", *children, scope="row")
