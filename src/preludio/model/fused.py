"""Attention and output relations as C++ operators for training on a CPU, built by the machine's own compiler.

`fused_attention.cpp` is for bfloat16, `fused_attention_float32.cpp` for processors without bfloat16 products, `fused_relations.cpp`
for the output relations. Without a compiler, or for other tensors, plain PyTorch computes the same sums (attention.py, relations.py).
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCES = sorted(Path(__file__).parent.glob("fused_*.cpp"))
TILE = 64  # queries at a time; times are multiples of it
FLAGS = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp"]
OPERATORS = {torch.bfloat16: "attend", torch.float32: "attend_float32"}
_loaded = False


def build() -> str | None:
    """Compiles and loads the operator (half a minute the first time, then nothing); returns why it cannot be had, or None.

    From then on `takes` says yes to what it can do.
    """
    global _loaded
    if _loaded:
        return None
    from torch.utils import cpp_extension

    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "")  # nothing here is for a GPU
    try:
        sources = [str(source) for source in SOURCES]
        cpp_extension.load("preludio_fused", sources, extra_cflags=FLAGS, extra_ldflags=["-fopenmp"], is_python_module=False, verbose=False)
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        return str(error).strip().splitlines()[0]
    for name in OPERATORS.values():
        torch.library.register_fake(f"preludio::{name}")(_shapes)
        torch.library.register_fake(f"preludio::{name}_backward")(_gradient_shapes)
        torch.library.register_autograd(f"preludio::{name}", functools.partial(_backward, name), setup_context=_keep)
    _loaded = True
    return None


def loaded() -> bool:
    """Whether `build` has loaded the operators."""
    return _loaded


def takes(qkv: Tensor, window: int) -> bool:
    """Whether `attend` takes this: built, on the CPU, whole tiles, every key within the window of every query."""
    time, d_head = qkv.shape[1], qkv.shape[-1]
    return _loaded and qkv.device.type == "cpu" and qkv.dtype in OPERATORS and time % TILE == 0 and time <= window and d_head % 32 == 0


def attend(qkv: Tensor, relative: Tensor) -> Tensor:
    """(batch, time, 3, head, d_head) and a table of at least `time` distances -> (batch, time, head * d_head)."""
    tables = relative if relative.ndim == 3 else relative[None]
    operator = getattr(torch.ops.preludio, OPERATORS[qkv.dtype])
    mixed: Tensor = operator(qkv.contiguous(), tables[:, : qkv.shape[1]].to(qkv.dtype).contiguous())[0]
    return mixed


def _shapes(qkv: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    batch, time, heads, d_head = qkv[:, :, 0].shape
    return qkv.new_empty(batch, time, heads * d_head), qkv.new_empty(batch, heads, time, dtype=torch.float32)


def _gradient_shapes(_: Tensor, qkv: Tensor, relative: Tensor, *__: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(relative)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(name: str, ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    both: tuple[Tensor, Tensor] = getattr(torch.ops.preludio, f"{name}_backward")(gradient.contiguous(), *ctx.saved_tensors)
    return both
