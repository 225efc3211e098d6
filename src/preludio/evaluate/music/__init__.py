"""How a model's music compares with real music, by what listeners notice: overlap of features, let-gos, drift, structure, copying.

    report = measure(music, real, validation, training, score, settings, bars, processes)
    print(summary.text(report), report.to_json())

docs/evaluation.md says what each figure is. It needs a composer and a corpus, no torch.
"""

from preludio.evaluate.music import page, summary
from preludio.evaluate.music.composed import INDEX, Store, compose_missing, jobs, origin, total_seconds
from preludio.evaluate.music.excerpts import real_music
from preludio.evaluate.music.measure import Corpus, Music, Report, measure
from preludio.evaluate.music.settings import Settings

__all__ = [
    "INDEX",
    "Corpus",
    "Music",
    "Report",
    "Settings",
    "Store",
    "compose_missing",
    "jobs",
    "measure",
    "origin",
    "page",
    "real_music",
    "summary",
    "total_seconds",
]
