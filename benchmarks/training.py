"""Speed and memory of training: attention alone and whole steps, at lengths from 512 to 8,192, on a CPU or a GPU.

    python benchmarks/training.py --out runs/training.jsonl                        # measures (an hour on two cores), row by row
    python benchmarks/training.py --out runs/training.jsonl --table                # the tables of docs/training.md

Attention, forward and backward, of one layer:
    skewed     as the paper has it: all scores at once, (batch, head, length, length), kept for the backward pass
    blocked    what training uses everywhere: 256 queries at a time, weights made again for the backward pass
    fused      the same in one C++ operator (CPU, bfloat16)
Whole step (loss, gradient, clipping, Muon and AdamW) with each of them; "compiled" also has torch.compile.

Each measurement is a process of its own, so that its peak memory is its own (resident, less what was resident before the first
step; on a GPU what PyTorch allocated); the kinds take turns, repeat after repeat, so that a slow moment hits all. The batch has
`--tokens` tokens at each length. The share of a GPU's peak counts the model's own arithmetic, once: nothing for making weights again.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from preludio.checkpoint import SIZES, ModelConfig
from preludio.model import Transformer, attention, fused, transformer
from preludio.tokens import VOCAB_SIZE
from preludio.train import TrainConfig
from preludio.train.optimisers import Optimisers

LENGTHS = (512, 1024, 2048, 4096, 8192)
KINDS = {"attention": ("skewed", "blocked", "fused"), "step": ("skewed", "blocked", "blocked compiled", "fused", "fused compiled")}
PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L4": 121, "4090": 165}  # dense bfloat16, as their maker gives them
MAX_GIB = 40  # of scores: what would need more is left out

Row = dict[str, Any]


def skewed(qkv: Tensor, relative: Tensor, window: int) -> Tensor:
    """Huang et al. 2018, section 3.4.1, whole; PyTorch keeps what its backward pass needs."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    length = q.shape[2]
    assert length <= window
    by_distance = q @ relative[:length].to(q.dtype).flip(-2).transpose(-2, -1)  # (batch, head, length, length): column c for length - 1 - c
    padded = F.pad(by_distance, (1, 0)).view(*q.shape[:2], length + 1, length)
    scores = (q @ k.transpose(-2, -1) + padded[:, :, 1:]) * q.shape[-1] ** -0.5
    later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
    mixed: Tensor = torch.softmax(scores.masked_fill(later, -torch.inf), dim=-1) @ v
    return mixed.transpose(1, 2).flatten(2)


def blocked(qkv: Tensor, relative: Tensor, window: int) -> Tensor:
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    return attention.relative_attention(q, k, v, relative, window).transpose(1, 2).flatten(2)


def fused_alone(qkv: Tensor, relative: Tensor, window: int) -> Tensor:
    if not fused.supports(qkv, window):
        raise SystemExit("the fused operator does not take these tensors: a head must be a multiple of 32 wide")
    mixed: Tensor = fused.attend(qkv, relative)
    return mixed


