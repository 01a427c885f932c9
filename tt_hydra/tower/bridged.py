"""Two models as one: the query tower of one of them, turned into the space of the other, whose item tower stays."""

from __future__ import annotations

from torch import Tensor, nn

from tt_hydra.contracts import Features
from tt_hydra.tower.finish import unit
from tt_hydra.tower.two_tower import TwoTower


class Bridged(TwoTower):
    """Embeds queries with one model and items with another.

    Args:
        asking: the model whose query tower asks.
        answering: the model whose item tower made the index.
        turn: ``(asking dim, answering dim)`` map of vectors of the first into the space of the second.

    Attributes:
        asking: the model whose query tower asks.
        answering: the model whose item tower made the index.
    """

    turn: Tensor

    def __init__(self, asking: TwoTower, answering: TwoTower, turn: Tensor) -> None:
        nn.Module.__init__(self)  # what TwoTower makes of towers is held by the two models
        self.asking, self.answering = asking, answering
        self.finish, self.num_items, self.dim = answering.finish, asking.num_items, answering.dim
        self.tokenizers = {"query": asking.tokenizers["query"], "item": answering.tokenizers["item"]}
        self.texts = {"query": asking.texts["query"], "item": answering.texts["item"]}
        self.register_buffer("turn", turn.float())

    @property
    def item_text(self) -> Tensor | None:  # type: ignore[override]  # the histories' items are those of the asking model
        """Text vectors of the items that histories name."""
        return self.asking.item_text

    @property
    def tied(self) -> bool:
        """Whether one set of weights serves both sides."""
        return False

    def embed_queries(self, features: Features) -> Tensor:
        """Query vectors ``(rows, dim)`` in the space of the index."""
        vectors = self.asking.embed_queries(features) @ self.turn
        # a bias is turned with the rest: its weight 1 is no dimension any more
        return unit(vectors) if self.metric == "cosine" else vectors

    def embed_items(self, features: Features) -> Tensor:
        """Item vectors ``(rows, dim)``, by the model of the index."""
        return self.answering.embed_items(features)
