"""What a FAISS index is made of, and the search parameters that reach each part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import faiss

from tt_hydra.contracts import FloatArray
from tt_hydra.index.check import IndexSpec, Quantization
from tt_hydra.index.codes import QUERY_BITS
from tt_hydra.index.ivf import resolve_nprobe


def parts(index: faiss.Index) -> Iterator[faiss.Index]:
    """The index and what it wraps, outermost first."""
    index = faiss.downcast_index(index)
    yield index
    if isinstance(index, faiss.IndexPreTransform | faiss.IndexIDMap):
        yield from parts(index.index)
    elif isinstance(index, faiss.IndexRefine):
        yield from parts(index.base_index)


def core(index: faiss.Index) -> faiss.Index:
    """The innermost wrapped index, which does the search."""
    return list(parts(index))[-1]


def transformed(index: faiss.Index, queries: FloatArray) -> FloatArray:
    """Queries as the innermost part of the index sees them."""
    for part in parts(index):
        if isinstance(part, faiss.IndexPreTransform):
            for position in range(part.chain.size()):
                queries = faiss.downcast_VectorTransform(part.chain.at(position)).apply(queries)
    return queries


def projects(index: faiss.Index) -> bool:
    """Whether something leaves dimensions out before the vectors are coded."""
    chains = [part.chain for part in parts(index) if isinstance(part, faiss.IndexPreTransform)]
    transforms = [chain.at(position) for chain in chains for position in range(chain.size())]
    return any(each.d_out < each.d_in for each in transforms)


def search_defaults(spec: IndexSpec, quantization: Quantization, index: faiss.Index) -> dict[str, int]:
    """The search parameters that ``index`` takes, with the values that its spec gives them."""
    kernel = core(index)
    lists = isinstance(kernel, faiss.IndexIVF) and kernel.nlist > 1
    values = {
        "nprobe": resolve_nprobe(getattr(spec, "nprobe", None), kernel.nlist) if lists else None,
        "efSearch": getattr(spec, "efSearch", None) if _has_graph(kernel) else None,
        "k_factor": getattr(spec, "k_factor", None) if any(isinstance(part, faiss.IndexRefine) for part in parts(index)) else None,
        "refine": getattr(spec, "refine", getattr(quantization, "refine", None)),
    }
    return {name: value for name, value in values.items() if value is not None}


def _has_graph(kernel: faiss.Index) -> bool:
    quantizer = faiss.downcast_index(kernel.quantizer) if isinstance(kernel, faiss.IndexIVF) else None
    return isinstance(kernel, faiss.IndexHNSW) or isinstance(quantizer, faiss.IndexHNSW)


def search_parameters(
    index: faiss.Index, values: Mapping[str, int], k: int, selector: faiss.IDSelector | None
) -> faiss.SearchParameters | None:
    """FAISS search parameters for one call; nothing is ever set on the shared index.

    Args:
        index: the index that will be searched.
        values: ``nprobe``, ``efSearch``, ``k_factor``, as far as the index takes them.
        k: results wanted; a graph keeps at least that many candidates.
        selector: rows that may be returned, or None for all.
    """
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexRefine):
        inner = search_parameters(index.base_index, values, k * values["k_factor"], selector)
        return faiss.IndexRefineSearchParameters(k_factor=values["k_factor"], base_index_params=inner)
    if isinstance(index, faiss.IndexPreTransform):
        inner = search_parameters(index.index, values, k, selector)
        return None if inner is None else faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return _list_parameters(index, values, selector)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=max(values["efSearch"], k), sel=selector)
    if isinstance(index, faiss.IndexRaBitQ):
        return faiss.RaBitQSearchParameters(qb=QUERY_BITS, sel=selector)
    return None if selector is None else faiss.SearchParameters(sel=selector)


def _list_parameters(index: faiss.IndexIVF, values: Mapping[str, int], selector: faiss.IDSelector | None) -> faiss.SearchParametersIVF:
    nprobe = min(values.get("nprobe", 1), index.nlist)
    if isinstance(index, faiss.IndexIVFRaBitQ):
        parameters = faiss.IVFRaBitQSearchParameters(qb=QUERY_BITS, nprobe=nprobe, sel=selector)
    else:
        parameters = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
    if _has_graph(index):
        parameters.quantizer_params = faiss.SearchParametersHNSW(efSearch=max(values["efSearch"], nprobe))
    return parameters
