"""A client of a running service; needs httpx (``pip install 'tt-hydra[serve]'``), neither torch nor the bundle."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, overload
from urllib.parse import quote

from tt_hydra.errors import ServiceError

try:
    import httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("tt_hydra.client needs httpx: pip install 'tt-hydra[serve]'", name="httpx") from error

TOKEN = "TT_HYDRA_TOKEN"
"""Environment variable of the token that writing and administration ask for."""
ITEMS_AT_ONCE = 1000
"""Items that one request writes or deletes: what a service takes by default."""
BUSY = frozenset({429, 503})
LONGEST_WAIT = 30.0
"""Seconds: a longer ``Retry-After`` is not waited for."""

Query = str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Who answered.

    Attributes:
        model: fingerprint of the model.
        version: number of the version.
        index: ``version.change``: answers of one index come from the same items.
    """

    model: str
    version: int
    index: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One found item, a higher ``score`` is better; ``fields`` and ``vector`` only where they were asked for."""

    rank: int
    id: str
    score: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    vector: list[float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Results(Sequence[Hit]):
    """The items found for one query, best first."""

    mark: Mark
    hits: tuple[Hit, ...]

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, place: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[place]

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors:
    """Vectors in the order in which they were asked for."""

    mark: Mark
    vectors: list[list[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An item with all its columns."""

    mark: Mark
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A write that is on the disk and in the next search.

    Attributes:
        count: items that were written or deleted.
        unknown: ids that were to be deleted and that there were not.
        sequence: the last change that the service knows.
    """

    mark: Mark
    count: int
    sequence: int
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version of the registry."""

    number: int
    current: bool
    created: str
    items: int
    model: str
    metric: str
    dim: int
    index: Mapping[str, Any]
    measured: Mapping[str, float]


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
        token = os.environ.get(TOKEN) if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url, self._retries = url.rstrip("/"), retries
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

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
        queries: Sequence[Query],
        *,
        k: int = 10,
        filter: Mapping[str, Any] | None = None,
        exclude: Sequence[str] = (),
        exclude_seen: bool = False,
        include: Sequence[str] | str = (),
        params: Mapping[str, int] | None = None,
        exact: bool = False,
    ) -> list[Results]:
        """The best items for each query.

        Args:
            queries: texts, or what is known of each.
            k: how many items for each.
            filter: conditions on item columns: ``{"year": {"gte": 1990}, "genre": ["crime", "war"]}``.
            exclude: ids to leave out.
            exclude_seen: leave out what a query had before.
            include: columns of the items, ``"vector"`` among them; ``"*"`` for all columns.
            params: search parameters instead of the version's.
            exact: compare with every item instead of asking the index.

        Raises:
            ServiceError: the request is refused, or there is no answer.
        """
        body: dict[str, Any] = {"queries": [_query(each) for each in queries], "k": k}
        given = {"filter": filter, "exclude": list(exclude), "exclude_seen": exclude_seen, "params": params, "exact": exact}
        body |= {name: value for name, value in given.items() if value}
        if include:
            body["include"] = include if include == "*" else [include] if isinstance(include, str) else list(include)
        answer = self._ask("POST", "/v1/search", body)
        return [Results(mark=_mark(answer), hits=tuple(_hits(hits))) for hits in answer["results"]]

    def embed(self, queries: Sequence[Query] | None = None, *, items: Sequence[Mapping[str, Any]] | None = None) -> Vectors:
        """Vectors of queries, or of items that need not be in the catalogue.

        Raises:
            ServiceError: the request is refused, or there is no answer.
        """
        body = {"items": list(items)} if items is not None else {"queries": [_query(each) for each in queries or ()]}
        answer = self._ask("POST", "/v1/embed", body)
        return Vectors(mark=_mark(answer), vectors=answer["vectors"])

    def upsert(self, items: Sequence[Mapping[str, Any]]) -> Written:
        """Writes items, new ones and others in place of those with the same id; many go in several requests, in order.

        Raises:
            ServiceError: a request is refused, or there is no answer; the parts before it are written.
        """
        return self._write("PUT", "items", "upserted", items)

    def delete(self, ids: Sequence[str]) -> Written:
        """Removes items; those that there are not are named in the answer.

        Raises:
            ServiceError: a request is refused, or there is no answer; the parts before it are gone.
        """
        return self._write("DELETE", "ids", "deleted", ids)

    def item(self, identifier: str) -> Item:
        """An item.

        Raises:
            ServiceError: there is no such item (``status`` is 404), or there is no answer.
        """
        answer = self._ask("GET", f"/v1/items/{quote(identifier, safe='')}")
        return Item(mark=_mark(answer), fields=answer["item"])

    def versions(self) -> list[Version]:
        """The versions of the registry, oldest first.

        Raises:
            ServiceError: there is no answer.
        """
        answer = self._ask("GET", "/v1/versions")
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
        return _mark(self._ask("POST", f"/v1/versions/{version}/activate"))

    def schema(self) -> dict[str, Any]:
        """What queries and items of the served version consist of, its search parameters and its limits.

        Raises:
            ServiceError: there is no answer.
        """
        return self._ask("GET", "/v1/schema")

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, method: str, name: str, counted: str, values: Sequence[Any]) -> Written:
        if not values:
            raise ServiceError(f"no {name} are given: at least one is needed")
        count, unknown = 0, []
        for start in range(0, len(values), ITEMS_AT_ONCE):
            answer = self._ask(method, "/v1/items", {name: list(values[start : start + ITEMS_AT_ONCE])})
            count += answer[counted]
            unknown += answer.get("unknown", ())
        return Written(mark=_mark(answer), count=count, sequence=answer["sequence"], unknown=tuple(unknown))

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        for number in range(self._retries + 1):
            answer, wait = self._once(method, path, body)
            if not isinstance(answer, ServiceError):
                return answer
            if wait is None or number == self._retries:
                raise answer
            time.sleep(max(wait, 0.1 * 2**number * random.uniform(1, 1.5)))
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: object) -> tuple[dict[str, Any] | ServiceError, float | None]:
        """An answer, or what is wrong and in how many seconds it may be well; None for never."""
        try:
            response = self._http.request(method, path, json=body)
        except (ValueError, TypeError) as error:
            return ServiceError(f"this cannot be sent as JSON: {error}"), None
        except httpx.TimeoutException:
            return ServiceError(
                f"{self.url} did not answer within {self._http.timeout.read} s: ask for less, or give Client(timeout=...)"
            ), None
        except httpx.TransportError as error:
            return ServiceError(f"{self.url} does not answer ({error}). Is the service running there?"), 0.0
        if response.is_success:
            return _content(response), None
        named = _seconds(response)
        return _refusal(response), named if response.status_code in BUSY and named <= LONGEST_WAIT else None


def _query(query: Query) -> Mapping[str, Any]:
    return {"text": query} if isinstance(query, str) else query


def _mark(answer: Mapping[str, Any]) -> Mark:
    return Mark(model=answer["model"], version=answer["version"], index=answer["index"])


def _hits(hits: Sequence[Mapping[str, Any]]) -> Iterator[Hit]:
    return (Hit(rank=rank, **hit) for rank, hit in enumerate(hits, start=1))


def _content(response: httpx.Response) -> dict[str, Any] | ServiceError:
    try:
        content = response.json()
    except ValueError:
        content = None
    if isinstance(content, dict):
        return content
    return ServiceError(f"{response.url} answers, but not as tt_hydra does: is the address right?", status=response.status_code)


def _refusal(response: httpx.Response) -> ServiceError:
    try:
        fault = response.json()["error"]
        reason, place = fault["reason"], fault.get("field")
    except (ValueError, LookupError, TypeError):
        reason, place = f"{response.url} answered {response.status_code} {response.reason_phrase} without a reason", None
    return ServiceError(f"{reason} ({place})" if place else reason, status=response.status_code, field=place)


def _seconds(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0
