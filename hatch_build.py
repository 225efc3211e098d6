"""Builds the native engine with this machine's C compiler, into `src/preludio/engine/native/`.

Without a compiler, or if it fails, the package is built all the same: the NumPy engine serves. PRELUDIO_NATIVE=require makes that an
error (for the wheels that are published), PRELUDIO_NATIVE=no leaves the native engine out.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = "src/preludio/engine/native"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra"]
FLAGS += [] if sys.platform == "win32" else ["-fPIC", "-pthread"]
# Each set of kernels is compiled for its own instructions; which of them run is decided when the engine starts.
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mprefer-vector-width=512"]
INSTRUCTIONS = {"kernels_avx512": AVX512, "kernels_avx2vnni": [*AVX2, "-mavxvnni"], "kernels_avx2": AVX2}


class NativeEngine(BuildHookInterface[Any]):
    """Hatch calls this for each wheel, editable ones too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (hatch names it)
        wish = os.environ.get("PRELUDIO_NATIVE", "yes")
        if self.target_name != "wheel" or wish == "no":
            return
        library = Path(self.root, NATIVE, f"_native{SUFFIX}")
        try:
            build(library.parent, library)
        except (OSError, subprocess.CalledProcessError) as error:
            if wish == "require":
                raise
            self.app.display_warning(f"the native engine was not built ({error}); the NumPy engine will serve")
            library.unlink(missing_ok=True)
            return
        build_data["artifacts"].append(f"{NATIVE}/{library.name}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"


def build(sources: Path, library: Path, extra: tuple[str, ...] = ()) -> None:
    """Compiles the folder's C files and links them.

    Raises:
        OSError: there is no compiler.
        subprocess.CalledProcessError: it failed; what it said went to stderr.
    """
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(source, Path(folder, f"{source.stem}.o")) for source in sorted(sources.glob("*.c"))]
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


def platform_tag() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
