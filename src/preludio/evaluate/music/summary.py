"""A report in words: the figures that decide, and all of them, as Markdown tables that read well as plain text."""

from __future__ import annotations

import math

from preludio.evaluate.figures import Estimate
from preludio.evaluate.music.compare import ComparisonResult, FigurePair, OverlapEstimate
from preludio.evaluate.music.measure import Report
from preludio.evaluate.report import Row, aligned

KEYS, NOTES, ENTROPY, WALLS = "keys sounding", "notes a second", "pitch-class entropy", "over 20 keys at once"


def headline(report: Report) -> list[Row]:
    """(figure, ours, beside): what the music is judged by, from nothing and continued."""
    rows = [["", "ours", "real, or reachable"]]
    rows += [_overlap_row("OA by values, from nothing", report.nothing.values["mean"])]
    rows += [_overlap_row("OA by values, continued", report.continued.values["mean"])]
    rows += [_overlap_row("OA by distances, from nothing", report.nothing.distances["mean"])]
    rows += [_overlap_row("OA by distances, continued", report.continued.distances["mean"])]
    for name in (KEYS, NOTES):
        rows += [[f"{name}, {kind}, ours / real", estimate_text(compared.figures[name].ratio), "1"] for kind, compared in _kinds(report)]
    rows += [
        [f"{ENTROPY}, {kind}, ours - real", estimate_text(compared.figures[ENTROPY].difference), "0 bits"]
        for kind, compared in _kinds(report)
    ]
    rows += [[f"pieces with {WALLS}, {kind}", *_pair_cells(compared.figures[WALLS])] for kind, compared in _kinds(report)]
    rows += [["let-gos after 100 tokens, expected / actual", estimate_text(report.release_calibration["100 and more"]), "1"]]
    if report.drift is not None:
        keys = report.drift.ours[KEYS].ratio, report.drift.real[KEYS].ratio
        rows += [[f"{KEYS}, last quarter / first, of {report.drift.n_ours} long pieces", *map(estimate_text, keys)]]
    if report.auc is not None:
        rows += [
            [f"classifier, AUC, {kind}", estimate_text(report.auc[key]), estimate_text(report.auc["real_beginnings"])]
            for key, kind in _NAMES.items()
        ]
    if report.copying is not None:
        rows += [[f"longest run from training, strikes, {kind}", *_pair_cells(report.copying[key].longest)] for key, kind in _NAMES.items()]
    return rows


_NAMES = {"from_nothing": "from nothing", "continued": "continued"}


def _kinds(report: Report) -> list[tuple[str, ComparisonResult]]:
    return [("from nothing", report.nothing), ("continued", report.continued)]


def _overlap_row(name: str, likeness: OverlapEstimate) -> Row:
    return [name, estimate_text(likeness.area), estimate_text(likeness.reachable_area)]


def _pair_cells(pair: FigurePair) -> list[str]:
    return [estimate_text(pair.ours), estimate_text(pair.real)]


def overlap_rows(report: Report) -> list[Row]:
    """Each figure's and histogram's OA and KL, by values and by distances; `reachable` is two halves of real music."""
    rows = [["", *(f"{kind}: {what}" for kind in ("from nothing", "continued") for what in ("OA", "reachable", "KL", "reachable"))]]
    for how in ("values", "distances"):
        both = [getattr(compared, how) for _, compared in _kinds(report)]
        for name in both[0]:
            cells = [f"{one.value:.3f}" for part in both for one in _likeness_cells(part[name])]
            rows.append([f"{name} (by {how})", *cells])
    return rows


def _likeness_cells(likeness: OverlapEstimate) -> tuple[Estimate, Estimate, Estimate, Estimate]:
    return likeness.area, likeness.reachable_area, likeness.divergence, likeness.reachable_divergence


def figure_rows(report: Report) -> list[Row]:
    """Each figure's mean: ours and real ones', from nothing and continued."""
    head = ["", "from nothing", "real", "continued", "real"]
    both = [compared.figures for _, compared in _kinds(report)]
    return [head, *([name, *(cell for figures in both for cell in _pair_cells(figures[name]))] for name in both[0])]


def release_rows(report: Report) -> list[Row]:
    return [
        ["tokens since the strike", "expected / actual releases"],
        *([name, estimate_text(one)] for name, one in report.release_calibration.items()),
    ]


def drift_rows(report: Report) -> list[Row]:
    """Empty without long pieces."""
    if report.drift is None:
        return []
    rows = [["last quarter / first", "ours", "real", "first quarter", "last quarter"]]
    for name, ours in report.drift.ours.items():
        rows.append(
            [
                name,
                estimate_text(ours.ratio),
                estimate_text(report.drift.real[name].ratio),
                estimate_text(ours.real),
                estimate_text(ours.ours),
            ]
        )
    return rows


def copying_rows(report: Report) -> list[Row]:
    """Empty without training music."""
    if report.copying is None:
        return []
    rows = [["shared with the training split", "from nothing", "real", "continued", "real"]]
    both = list(report.copying.values())
    rows.append(["longest run of each piece, strikes", *(cell for one in both for cell in _pair_cells(one.longest))])
    rows.append(["longest run of all", *(str(most) for one in both for most in one.most)])
    shares = ([f"share of runs of {n} strikes", *(cell for one in both for cell in _pair_cells(one.shares[n]))] for n in both[0].shares)
    return [*rows, *shares]


def text(report: Report) -> str:
    """For a terminal: what the page has in full."""
    tables = [rows for rows in (part(report) for part in (headline, figure_rows, release_rows, copying_rows)) if rows]
    return "\n\n".join("\n".join(aligned(rows)) for rows in tables) + "\n\nIn brackets 95 % of a bootstrap over pieces."


def estimate_text(estimate: Estimate) -> str:
    """Three significant digits, and the interval."""
    if math.isnan(estimate.value):
        return "-"
    if estimate.low is None or estimate.high is None:
        return _short(estimate.value)
    return f"{_short(estimate.value)} ({_short(estimate.low)} - {_short(estimate.high)})"


def _short(value: float) -> str:
    digits = next((digits for digits, limit in ((3, 1), (2, 10), (1, 1000)) if abs(value) < limit), 0)
    return f"{value:,.{digits}f}"
