"""What may be built: indexes with their quantization, and how large they will be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tt_hydra.index.check import IndexSpec, Quantization
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import POINTS_PER_LIST, Ivf
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.fp16 import Fp16
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq, resolve_bits
from tt_hydra.quantization.scalar import Scalar

HEADERS = 700
"""Bytes of ``index.json`` and of the FAISS file besides its arrays, about."""
ROW_ID, LIST = 8, 20
"""Bytes of an item's number in an inverted list, and of a list."""
TOLD = ("m", "dim", "store", "bits")
"""Fields of a quantization that its name tells."""
SHORT = {"NoQuantization": "none"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An index that may be built.

    Attributes:
        spec: kind of index.
        quantization: how it stores vectors; its ``refine`` is above 0 where full vectors rescore.
        prefix_dim: leading dimensions that it keeps; None for all.
    """

    spec: IndexSpec
    quantization: Quantization
    prefix_dim: int | None = None

    @property
    def family(self) -> str:
        """``flat``, ``ivf`` or ``hnsw``."""
        return type(self.spec).__name__.lower()

    @property
    def codes(self) -> str:
        """Name of the quantization."""
        name = type(self.quantization).__name__
        return SHORT.get(name, name.lower())

    @property
    def refines(self) -> bool:
        """Whether it is meant to rescore with the full vectors."""
        return bool(getattr(self.quantization, "refine", 0))

    @property
    def shares(self) -> tuple[IndexSpec, Quantization | None, int | None]:
        """What its graph or lists depend on: candidates for which it is equal share them."""
        transforms = isinstance(self.quantization, Pca | Opq | Binary)
        return self.spec, self.quantization if transforms else None, self.prefix_dim

    @property
    def codes_only(self) -> Candidate:
        """What is left to build where graph or lists are there."""
        return replace(self, spec=Flat())

    def finer(self, other: Candidate) -> bool:
        """Whether it is of the same kind as ``other`` with more bits for each dimension, so that it finds no less."""
        own, others = _bits(self.quantization), _bits(other.quantization)
        same = self.spec == other.spec and self.prefix_dim == other.prefix_dim
        return same and own is not None and others is not None and own > others and not other.refines

    def name(self, params: Mapping[str, int] | None = None) -> str:
        """What a person reads: ``hnsw M=16 int8 efSearch=64``."""
        shown = [self.family]
        if isinstance(self.spec, Hnsw):
            shown.append(f"M={self.spec.M}")
        if isinstance(self.spec, Ivf):
            shown.append(f"nlist={self.spec.nlist}")
        shown += [
            self.codes,
            *(f"{key}={getattr(self.quantization, key)}" for key in TOLD if _set(self.quantization, key)),
        ]
        if self.prefix_dim is not None:
            shown.append(f"prefix={self.prefix_dim}")
        return " ".join([*shown, *(f"{key}={value}" for key, value in (params or {}).items() if key != "refine" or value)])

    def tuned(self, params: Mapping[str, int]) -> Candidate:
        """The same with these search parameters as its own."""
        own = {field.name for field in fields(self.spec)}
        changes: dict[str, Any] = {key: value for key, value in params.items() if key in own}
        spec = replace(self.spec, **changes)
        refined: dict[str, Any] = {"refine": params["refine"]} if "refine" in params and hasattr(self.quantization, "refine") else {}
        return replace(self, spec=spec, quantization=replace(self.quantization, **refined))

    def on(self, size: int) -> Candidate:
        """The same for a sample of ``size`` items: lists that so few items can fill."""
        lists = min(self.spec.nlist or size, size // POINTS_PER_LIST) if isinstance(self.spec, Ivf) else None
        return self if lists is None else replace(self, spec=Ivf(nlist=max(1, lists)))

    def overrides(self) -> str:
        """What makes this very index on the command line."""
        shown = [f"index={self.family}", *_changes("index", self.spec)]
        shown += [f"quantization={self.codes}", *_changes("quantization", self.quantization)]
        return " ".join(shown if self.prefix_dim is None else [*shown, f"prefix_dim={self.prefix_dim}"])

    def bytes_per_item(self, size: int, dim: int) -> float:
        """Size of its files for ``size`` vectors of ``dim`` dimensions, to a few bytes."""
        width = self.prefix_dim or dim
        code, shared, inner = _codes(self.quantization, width, size)
        lists = self.spec.resolve_nlist(size) if isinstance(self.spec, Ivf) else 1 if isinstance(self.quantization, Pq | Opq) else 0
        if isinstance(self.spec, Hnsw):
            code += 8 * self.spec.M + 16
        elif lists:
            code += ROW_ID
            shared += lists * (4 * inner + LIST)
        return code + (4 * dim if self.refines else 0) + (shared + HEADERS) / size


def _codes(quantization: Quantization, dim: int, size: int) -> tuple[float, float, int]:  # noqa: PLR0911  # one line for each case
    """Bytes of a vector's code, bytes that all share, and the dimensions behind the transform."""
    match quantization:
        case Fp16():
            return 2 * dim, 0, dim
        case Int8():
            return dim, 8 * dim, dim
        case Scalar():
            return dim * quantization.bits / 8, 8 * dim, dim
        case Pca():
            kept = quantization.resolve(dim)
            return (4 if quantization.store == "none" else 1) * kept, 4 * kept * dim + 8 * kept, kept
        case Pq() | Opq():
            m, bits = quantization.resolve_m(dim), resolve_bits(quantization.bits, size)
            inner = dim if isinstance(quantization, Pq) else -(-dim // m) * m
            rotation = 4 * dim * inner if isinstance(quantization, Opq) else 0
            return m * bits / 8, 4 * 2**bits * inner + rotation, inner
        case Binary():
            return dim / 8 + 8, 4 * dim * dim + 4 * dim, dim
    return 4 * dim, 0, dim


def _bits(quantization: Quantization) -> float | None:
    """Bits of a dimension; None where dimensions are not stored alike."""
    match quantization:
        case NoQuantization():
            return 32
        case Fp16():
            return 16
        case Int8():
            return 8
        case Scalar():
            return quantization.bits
        case Binary():
            return 1
    return None


def _set(component: object, key: str) -> bool:
    return getattr(component, key, None) not in (None, "none")


def _changes(node: str, component: object) -> list[str]:
    """The overrides of a component's fields that differ from their defaults."""
    default = type(component)()
    names = [field.name for field in fields(component)]  # type: ignore[arg-type]  # every component is a dataclass
    return [f"{node}.{name}={getattr(component, name)}" for name in names if getattr(component, name) != getattr(default, name)]
