"""Arguments -> one library call -> exit code.

One file for each command; `program` runs them, `output` says what came of it, `pieces` reads and writes music. What a user caused becomes
one line on stderr and exit code 2. stdout carries results alone: paths said in a last line, or, with --json, one JSON object; progress and
notes go to stderr.
"""

from preludio.cli.program import app, main, run

__all__ = ["app", "main", "run"]
