"""A page that shows what was prepared: how much of what, by whom, how it is played, and what was left out and why.

One HTML file with pictures in it, without a script or anything from elsewhere; light or dark as the reader's system is. Equal data give
equal bytes.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.corpus.charts import STYLE as CHART_STYLE
from preludio.corpus.charts import histogram, keyboard, loudness
from preludio.corpus.clean import RULES
from preludio.corpus.decide import Verdict
from preludio.corpus.examine import Counts, Facts
from preludio.corpus.shards import SPLITS
from preludio.files import write_atomically

MOST_COMPOSERS = 15
MOST_ROWS = 50  # of what was left out, for each cause

CAUSES = {
    "leak": "Of a held-out work",
    "duplicate": "The same performance twice",
    "missing": "Named by the source, but not there",
    "no notes": "Without notes",
    "archive inside": "Archives inside, not opened",
    "damaged": "Damaged, or not MIDI",
} | {rule.name: rule.name.capitalize() for rule in RULES}
"""Why a file was left out -> the heading above its like."""

Kept = list[tuple[Facts, str]]


def write_report(
    path: str | os.PathLike[str],
    facts: Sequence[Facts],
    verdicts: Sequence[Verdict],
    counts: Iterable[tuple[Counts, Counts]],
    manifest: Mapping[str, Any],
) -> None:
    """Writes the page.

    Args:
        counts: for each entry, its notes of each pitch and of each velocity.
        manifest: of the shards.

    Raises:
        OutputError: it cannot be written.
    """
    pitches, velocities = np.zeros(128, dtype=np.int64), np.zeros(128, dtype=np.int64)
    for (pitch, velocity), verdict in zip(counts, verdicts, strict=True):
        if verdict.split:
            pitches += pitch
            velocities += velocity
    parts = _page(facts, verdicts, (pitches, velocities), manifest)
    write_atomically(path, ("\n".join(parts) + "\n").encode())


def _page(
    facts: Sequence[Facts], verdicts: Sequence[Verdict], counts: tuple[npt.NDArray[np.int64], ...], manifest: Mapping[str, Any]
) -> Iterator[str]:
    kept = [(one, verdict.split) for one, verdict in zip(facts, verdicts, strict=True) if verdict.split]
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">'
    yield f"<title>Training data: {_hours(kept):,.1f} hours of piano music</title>\n<style>{_STYLE}{CHART_STYLE}</style>"
    yield "</head>\n<body>\n<main>"
    yield from _heading(kept, len(facts))
    yield from _contents(facts, verdicts)
    yield from _composers(kept)
    yield from _playing(kept, *counts)
    yield from _left_out(facts, verdicts)
    yield from _mended(kept)
    yield from _footer(manifest)
    yield "</main>\n</body>\n</html>"


# --- how much ---------------------------------------------------------------------------------------------------------------------


def _heading(kept: Kept, n_files: int) -> Iterator[str]:
    of = {split: [(one, where) for one, where in kept if where == split] for split in SPLITS}
    total = _hours(kept) or 1.0
    figures = {
        "hours": f"{_hours(kept):,.1f}",
        "pieces": f"{len(kept):,}",
        "notes": _large(sum(one.n_notes for one, _ in kept)),
        "tokens": _large(sum(one.n_tokens for one, _ in kept)),
    }
    yield "<header><h1>Training data</h1>"
    yield f"<p>{len(kept):,} of {n_files:,} files became piano music to learn from.</p>"
    yield "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{figure}</dd></div>" for name, figure in figures.items()) + "</dl>"
    shares = [(split, _hours(of[split]) / total) for split in SPLITS if of[split]]
    said = ", ".join(f"{split} {share:.1%}" for split, share in shares)
    yield f'<div class="splits" role="img" aria-label="Share of the hours: {said}">'
    yield "".join(f'<span class="{split}" style="flex-grow:{share:.4f}"></span>' for split, share in shares) + "</div>"
    legend = (f'<span><i class="{split}"></i>{split} {_hours(of[split]):,.1f} h</span>' for split, _ in shares)
    yield f'<p class="legend">{"".join(legend)}</p></header>'


def _contents(facts: Sequence[Facts], verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A row for each source and split; what is left out counts where its source has it."""
    groups: dict[tuple[str, str], list[tuple[Facts, Verdict]]] = defaultdict(list)
    for one, verdict in zip(facts, verdicts, strict=True):
        groups[one.entry.source, verdict.split or one.entry.split or "none"].append((one, verdict))
    sources = list(dict.fromkeys(one.entry.source for one in facts))
    rows = []
    for source, split in sorted(groups, key=lambda key: (sources.index(key[0]), [*SPLITS, "none"].index(key[1]))):
        group = groups[source, split]
        inside = [(one, split) for one, verdict in group if verdict.split]
        notes, tokens = (sum(getattr(one, name) for one, _ in inside) for name in ("n_notes", "n_tokens"))
        rows.append([source, split, *(f"{n:,}" for n in (len(group), len(inside))), f"{_hours(inside):,.1f}", f"{notes:,}", f"{tokens:,}"])
    yield "<section><h2>Sources and splits</h2>"
    yield _table(("source", "split", "files", "kept", "hours", "notes", "tokens"), rows, n_words=2)
    yield "</section>"


