"""How fast this machine decodes: our engines, what is installed beside them, and the limit that memory sets, in one interleaved run."""

from preludio.bench.candidates import Guest, everyone
from preludio.bench.measure import Bench, Played, Row, play
from preludio.bench.report import picture, table

__all__ = ["Bench", "Guest", "Played", "Row", "everyone", "picture", "play", "table"]
