"""How fast this machine decodes: our engines, what is installed beside them, and the limit that memory sets, in one interleaved run."""

from preludio.bench.measure import Bench, Row
from preludio.bench.players import everyone
from preludio.bench.report import picture, table

__all__ = ["Bench", "Row", "everyone", "picture", "table"]
