"""How a model's music compares with real music, by what listeners notice: overlap of features, let-gos, drift, structure, copying.

    report = measure(music, real, validation, training, score, settings, bars, processes)
    print(summary.text(report), report.to_json())

docs/evaluation.md says what each figure is. It needs a composer and a corpus, no torch.
"""

from preludio.evaluate.music import page, summary
from preludio.evaluate.music.composed_pieces import INDEX, PieceFolder, compose_batches, compose_missing, piece_origin, total_seconds
from preludio.evaluate.music.excerpts import real_music
from preludio.evaluate.music.measure import ComposedMusic, ReferenceCorpus, Report, measure
from preludio.evaluate.music.settings import Settings

__all__ = [
    "INDEX",
    "ComposedMusic",
    "PieceFolder",
    "ReferenceCorpus",
    "Report",
    "Settings",
    "compose_batches",
    "compose_missing",
    "measure",
    "page",
    "piece_origin",
    "real_music",
    "summary",
    "total_seconds",
]