def attend_by(kind: str) -> Callable[[Tensor, Tensor, int], Tensor]:
    if kind.startswith("fused"):
        why = fused.build() if device().type == "cpu" else "it is for the CPU"
        if why:
            raise SystemExit(f"no fused operator here: {why}")
        return fused_alone
    return skewed if kind.startswith("skewed") else blocked


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def one_attention(config: ModelConfig, kind: str, length: int, tokens: int) -> Callable[[], None]:
    attend, generator = attend_by(kind), torch.Generator().manual_seed(0)
    shape = (max(1, tokens // length), length, 3, config.n_heads, config.d_head)
    qkv = torch.randn(shape, generator=generator).to(device(), torch.bfloat16).requires_grad_()
    table = (0.1 * torch.randn(length, config.d_head, generator=generator)).to(device()).requires_grad_()

    def run() -> None:
        qkv.grad = table.grad = None
        attend(qkv, table, length).float().square().mean().backward()  # type: ignore[no-untyped-call]

    return run


def one_step(config: ModelConfig, kind: str, length: int, tokens: int) -> Callable[[], None]:
    place: Any = transformer
    place.attend = attend_by(kind)
    torch.manual_seed(0)
    model = Transformer(config).to(device())
    told = TrainConfig(config, steps=1, batch_tokens=tokens, lengths=((length, 1.0),))
    optimisers = Optimisers(model, told)
    forward: Any = torch.compile(model, dynamic=False) if kind.endswith("compiled") else model
    ids = torch.randint(0, VOCAB_SIZE, (max(1, tokens // length), length + 1)).to(device())

    def run() -> None:
        optimisers.zero_grad()
        with torch.autocast(device().type, torch.bfloat16):
            logits = forward(ids[:, :-1])
        F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimisers.step(1.0)

    return run


def flops_per_token(config: ModelConfig, length: int) -> float:
    """Of one training step: three times the forward pass, of which attention sees length / 2 keys on average, with three products each."""
    d = config.d_model
    matrices = config.n_layers * (4 * d * d + 2 * d * config.d_ff) + VOCAB_SIZE * d
    return 3 * (2 * matrices + config.n_layers * 3 * d * length)


# one measurement, in a process of its own


def measure(arguments: argparse.Namespace) -> Row:
    what, kind, length = arguments.one
    size = SIZES[arguments.size]
    config = ModelConfig(size.d_model, size.n_heads, size.n_layers, size.d_ff, max(int(length), size.window))
    make = one_attention if what == "attention" else one_step
    run = make(config, kind, int(length), arguments.tokens)
    before = resident_mib()
    run()  # compiles, and makes what stays
    seconds, cpu_seconds = [], []
    for _ in range(arguments.steps):
        began, cpu_began = time.perf_counter(), time.process_time()
        run()
        settle()
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
    tokens = max(1, arguments.tokens // int(length)) * int(length)
    found = {"what": what, "kind": kind, "length": int(length), "size": arguments.size, "tokens": tokens, "device": device_name()}
    speed = {"seconds": statistics.median(seconds), "cpu_seconds": statistics.median(cpu_seconds), "threads": torch.get_num_threads()}
    return found | speed | {"peak_mib": peak_mib(before), "flops": tokens * flops_per_token(config, int(length))}


def settle() -> None:
    if device().type == "cuda":
        torch.cuda.synchronize()


def resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_mib(before: float) -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if device().type == "cuda" else resident_mib() - before


def device_name() -> str:
    return torch.cuda.get_device_name() if device().type == "cuda" else "CPU"


# all of them


def measure_all(arguments: argparse.Namespace) -> None:
    config = SIZES[arguments.size]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    done = [(row["size"], row["what"], row["kind"], row["length"]) for row in rows_of(arguments.out)]
    plan = [(what, kind, length) for what in arguments.what for length in arguments.lengths for kind in KINDS[what]]
    for repeat in range(arguments.repeats):
        for what, kind, length in plan:
            if done.count((arguments.size, what, kind, length)) > repeat:
                continue  # of an earlier sitting
            heads = config.n_heads * (config.n_layers if what == "step" else 1)
            gib = 5 * 2 * arguments.tokens * length * heads / 2**30  # scores, and what is kept of them, in bfloat16
            if kind == "skewed" and gib > arguments.max_gib:
                print(f"{what}, {kind}, {length}: left out, about {gib:.0f} GiB")
                continue
            words = ["--one", what, kind, str(length), "--size", arguments.size]
            words += ["--tokens", str(arguments.tokens), "--steps", str(arguments.steps)]
            ran = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
            if ran.returncode:
                print(f"{what}, {kind}, {length}: {ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else ran.returncode}")
                continue
            row = json.loads(ran.stdout.splitlines()[-1])
            print(f"{what}, {kind}, {length}: {row['tokens'] / row['seconds']:,.0f} tokens/s, {row['peak_mib']:,.0f} MiB", flush=True)
            with arguments.out.open("a") as file:
                file.write(json.dumps(row) + "\n")


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[Row]) -> str:
    """Markdown, a table for each device and size: tokens/s (median, slowest - fastest), peak memory, and a GPU's share of its peak."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["device"], row["size"], row["what"], row["kind"], row["length"]].append(row)
    lines, heading = [], None
    for (name, size, what, kind, length), same in sorted(groups.items(), key=lambda item: (*item[0][:3], item[0][4], item[0][3])):
        if heading != (name, size, what):
            heading = (name, size, what)
            lines += ["", f"{what} of `{size}` on {name}, {same[0]['tokens']:,} tokens at a time, {same[0]['threads']} threads", ""]
            lines += ["| length | kind | tokens/s | slowest - fastest | peak memory | share of the peak |", "|---|---|---|---|---|---|"]
        speeds = sorted(row["tokens"] / row["seconds"] for row in same)
        spread = f"{speeds[0]:,.0f} - {speeds[-1]:,.0f} of {len(speeds)}"
        share = share_of_peak(name, statistics.median(row["flops"] / row["seconds"] for row in same)) if what == "step" else ""
        memory = statistics.median(row["peak_mib"] for row in same)
        lines.append(f"| {length:,} | {kind} | {statistics.median(speeds):,.0f} | {spread} | {memory:,.0f} MiB | {share} |")
    return "\n".join(lines).lstrip()


def share_of_peak(name: str, flops_per_second: float) -> str:
    peak = next((tera for part, tera in PEAK_TFLOPS.items() if part in name), None)
    return f"{flops_per_second / 1e12:.2f} TFLOP/s" + (f", {flops_per_second / peak / 1e10:.0f} %" if peak else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/training.jsonl"))
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--what", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=5, help="timed in each process")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--max-gib", type=float, default=MAX_GIB)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "KIND", "LENGTH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments)))
    elif arguments.table:
        print(table(rows_of(arguments.out)))
    else:
        measure_all(arguments)


if __name__ == "__main__":
    main()
