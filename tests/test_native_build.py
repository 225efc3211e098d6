"""The package is built with and without a C compiler."""

from __future__ import annotations

import ctypes
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`native_build`, with the library in a folder of this test."""
    if not (ROOT / "native_build.py").exists():
        pytest.skip("needs the source tree")
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module("native_build")
    monkeypatch.setattr(module, "LIBRARY", tmp_path / "library")
    return module


def hook(said: list[str]) -> Any:
    pytest.importorskip("hatchling")
    app = SimpleNamespace(display_warning=said.append)
    return importlib.import_module("hatch_build").NativeEngine(str(ROOT), {}, None, None, "", "wheel", app)


@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
def test_without_a_compiler_the_package_is_built_for_numpy(building: Any, monkeypatch: pytest.MonkeyPatch, compiler: str) -> None:
    """A compiler that is not there, and one that fails; an older library does not stay behind."""
    monkeypatch.setenv("CC", compiler)
    monkeypatch.delenv("PRELUDIO_NATIVE", raising=False)
    building.LIBRARY.write_bytes(b"of an older build")
    said: list[str] = []
    data: dict[str, Any] = {"artifacts": []}
    hook(said).initialize("standard", data)
    assert data == {"artifacts": []}
    assert len(said) == 1
    assert "the NumPy engine will serve" in said[0]
    assert not building.LIBRARY.exists()


def test_published_wheels_are_not_built_without_it(building: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("PRELUDIO_NATIVE", "require")
    with pytest.raises(subprocess.CalledProcessError):
        hook([]).initialize("standard", {"artifacts": []})
    assert building is not None


@pytest.mark.skipif(sys.platform == "win32", reason="needs cc")
def test_the_library_says_nothing_but_what_is_asked_of_it(building: Any, tmp_path: Path) -> None:
    """It is compiled without a warning, and shows the functions of preludio.h alone."""
    try:
        building.find_compiler()
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    building.build(tmp_path / "native.so", ("-O0", "-Werror"))
    library = ctypes.CDLL(str(tmp_path / "native.so"))
    assert library.has_instructions(b"plain") == 1
    assert not hasattr(library, "team_run")


FORKS = """
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "threads.h"

static void *hammer(void *nothing) {
    for (;;) lists_lock(), lists_unlock();
    return nothing;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, hammer, NULL);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (!child) {
            alarm(10); /* its end, if it waits for ever */
            lists_lock(), lists_unlock();
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (status) return printf("child %d hangs\\n", i), 1;
        lists_lock(), lists_unlock();
    }
    return 0;
}
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_while_another_thread_has_the_lock_does_not_wait_for_it(building: Any, tmp_path: Path) -> None:
    """That thread does not follow into the child, and the lock stayed taken there for ever."""
    try:
        compiler = building.find_compiler()
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    program = tmp_path / "forks"
    (tmp_path / "forks.c").write_text(FORKS)
    files = [str(tmp_path / "forks.c"), str(building.SOURCES / "threads.c")]
    subprocess.run([*compiler, "-std=gnu11", "-O2", "-pthread", f"-I{building.SOURCES}", *files, "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "")
