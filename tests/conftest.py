"""What holds for all tests."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background has Ctrl-C ignored, and each program that the tests start would inherit that: the tests
# that interrupt a program once failed there and nowhere else.
signal.signal(signal.SIGINT, signal.default_int_handler)
