"""What holds for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from studio_browser import browser, server, visit

__all__ = ["browser", "one_thread", "server", "visit"]

# A shell that starts the tests in the background has Ctrl-C ignored, and each program that the tests start would inherit that: the tests
# that interrupt a program once failed there and nowhere else.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For small models in PyTorch: with more threads, each small operator waits for one that may have no core."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
