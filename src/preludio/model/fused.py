"""Attention and output relations as C++ operators for training on a CPU, built by the machine's own compiler.

`fused_attention.cpp` is for bfloat16, `fused_attention_float32.cpp` for processors without bfloat16 products, `fused_relations.cpp`
for the output relations. Without a compiler, or for other tensors, plain PyTorch computes the same sums (attention.py, relations.py).
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCES = sorted(Path(__file__).parent.glob("fused_*.cpp"))
HEADERS = sorted(Path(__file__).parent.glob("fused_*.hpp"))
TILE = 64  # queries at a time; times are multiples of it
FLAGS = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp"]
OPERATORS = {torch.bfloat16: "attend", torch.float32: "attend_float32"}
_loaded = False


def build() -> str | None:
    """Compile and load the operators: half a minute the first time, then nothing. Return why they cannot be had, or None."""
    global _loaded
    if _loaded:
        return None
    try:
        torch.ops.load_library(_library())  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return (str(getattr(error, "stderr", "")) or str(error)).strip().splitlines()[0]
    for name in OPERATORS.values():
        torch.library.register_fake(f"preludio::{name}")(_shapes)
        torch.library.register_fake(f"preludio::{name}_backward")(_gradient_shapes)
        torch.library.register_autograd(f"preludio::{name}", functools.partial(_backward, name), setup_context=_keep)
    _loaded = True
    return None


def _library() -> Path:
    """Return the compiled library, in the user's cache, under a name that says what it was made of.

    Each process that finds none compiles its own and renames it into place: no lock, which a killed process would leave behind.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preludio"
    library = cache / f"operators-{_made_of()}.so"
    if not library.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            beside = Path(folder) / library.name
            with ThreadPoolExecutor() as pool:
                objects = list(pool.map(functools.partial(_compile, Path(folder)), SOURCES))
            torch_lib = Path(torch.__file__).parent / "lib"
            libraries = [f"-L{torch_lib}", f"-Wl,-rpath,{torch_lib}", "-ltorch_cpu", "-ltorch", "-lc10", "-fopenmp"]
            _run(["-shared", *map(str, objects), *libraries, "-o", str(beside)])
            beside.replace(library)
    return library


def _compile(folder: Path, source: Path) -> Path:
    from torch.utils import cpp_extension

    target = folder / f"{source.stem}.o"
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    includes = [f"-I{path}" for path in cpp_extension.include_paths()]
    _run([*FLAGS, "-std=c++20", "-fPIC", abi, *includes, "-c", str(source), "-o", str(target)])
    return target


def _run(arguments: list[str]) -> None:
    subprocess.run([os.environ.get("CXX", "c++"), *arguments], check=True, capture_output=True, text=True)


def _made_of() -> str:
    """Return a digest of the sources, the flags, PyTorch's version and what the processor can do."""
    cpu = Path("/proc/cpuinfo")
    flags = next((line for line in cpu.read_text().splitlines() if line.startswith("flags")), "") if cpu.is_file() else platform.processor()
    digest = hashlib.sha256("\0".join([*FLAGS, torch.__version__, flags, platform.machine()]).encode())
    for source in [*SOURCES, *HEADERS]:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def loaded() -> bool:
    """Whether `build` has loaded the operators."""
    return _loaded


def supports(qkv: Tensor, window: int) -> bool:
    """Whether `attend` takes this: built, on the CPU, a type that it multiplies, whole tiles, every key within every query's window."""
    time, d_head = qkv.shape[1], qkv.shape[-1]
    multiplied = qkv.dtype == torch.float32 or (qkv.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return _loaded and qkv.device.type == "cpu" and multiplied and time % TILE == 0 and time <= window and d_head % 32 == 0


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
