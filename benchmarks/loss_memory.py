"""Peak memory of a loss, forward and backward, with known positives masked and logQ on: by tiles against the plain matrix.

    python benchmarks/loss_memory.py [--quick]

Every arm is a process of its own. On a CPU the figure is the peak of resident memory above what the process held before the loss (vectors
and targets), on a GPU the peak of allocated memory likewise; the gradients of both sides are part of it. The plain matrix of the large
batch does not fit, so its figure is that of its scores alone, and both are measured at a smaller batch.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
from common import finish, table
from torch import Tensor

from tt_hydra.contracts import Loss, Targets
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.sampled_softmax import SampledSoftmax

LARGE, SMALL, ON_GPU = 65_536, 8_192, 1_048_576
DIM, KNOWN, TEMPERATURE = 128, 20, 0.07
"""Width of the vectors, and known positives of a query among the candidates."""
LOSSES: dict[str, Loss] = {"sampled_softmax": SampledSoftmax(), "infonce_two_sided": InfoNCE(symmetric=True)}


def case(batch: int, device: str) -> tuple[Tensor, Tensor, Targets]:
    generator = torch.Generator().manual_seed(1)
    queries, items = (torch.nn.functional.normalize(torch.randn(batch, DIM, generator=generator), dim=1).to(device) for _ in range(2))
    query = torch.arange(batch).repeat_interleave(KNOWN)
    known = torch.stack([query, torch.randint(0, batch, (len(query),), generator=generator)], dim=1).to(device)
    log_q = (-8 * torch.rand(batch, generator=generator)).to(device)
    targets = Targets.plain(torch.arange(batch, device=device), batch, known=known, log_q=log_q)
    return queries.requires_grad_(), items.requires_grad_(), targets


def plain(queries: Tensor, items: Tensor, targets: Targets) -> Tensor:
    """As it is usually written: the matrix, the mask, the correction and the library's cross-entropy."""
    scores = queries @ items.T / TEMPERATURE - targets.log_q
    return torch.nn.functional.cross_entropy(scores.masked_fill(targets.excluded(slice(0, len(queries))), -1e30), targets.positive)


def ours(name: str, queries: Tensor, items: Tensor, targets: Targets) -> Tensor:
    temperature = torch.tensor(TEMPERATURE, device=queries.device)
    return LOSSES[name].build()(queries, items, targets, temperature).loss


def resident(key: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024 / 1e9


def work(arm: str, batch: int, device: str) -> dict[str, float]:
    """One arm in this process: peak memory (GB) and time of forward and backward, and the norm of the queries' gradient."""

    def once(vectors: tuple[Tensor, Tensor, Targets]) -> None:
        (plain(*vectors) if arm == "plain" else ours(arm, *vectors)).backward()

    once(case(256, device))
    vectors = case(batch, device)
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = resident("VmRSS")
    start = time.perf_counter()
    once(vectors)
    norm = vectors[0].grad.double().norm().item()
    seconds = time.perf_counter() - start
    peak = (torch.cuda.max_memory_allocated() - before) / 1e9 if device == "cuda" else resident("VmHWM") - before
    return {"gb": peak, "seconds": seconds, "norm": norm}


def measure(arm: str, batch: int, device: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--arm", arm, "--batch", str(batch), "--device", device]
    waiting = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=waiting)
    return json.loads(done.stdout.splitlines()[-1])


def main(quick: bool) -> None:
    figures, rows = {}, []

    def show(arm: str, batch: int, device: str, found: dict[str, float]) -> None:
        rows.append([arm, device, f"{batch:,}", f"{found['gb']:.3f}", f"{found['seconds']:.1f}"])

    small = {arm: measure(arm, SMALL, "cpu") for arm in ("plain", *LOSSES)}
    large = {arm: measure(arm, LARGE, "cpu") for arm in (["sampled_softmax"] if quick else LOSSES)}
    for batch, found in ((SMALL, small), (LARGE, large)):
        for arm, each in found.items():
            show(arm, batch, "cpu", each)
    matrix = LARGE * LARGE * 4 / 1e9
    rows.append(["plain (scores alone, computed)", "cpu", f"{LARGE:,}", f"{matrix:.1f}", "-"])
    figures |= {"ours/gb": large["sampled_softmax"]["gb"], "peer/gb": matrix, "ratio/gb": matrix / large["sampled_softmax"]["gb"]}
    figures |= {"ours/seconds": large["sampled_softmax"]["seconds"]}
    if not quick:
        figures["ours/gb_two_sided"] = large["infonce_two_sided"]["gb"]
    figures |= {
        f"{side}/{key}_{SMALL}": small[arm][key]
        for side, arm in (("ours", "sampled_softmax"), ("peer", "plain"))
        for key in ("gb", "seconds")
    }
    figures["diff/gradient_norm"] = abs(small["sampled_softmax"]["norm"] / small["plain"]["norm"] - 1)
    if torch.cuda.is_available():
        for batch in (LARGE,) if quick else (LARGE, ON_GPU):
            found = measure("sampled_softmax", batch, "cuda")
            show("sampled_softmax", batch, "cuda", found)
            figures |= {f"ours/gpu_{key}_{batch}": found[key] for key in ("gb", "seconds")}
    table(f"Loss, forward and backward: {DIM} dimensions, {KNOWN} known positives a query, logQ", ["loss", "on", "batch", "GB", "s"], rows)
    finish("loss_memory", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="not read: the vectors are random")
    parser.add_argument("--quick", action="store_true", help="one loss at the large batch, and no larger one on a GPU")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--device", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.arm is None:
        main(told.quick)
    else:
        print(json.dumps(work(told.arm, told.batch, told.device)))
