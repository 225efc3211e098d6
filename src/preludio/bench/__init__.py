"""How fast this machine decodes: our engines, what is installed beside them, and the limit that memory sets, in one interleaved run."""

from preludio.bench.candidates import Candidate, list_candidates
from preludio.bench.measure import Bench, Row, RunMeasurement, measure_run
from preludio.bench.report import picture, table

__all__ = ["Bench", "Candidate", "Row", "RunMeasurement", "list_candidates", "measure_run", "picture", "table"]
