"""A client of a running service; needs httpx (``pip install 'tt-hydra[serve]'``), neither torch nor the bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tt_hydra.client.answers import Hit, Item, Mark, Results, Vectors, Version, Written
from tt_hydra.client.http import Http
from tt_hydra.errors import ServiceError

if TYPE_CHECKING:
    import httpx

__all__ = ["Client", "Hit", "Item", "Mark", "Results", "Vectors", "Version", "Written"]

TOKEN = "TT_HYDRA_TOKEN"
"""Environment variable of the token that writing and administration ask for."""
ITEMS_AT_ONCE = 1000
"""Items that one request writes or deletes: what a service takes by default."""

Query = str | Mapping[str, Any]


class Client:
    """A service at an address.

    Example:
        >>> client = Client("http://127.0.0.1:8080")  # doctest: +SKIP
        >>> client.search("a film about the sea", k=5)  # doctest: +SKIP
        >>> client.upsert([{"id": "f1", "title": "The Deep"}])  # doctest: +SKIP
        >>> client.delete(["f1"])  # doctest: +SKIP

    A busy service (429, 503) is asked again after the time that it names, and a lost connection is made again. Every request may be
    repeated: a write says what is to be there, not what is to be added.

    Args:
        url: address of the service.
        token: for writing and administration; by default that of ``TT_HYDRA_TOKEN``.
        timeout: seconds until a request is given up.
        retries: how often a request is repeated.
        transport: of httpx, instead of the network.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        token = os.environ.get(TOKEN, "").strip() or None if token is None else token
        self._http = Http(url, token, timeout, retries, transport)

    def search(self, query: Query, *, k: int = 10, **more: Any) -> Results:
        """The best items for one query.

        Args:
            query: a text, or what is known: ``text``, ``id``, ``features``, ``history``, ``context``, ``vector``.
            k: how many items.
            more: see `search_many`.

        Raises:
            ServiceError: the request is refused, or there is no answer.
        """
        return self.search_many([query], k=k, **more)[0]

    def search_many(
        self,
        queries: Sequence[Query] | Query,
        *,
        k: int = 10,
        filter: Mapping[str, Any] | None = None,
        exclude: Sequence[str | int] | str | int = (),
        exclude_seen: bool = False,
        include: Sequence[str] | str = (),
        params: Mapping[str, int] | None = None,
        exact: bool = False,
    ) -> list[Results]:
        """The best items for each query.

        Args:
            queries: texts, or what is known of each; one alone is a list of one.
            k: how many items for each.
            filter: conditions on item columns: ``{"year": {"gte": 1990}, "genre": ["crime", "war"]}``.
            exclude: ids to leave out, or one.
            exclude_seen: leave out what a query had before.
            include: columns of the items, ``"vector"`` among them; ``"*"`` for all columns.
            params: search parameters instead of the version's.
            exact: compare with every item instead of asking the index.

        Raises:
            ServiceError: the request is refused, or there is no answer.
        """
        body: dict[str, Any] = {"queries": [_query(each) for each in _listed(queries)], "k": k}
        given = {"filter": filter, "exclude": _listed(exclude), "exclude_seen": exclude_seen, "params": params, "exact": exact}
        body |= {name: value for name, value in given.items() if value}
        if include:
            body["include"] = include if include == "*" else [include] if isinstance(include, str) else list(include)
        answer = self._http.ask("POST", "/v1/search", body)
        return [Results(mark=Mark.of(answer), hits=tuple(_hits(hits))) for hits in answer["results"]]

    def embed(
        self, queries: Sequence[Query] | Query | None = None, *, items: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> Vectors:
        """Vectors of queries, or of items that need not be in the catalogue.

        Raises:
            ServiceError: the request is refused, or there is no answer.
        """
        body = {"items": _listed(items)} if items is not None else {"queries": [_query(each) for each in _listed(queries or ())]}
        answer = self._http.ask("POST", "/v1/embed", body)
        return Vectors(mark=Mark.of(answer), vectors=answer["vectors"])

    def upsert(self, items: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Written:
        """Writes items, or one: new ones, and others in place of those with the same id; many go in several requests, in order.

        Raises:
            ServiceError: a request is refused, or there is no answer; the parts before it are written.
        """
        return self._write("PUT", "items", "upserted", _listed(items))

    def delete(self, ids: Sequence[str | int] | str | int) -> Written:
        """Removes items, or the one of this id; those that there are not are named in the answer.

        Raises:
            ServiceError: a request is refused, or there is no answer; the parts before it are gone.
        """
        return self._write("DELETE", "ids", "deleted", _listed(ids))

    def item(self, identifier: str | int) -> Item:
        """An item.

        Raises:
            ServiceError: there is no such item (``status`` is 404), or there is no answer.
        """
        answer = self._http.ask("GET", f"/v1/items/{quote(str(identifier), safe='')}")
        return Item(mark=Mark.of(answer), fields=answer["item"])

    def versions(self) -> list[Version]:
        """The versions of the registry, oldest first.

        Raises:
            ServiceError: there is no answer.
        """
        answer = self._http.ask("GET", "/v1/versions")
        known = ("created", "items", "model", "metric", "dim", "index", "measured")
        return [
            Version(number=each["version"], current=each["version"] == answer["current"], **{name: each[name] for name in known})
            for each in answer["versions"]
        ]

    def activate(self, version: int) -> Mark:
        """Makes a version the served one.

        Raises:
            ServiceError: the token is missing, there is no such version, it is damaged, or there is no answer.
        """
        return Mark.of(self._http.ask("POST", f"/v1/versions/{version}/activate"))

    def schema(self) -> dict[str, Any]:
        """What queries and items of the served version consist of, its search parameters and its limits.

        Raises:
            ServiceError: there is no answer.
        """
        return self._http.ask("GET", "/v1/schema")

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, method: str, name: str, counted: str, values: list[Any]) -> Written:
        if not values:
            raise ServiceError(f"no {name} are given: at least one is needed")
        count, unknown = 0, []
        for start in range(0, len(values), ITEMS_AT_ONCE):
            answer = self._http.ask(method, "/v1/items", {name: values[start : start + ITEMS_AT_ONCE]})
            count += answer[counted]
            unknown += answer.get("unknown", ())
        return Written(mark=Mark.of(answer), count=count, sequence=answer["sequence"], unknown=tuple(unknown))


def _query(query: Query) -> Mapping[str, Any]:
    return {"text": query} if isinstance(query, str) else query


def _listed(values: Any) -> list[Any]:
    """What is given alone is one: a text is one id or query, not those that its letters are."""
    return [values] if isinstance(values, (str, int, Mapping)) else list(values)


def _hits(hits: Sequence[Mapping[str, Any]]) -> Iterator[Hit]:
    return (Hit(rank=rank, **hit) for rank, hit in enumerate(hits, start=1))
