"""The same attention as one C++ operator for training on a CPU in bfloat16 (`fused_attention.cpp`), built by the machine's own compiler.

It is an offer: without a compiler, or for other tensors, attention.py's plain PyTorch computes the same sum.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("fused_attention.cpp")
TILE = 64  # queries at a time; times are multiples of it
FLAGS = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp"]
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
        cpp_extension.load(
            "preludio_attention", [str(SOURCE)], extra_cflags=FLAGS, extra_ldflags=["-fopenmp"], is_python_module=False, verbose=False
        )
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        return str(error).strip().splitlines()[0]
    torch.library.register_fake("preludio::attend")(_shapes)
    torch.library.register_fake("preludio::attend_backward")(_gradient_shapes)
    torch.library.register_autograd("preludio::attend", _backward, setup_context=_keep)
    _loaded = True
    return None


def takes(qkv: Tensor, window: int) -> bool:
    """Whether `attend` can be asked for this: built, on the CPU, bfloat16, whole tiles, nobody out of reach."""
    time, d_head = qkv.shape[1], qkv.shape[-1]
    return _loaded and qkv.device.type == "cpu" and qkv.dtype == torch.bfloat16 and time % TILE == 0 and time <= window and d_head % 32 == 0


def attend(qkv: Tensor, relative: Tensor) -> Tensor:
    """(batch, time, 3, head, d_head) and a table of at least `time` distances -> (batch, time, head * d_head)."""
    tables = relative if relative.ndim == 3 else relative[None]
    mixed: Tensor = torch.ops.preludio.attend(qkv.contiguous(), tables[:, : qkv.shape[1]].to(qkv.dtype).contiguous())[0]
    return mixed


def _shapes(qkv: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    batch, time, heads, d_head = qkv[:, :, 0].shape
    return qkv.new_empty(batch, time, heads * d_head), qkv.new_empty(batch, heads, time, dtype=torch.float32)


def _gradient_shapes(_: Tensor, qkv: Tensor, relative: Tensor, *__: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(relative)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    both: tuple[Tensor, Tensor] = torch.ops.preludio.attend_backward(gradient.contiguous(), *ctx.saved_tensors)
    return both
