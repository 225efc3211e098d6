"""A page about one model's music: what it is judged by, every figure beside real music, and rolls of pieces that nobody chose.

One HTML file without a script or anything from elsewhere; light or dark as the reader's system is.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from preludio.evaluate.music import charts, summary
from preludio.evaluate.music.charts import Mark
from preludio.evaluate.music.compare import ALL_FIGURES, Compared
from preludio.evaluate.music.measure import Report
from preludio.evaluate.report import Row
from preludio.files import write_atomically
from preludio.performance import Performance
from preludio.render.svg import roll_svg


class Roll(NamedTuple):
    """A piece to be drawn; `midi` is its file beside the page, "" for none."""

    title: str
    performance: Performance
    prompt_ms: int = 0
    midi: str = ""


def write(path: Path, report: Report, facts: Mapping[str, Any], rolls: Mapping[str, Sequence[Roll]]) -> None:
    """
    Args:
        facts: what was measured, name -> value, as they are to be read.
        rolls: heading -> pieces.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, "".join(_page(report, facts, rolls)).encode())


def _page(report: Report, facts: Mapping[str, Any], rolls: Mapping[str, Sequence[Roll]]) -> Iterator[str]:
    name = escape(str(facts["model"]))
    yield '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{name}: its music beside real music</title>\n<style>{_STYLE}{charts.STYLE}</style>\n<main><header><h1>{name}</h1>"
    yield f"<p>{escape(', '.join(f'{key} {value}' for key, value in facts.items() if key != 'model'))}</p></header>"
    yield f"<h2>What it is judged by</h2>{_table(summary.headline(report))}<p>In brackets 95 % of a bootstrap over pieces.</p>"
    yield f"<h2>Overlap with real music</h2>{_overlaps(report)}"
    yield "<h2>Figures of each piece, from nothing (line) beside real beginnings (bars)</h2>"
    yield f'<div class="small">{"".join(_distributions(report.nothing))}</div>'
    yield "<h2>Continuations (line) beside what was really played (bars)</h2>"
    yield f'<div class="small">{"".join(_distributions(report.continued))}</div>'
    yield f"<h2>Let-gos</h2>{_let_gos(report)}"
    yield from _drift(report)
    yield from _copying(report)
    for heading, pieces in rolls.items():
        yield f'<h2>{escape(heading)}</h2><div class="rolls">{"".join(map(_roll, pieces))}</div>'
    yield from _everything(report)
    yield "</main></html>\n"


def _overlaps(report: Report) -> str:
    pictures = []
    for how, title in (("values", "OA by values"), ("distances", "OA by distances")):
        nothing, continued = (getattr(compared, how) for compared in (report.nothing, report.continued))
        rows = {
            name: [
                Mark("ours", "from nothing", one.area),
                Mark("second", "continued", continued[name].area),
                Mark("real", "two halves of real music", one.reachable_area),
            ]
            for name, one in nothing.items()
        }
        pictures.append(charts.dots(title, rows, (0.0, 1.0)))
    return "".join(pictures)


def _distributions(compared: Compared) -> Iterator[str]:
    units = {figure.name: figure.unit for figure in ALL_FIGURES}
    for name, (ours, real) in compared.each.items():
        yield charts.distribution(name, units[name], ours, real)


def _let_gos(report: Report) -> str:
    rows = {f"{name} tokens": [Mark("ours", "expected / actual releases", one)] for name, one in report.let_gos.items()}
    return charts.dots("Releases by tokens since the strike", rows, (0.0, 1.5), line=1.0)


def _drift(report: Report) -> Iterator[str]:
    if report.drift is None:
        return
    real = report.drift.real
    rows = {name: [Mark("ours", "ours", one.ratio), Mark("real", "real", real[name].ratio)] for name, one in report.drift.ours.items()}
    yield f"<h2>Drift</h2>{charts.dots('Last quarter / first quarter', rows, (0.0, 2.5), line=1.0)}"


def _copying(report: Report) -> Iterator[str]:
    if report.copying is None:
        return
    yield "<h2>Shared with the training split</h2>"
    pictures = [
        charts.distribution(f"longest run, {kind.replace('_', ' ')}", "strikes", *(np.array(part, dtype=float) for part in one.each))
        for kind, one in report.copying.items()
    ]
    yield f'<div class="small">{"".join(pictures)}</div>{_table(summary.copying_rows(report))}'
    rows = [["kind", "piece", "strikes", "from strike", "shared with"]]
    for kind, one in report.copying.items():
        rows += [[kind.replace("_", " "), *map(str, copy)] for copy in one.copies]
    yield f"<details><summary>The longest of them</summary>{_table(rows)}</details>"


def _everything(report: Report) -> Iterator[str]:
    yield "<h2>All figures</h2>"
    tables = {
        "Means": summary.figure_rows(report),
        "Overlaps": summary.overlap_rows(report),
        "Let-gos": summary.let_go_rows(report),
        "Drift": summary.drift_rows(report),
    }
    for name, rows in tables.items():
        if rows:
            yield f"<details><summary>{name}</summary>{_table(rows)}</details>"


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in rows[0])
    cells = ["".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) for row in rows[1:]]
    body = "".join(f"<tr><th scope=row>{escape(row[0])}</th>{rest}</tr>" for row, rest in zip(rows[1:], cells, strict=True))
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _roll(roll: Roll) -> str:
    data = base64.b64encode(roll_svg(roll.performance, prompt_ms=roll.prompt_ms, title=roll.title).encode()).decode()
    link = f' <a href="{escape(roll.midi)}">MIDI</a>' if roll.midi else ""
    image = f'<img alt="Piano roll: {escape(roll.title)}" src="data:image/svg+xml;base64,{data}">'
    return f"<figure><figcaption>{escape(roll.title)}{link}</figcaption>{image}</figure>"


_STYLE = """
:root { color-scheme: light dark; --paper: #fcfbf8; --panel: #f5f3ec; --ink: #22242a; --quiet: #62646d; --grid: #dcd8cc; --mark: #2f5f9e;
  --ours: #c2563b; --second: #2f5f9e }
@media (prefers-color-scheme: dark) { :root { --paper: #17181c; --panel: #202227; --ink: #edebe4; --quiet: #a6a7ae; --grid: #3a3c43;
  --mark: #8fb8ee; --ours: #e5805f; --second: #8fb8ee } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 2rem 1rem 3rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 } h2 { font-size: 1.25rem; margin: 2.25rem 0 .5rem }
p { color: var(--quiet); margin: .25rem 0 1rem; overflow-wrap: anywhere } a { color: var(--mark) }
figure { margin: 0 0 1rem; background: var(--panel); border-radius: 8px; padding: .75rem }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .75rem }
.small figure { margin: 0 } .rolls figcaption { display: flex; justify-content: space-between; gap: 1rem; margin-bottom: .5rem }
img { display: block; width: 100%; height: auto; border-radius: 4px }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .25rem 1.25rem .25rem 0; border-bottom: 1px solid var(--grid); font-weight: 400 }
thead th { color: var(--quiet) } details { margin: .5rem 0 } summary { cursor: pointer }
"""
