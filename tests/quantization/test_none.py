from __future__ import annotations

from tt_hydra.component import instantiate, spec_of
from tt_hydra.quantization.none import NoQuantization


def test_has_no_key_and_makes_itself_again() -> None:
    assert spec_of(NoQuantization()) == {"_target_": "tt_hydra.quantization.none.NoQuantization"}
    assert instantiate(spec_of(NoQuantization()), NoQuantization) == NoQuantization()