def _composers(kept: Kept) -> Iterator[str]:
    hours: dict[str, float] = defaultdict(float)
    pieces: Counter[str] = Counter()
    for one, _ in kept:
        hours[one.entry.composer] += one.seconds / 3600
        pieces[one.entry.composer] += 1
    unknown = pieces.pop("", 0)
    ranked = sorted(pieces, key=lambda name: (-hours[name], name))
    if not ranked:
        return
    yield f'<section><h2>Composers</h2><ol class="bars" aria-label="Hours of each of the {MOST_COMPOSERS} most frequent composers">'
    for name in ranked[:MOST_COMPOSERS]:
        bar = f'<i style="width:{100 * hours[name] / (hours[ranked[0]] or 1):.1f}%"></i>'
        figures = f"{hours[name]:,.1f} h <small>{_n(pieces[name], 'piece')}</small>"
        yield f"<li><span>{escape(name)}</span><span>{bar}</span><span>{figures}</span></li>"
    rest = [f"{len(ranked) - MOST_COMPOSERS:,} others"] if len(ranked) > MOST_COMPOSERS else []
    rest += [f"{_n(unknown, 'piece')} without a composer's name"] if unknown else []
    yield f"</ol><p>{' and '.join(rest)}</p></section>" if rest else "</ol></section>"


# --- how it is played -------------------------------------------------------------------------------------------------------------


def _playing(kept: Kept, pitches: npt.NDArray[np.int64], velocities: npt.NDArray[np.int64]) -> Iterator[str]:
    def of(figure: Callable[[Facts], float]) -> npt.NDArray[np.float64]:
        return np.array([figure(one) for one, _ in kept if one.n_notes and one.seconds])

    yield '<section><h2>How it is played</h2><div class="charts">'
    yield keyboard(pitches)
    yield loudness(velocities)
    yield histogram("Notes per second", "how fast, of each piece", of(lambda one: one.n_notes / one.seconds))
    yield histogram("Pedal", "share of the time that it is down, %", of(lambda one: 100 * one.pedal_seconds / one.seconds))
    yield histogram("Length", "of each piece, in minutes", of(lambda one: one.seconds / 60))
    yield histogram("Tokens per note", "of each piece", of(lambda one: one.n_tokens / one.n_notes))
    yield "</div></section>"


# --- what is not as it was --------------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    source: str
    name: str
    reason: str


def _left_out(facts: Sequence[Facts], verdicts: Sequence[Verdict]) -> Iterator[str]:
    groups: dict[str, list[_Row]] = defaultdict(list)
    for one, verdict in zip(facts, verdicts, strict=True):
        if not verdict.split:
            groups[_cause(verdict)].append(_Row(one.entry.source, one.entry.name, verdict.reason))
    yield "<section><h2>What was left out</h2>"
    if not groups:
        yield "<p>Nothing.</p>"
    for cause in sorted(groups, key=list(CAUSES).index):
        rows = groups[cause]
        more = f"<p>{len(rows) - MOST_ROWS:,} more are in report.csv.</p>" if len(rows) > MOST_ROWS else ""
        yield f"<details><summary>{CAUSES[cause]} <b>{len(rows):,}</b></summary>"
        yield _table(("source", "file", "why"), [list(row) for row in rows[:MOST_ROWS]], n_words=3)
        yield f"{more}</details>"
    yield "</section>"


def _cause(verdict: Verdict) -> str:
    if verdict.kind != "unusable":
        return verdict.kind
    begins = verdict.reason.partition(":")[0].partition(";")[0]
    return begins if begins in CAUSES else "damaged"


def _mended(kept: Kept) -> Iterator[str]:
    """What was said of kept files, counted without its figures."""
    said: dict[str, list[str]] = defaultdict(list)
    for one, _ in kept:
        for remark in dict.fromkeys(_without_details(remark) for remark in one.notes.split("; ") if remark):
            said[remark].append(one.entry.name)
    yield "<section><h2>What was mended</h2>"
    if said:
        most_first = sorted(said, key=lambda remark: (-len(said[remark]), remark))[:MOST_ROWS]
        rows = [[f"{len(said[remark]):,}", remark, said[remark][0]] for remark in most_first]
        yield _table(("files", "what was done", "the first"), rows, n_words=0)
    else:
        yield "<p>Nothing.</p>"
    yield "</section>"


