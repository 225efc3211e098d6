"""Compiles the native engine: `python native_build.py` after a change of its C files; installing the package does it too (hatch_build.py).

Flags that follow are handed to the compiler, and --out PATH says where the library goes: that is how `.ci/sanitize` builds one that watches
itself.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "src" / "preludio" / "engine" / "native"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra"]
FLAGS += [] if sys.platform == "win32" else ["-fPIC", "-pthread"]
FLAGS += ["-mmacosx-version-min=11.0"] if sys.platform == "darwin" else []
# Each set of kernels is compiled for its own instructions; which of them run is decided when the engine starts.
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mprefer-vector-width=512"]
INSTRUCTIONS = {"kernels_avx512": AVX512, "kernels_avx2vnni": [*AVX2, "-mavxvnni"], "kernels_avx2": AVX2}
LIBRARY = SOURCES / f"_native{SUFFIX}"


def build(library: Path = LIBRARY, extra: tuple[str, ...] = ()) -> None:
    """Compiles the C files and links them.

    Raises:
        OSError: there is no compiler.
        subprocess.CalledProcessError: it failed; what it said went to stderr.
    """
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(source, Path(folder, f"{source.stem}.o")) for source in sorted(SOURCES.glob("*.c"))]
        run = [pool.submit(compile_one, compiler, source, target, extra) for source, target in jobs]
        for one in run:
            one.result()
        linked = Path(folder, library.name)
        subprocess.run([*compiler, *FLAGS, *extra, "-shared", *(str(target) for _, target in jobs), "-o", str(linked)], check=True)
        beside = library.with_name(f"{library.name}.new")  # a library that is in use must not be written into
        shutil.copyfile(linked, beside)
        beside.replace(library)


def compile_one(compiler: list[str], source: Path, target: Path, extra: tuple[str, ...]) -> None:
    intel = platform.machine().lower() in ("x86_64", "amd64")
    flags = [*FLAGS, *(INSTRUCTIONS.get(source.stem, []) if intel else []), *extra]
    subprocess.run([*compiler, *flags, "-c", str(source), "-o", str(target)], check=True)


def find_compiler() -> list[str]:
    """$CC, or the first there is. On Windows it is clang: the kernels are written in its and GCC's vector types."""
    chosen = os.environ.get("CC", "").split()
    names = [chosen] if chosen else [["clang"]] if sys.platform == "win32" else [["cc"], ["gcc"], ["clang"]]
    for name in names:
        if shutil.which(name[0]):
            return name
    raise FileNotFoundError("no C compiler")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--out"]:
        build(Path(sys.argv[2]), tuple(sys.argv[3:]))
    else:
        build(extra=tuple(sys.argv[1:]))
