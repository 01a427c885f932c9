"""Bodies of requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

INT64 = 2**63
Whole = Annotated[StrictInt, Field(ge=-INT64, lt=INT64)]
Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Scalar = StrictStr | StrictBool | Whole | Number | None
Value = Scalar | list[Scalar]
Id = StrictStr | Whole


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class QueryBody(_Body):
    """One question; what is given beside an id replaces what its record says."""

    text: StrictStr | None = Field(None, description="query text")
    id: Id | None = Field(None, description="a known query: its last known features and history")
    features: dict[str, Value] | None = Field(None, description="features of the query by name")
    history: list[Id] | None = Field(None, description="ids of earlier items, oldest first")
    context: dict[str, Value] | None = Field(None, description="columns of the event by name")
    vector: list[Number] | None = Field(None, description="a ready-made query vector, instead of all else")


class SearchBody(_Body):
    """`POST /v1/search`."""

    queries: list[QueryBody] = Field(min_length=1)
    k: Annotated[StrictInt, Field(ge=1)] = Field(10, description="results of each query")
    filter: dict[str, Value | dict[Literal["gte", "gt", "lte", "lt", "not"], Value]] | None = Field(
        None, description="conditions on item columns: a value, any of a list of values, or a range"
    )
    exclude: list[Id] = Field([], description="ids to leave out")
    exclude_seen: StrictBool = Field(False, description="leave out what the query had before")
    include: list[StrictStr] | Literal["*"] = Field([], description="columns of the items to show, vector among them; * for all columns")
    params: dict[str, Annotated[StrictInt, Field(ge=0)]] | None = Field(None, description="search parameters instead of the version's")
    exact: StrictBool = Field(False, description="compare with every item instead of asking the index")


class EmbedBody(_Body):
    """`POST /v1/embed`: queries, or items."""

    queries: list[QueryBody] | None = Field(None, min_length=1)
    items: list[dict[str, Value]] | None = Field(None, min_length=1)


class UpsertBody(_Body):
    """`PUT /v1/items`."""

    items: list[dict[str, Value]] = Field(min_length=1, description="id and columns of each item")


class DeleteBody(_Body):
    """`DELETE /v1/items`."""

    ids: list[Id] = Field(min_length=1)


class Marked(BaseModel):
    """What every answer says of who gave it."""

    model: str = Field(description="fingerprint of the model")
    index: str = Field(description="version and last change of the catalogue: two answers of one index come from the same items")
    version: int


class Hit(BaseModel):
    """A found item."""

    id: str
    score: float
    fields: dict[str, Any] | None = None
    vector: list[float] | None = None


class SearchAnswer(Marked):
    """Results of each query, best first."""

    results: list[list[Hit]]


class EmbedAnswer(Marked):
    """Vectors in the order of the request."""

    vectors: list[list[float]]


class UpsertAnswer(Marked):
    """The write is on the disk, and the next search finds it."""

    upserted: int
    sequence: int


class DeleteAnswer(Marked):
    """The items are gone; ``unknown`` are ids that there were not."""

    deleted: int
    unknown: list[str]
    sequence: int


class ItemAnswer(Marked):
    """An item with all its columns."""

    item: dict[str, Any]


class Fault(BaseModel):
    """Why a request was refused; ``field`` where it is about one."""

    reason: str
    field: str | None = None


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: Fault
