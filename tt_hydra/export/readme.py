"""The README of an exported folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tt_hydra.contracts import Side
from tt_hydra.export.inputs import Input

README = "README.md"

ONNX = """# {title}

Written by `python -m tt_hydra export format=onnx`. Vectors have {dim} dimensions and are compared by {metric}{unit}.
A query tower goes with the item vectors of its own model ({fingerprint}) and no others.

{towers}
Padding stands at the end of a row and has a false mask. `signature.json` describes the same for programs, with the origin and what was
measured; each graph carries it in its metadata. `featurizer.json` holds what turns raw values into codes and numbers: vocabularies (a
value's code is its place counted from 2; 0 pads, 1 is unknown or missing) and normalisers. A numeric feature is the pair of its
normalised value (0 where missing) and a missing flag. How a text becomes token ids stands in `signature.json` under `tokenizers`: the
folder with the tokenizer's files, the prompt before each text, how many tokens are kept; a blank text has none.

In Python, with tt_hydra and the bundle at hand:

```python
from tt_hydra.export.onnx import OnnxTower
from tt_hydra.serve.retriever import Query, Retriever

retriever = Retriever.load("the/bundle")
tower = OnnxTower.load("this/folder/query.onnx")
vectors = tower.embed(retriever.query_features([Query(query_id="42")]), retriever.item_text)
```
"""

SENTENCE_TRANSFORMERS = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
---
# {title}

Written by `python -m tt_hydra export format=sentence_transformers`. Vectors have {dim} dimensions and are compared by {metric}{unit}.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("this/folder")
{calls}
```

Prompts, lengths and poolings are set; a text of blanks alone is a zero vector in tt_hydra and not here. `signature.json` names the model
({fingerprint}) that it was made from.
"""
CALLS: Mapping[Side, str] = {"query": 'queries = model.encode_query(["..."])', "item": 'items = model.encode_document(["..."])'}


def onnx_readme(about: Mapping[str, Any], inputs: Mapping[Side, Sequence[Input]]) -> str:
    """The text for a folder of graphs."""
    towers = "\n".join(_table(side, taken) for side, taken in inputs.items())
    return ONNX.format(title=_title("ONNX", tuple(inputs)), towers=towers, **_facts(about))


def model_readme(about: Mapping[str, Any], sides: Sequence[Side]) -> str:
    """The text for a folder of sentence-transformers."""
    calls = "\n".join(CALLS[side] for side in sides)
    return SENTENCE_TRANSFORMERS.format(title=_title("sentence-transformers", sides), calls=calls, **_facts(about))


def _facts(about: Mapping[str, Any]) -> dict[str, Any]:
    unit = ", each of length 1" if about["metric"] == "cosine" else ""
    return {"dim": about["dim"], "metric": about["metric"], "fingerprint": about["model_fingerprint"], "unit": unit}


def _title(form: str, sides: Sequence[Side]) -> str:
    return f"{' and '.join(sides).capitalize()} tower{'s' if len(sides) > 1 else ''} for {form}"


def _table(side: Side, inputs: Sequence[Input]) -> str:
    rows = "\n".join(f"| `{each.name}` | {each.dtype} | {' x '.join(map(str, each.shape))} |" for each in inputs)
    head = f"`{side}.onnx` takes the following and gives `vectors` (rows x dim, float32):"
    return f"{head}\n\n| input | type | shape |\n|---|---|---|\n{rows}\n"