def _without_details(remark: str) -> str:
    """Without figures, and without the names of instruments, so that like remarks are counted together."""
    if "read as piano: " in remark:
        remark = remark.partition(":")[0]
    return re.sub(r"\d[\d,.]*", "…", remark)


def _footer(manifest: Mapping[str, Any]) -> Iterator[str]:
    options = manifest.get("options", {})
    rules = ", ".join(options.get("rules", ())) or "none"
    choice = options.get("choice", {})
    asked = [name.replace("_", " ") for name, value in choice.items() if value]
    yield f"<footer><p>Cleaning rules: {escape(rules)}. In force: {escape(', '.join(asked) or 'nothing else')}.</p>"
    yield f"<p>Content <code>{escape(str(manifest.get('content_hash', '')))}</code></p></footer>"


# --- words and tables -------------------------------------------------------------------------------------------------------------


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], n_words: int) -> str:
    """The first `n_words` columns hold words, the others figures, unless there are none."""

    def row(cells: Sequence[str], tag: str) -> str:
        kinds = ["" if place < n_words or not n_words else ' class="n"' for place in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True)) + "</tr>"

    body = "\n".join(row(cells, "td") for cells in rows)
    wide = "wide" if 0 < n_words < len(columns) else "wide words"
    return f'<div class="{wide}" tabindex="0"><table><thead>{row(columns, "th")}</thead><tbody>\n{body}\n</tbody></table></div>'


def _hours(kept: Kept) -> float:
    return sum(one.seconds for one, _ in kept) / 3600


def _n(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _large(n: int) -> str:
    """22912345 -> "22.9 M"."""
    return f"{n / 1e6:,.2f} M" if n >= 1e6 else f"{n:,}"


_STYLE = """
:root { --paper: #fcfbf8; --panel: #f5f3ec; --ink: #22242a; --quiet: #62646d; --grid: #dcd8cc; --bar: #c2563b; --mark: #2f5f9e;
  --train: #c2563b; --validation: #2f5f9e; --test: #7d7666 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181c; --panel: #202227; --ink: #edebe4; --quiet: #a6a7ae; --grid: #3a3c43; --bar: #e5805f; --mark: #8fb8ee;
    --train: #e5805f; --validation: #8fb8ee; --test: #b5ad9b } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 2rem 1rem 3rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem }
header p, footer, section > p { color: var(--quiet); margin: .25rem 0 }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2.75rem; margin: 1.25rem 0 }
dl div { display: flex; flex-direction: column-reverse }
dt { color: var(--quiet); font-size: .9rem }
dd { margin: 0; font-size: 2.1rem; line-height: 1.15; font-weight: 600; font-variant-numeric: tabular-nums }
.splits { display: flex; gap: 2px; height: 14px; border-radius: 7px; overflow: hidden }
.splits span { min-width: 3px }
.train { background: var(--train) } .validation { background: var(--validation) } .test { background: var(--test) }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; font-size: .9rem }
.legend i { display: inline-block; width: .75em; height: .75em; border-radius: 50%; margin-right: .4em }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--grid) }
th { color: var(--quiet); font-weight: 500 }
.words td { overflow-wrap: anywhere } .words td:first-child { overflow-wrap: normal }
.n { text-align: right }
.bars { list-style: none; margin: 0; padding: 0 }
.bars li { display: grid; grid-template-columns: minmax(9rem, 16rem) 1fr 9.5rem; gap: .75rem; align-items: center; padding: .15rem 0 }
.bars i { display: block; height: 1rem; border-radius: 0 4px 4px 0; background: var(--bar); min-width: 2px }
.bars span:first-child { text-align: right; overflow-wrap: anywhere }
.bars span { font-variant-numeric: tabular-nums }
small { color: var(--quiet); white-space: nowrap }
details { border-bottom: 1px solid var(--grid) }
summary { cursor: pointer; padding: .5rem 0 }
summary b { float: right; font-variant-numeric: tabular-nums }
code { font-size: .85em; overflow-wrap: anywhere }
footer { margin-top: 2.5rem; font-size: .88rem }
@media (max-width: 600px) {
  dd { font-size: 1.45rem } dl { gap: .5rem 1.25rem } table { font-size: .84rem } th, td { padding-right: .6rem }
  .bars li { grid-template-columns: 1fr auto; gap: 0 .75rem; padding: .3rem 0 }
  .bars span:first-child { text-align: left } .bars span:nth-child(2) { grid-area: 2 / 1 / 3 / 3 } .bars i { height: .6rem }
}
"""
