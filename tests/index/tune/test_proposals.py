"""What is proposed, and in which order."""

from __future__ import annotations

import pytest

from tt_hydra.index.auto import Auto
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.effort import effort
from tt_hydra.index.tune.proposals import VectorFacts, propose
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.pca import Pca

LARGE = VectorFacts(size=100_000, dim=128, norm_spread=0.0, threads=2)


@pytest.mark.parametrize("room", [None, 300.0, 700.0])
def test_every_kind_of_index_has_its_turn_early(room: float | None) -> None:
    """No kind is begun later than when another one has used what the first of this kind takes, and its own first once more."""
    order = propose(LARGE, Auto(), NoQuantization(), room)
    spent = {"flat": 0.0, "ivf": 0.0, "hnsw": 0.0}
    last = dict(spent)
    begun = set()
    drawn = set()
    for candidate in order:
        shared = (candidate.spec, isinstance(candidate.quantization, Pca) and candidate.quantization)
        rest = Candidate(Flat(), candidate.quantization, candidate.prefix_dim)
        last[candidate.family] = effort(rest if shared in drawn else candidate, LARGE.size, LARGE.dim).seconds
        drawn.add(shared)
        spent[candidate.family] += last[candidate.family]
        if candidate.family not in begun:
            begun.add(candidate.family)
            assert all(spent[other] - last[other] <= last[candidate.family] + 1e-9 for other in spent), candidate.name()
    assert begun == set(spent)


def test_of_graphs_those_of_sixteen_neighbours_come_first() -> None:
    graphs = [each.spec.M for each in propose(LARGE, Auto(), NoQuantization(), None) if isinstance(each.spec, Hnsw)]
    assert list(dict.fromkeys(graphs)) == [16, 8, 32, 4]


def test_graphs_over_unequal_norms_come_last() -> None:
    order = propose(VectorFacts(size=100_000, dim=64, norm_spread=0.6, threads=2), Auto(), NoQuantization(), None)
    places = [place for place, each in enumerate(order) if each.family == "hnsw"]
    assert min(places) > max(place for place, each in enumerate(order) if each.family != "hnsw")


def test_codes_share_the_graph_of_their_kind() -> None:
    plain, int8 = (Candidate(Hnsw(M=8), codes) for codes in (NoQuantization(), Int8()))
    turned = Candidate(Hnsw(M=8), Pca(dim=16))
    assert plain.shares == int8.shares
    assert len({plain.shares, turned.shares, Candidate(Hnsw(M=16), Int8()).shares, Candidate(Hnsw(M=8), Int8(), 32).shares}) == 4
