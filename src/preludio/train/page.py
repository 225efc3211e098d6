"""A run at a glance: its curve beside the pieces that the model composed on the way, in one HTML file without a script or anything from
elsewhere; light or dark as the reader's system is."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from preludio.files import write_atomically
from preludio.train import curve, log, sample
from preludio.train.config import TrainConfig
from preludio.train.log import LogRow

PAGE_FILE, CURVE_FILE = "index.html", "curve.svg"
MAX_PIECES = 12  # that are shown, spread over the run


def write_sample(out: Path, config: TrainConfig) -> None:
    """Writes `curve.svg` and `index.html`, from the log and the pieces in `out`.

    Raises:
        OutputError: they cannot be written.
    """
    rows = log.read(out / log.FILE)
    picture = curve.curve_svg(rows)
    write_atomically(out / CURVE_FILE, picture.encode())
    write_atomically(out / PAGE_FILE, "".join(_page(out, config, rows, picture)).encode())


def evenly_spaced(steps: Sequence[int]) -> list[int]:
    """At most MOST_PIECES of the steps, the first and the last among them, as evenly as may be."""
    if len(steps) <= MAX_PIECES:
        return list(steps)
    return [steps[round(number * (len(steps) - 1) / (MAX_PIECES - 1))] for number in range(MAX_PIECES)]


def _page(out: Path, config: TrainConfig, rows: Sequence[LogRow], picture: str) -> Iterator[str]:
    name = escape(out.resolve().name)
    yield '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{name}: training</title>\n<style>{_STYLE}</style>\n<main><header><h1>{name}</h1>"
    yield f"<p>{_summary(config, rows)}</p></header>\n<figure>{picture}</figure>\n{_pieces(out)}{_settings(config)}</main></html>\n"


def _summary(config: TrainConfig, rows: Sequence[LogRow]) -> str:
    if not rows:
        return f"{config.model.n_parameters:,} parameters; no step was done yet."
    last = rows[-1]
    hours = f"{last['seconds'] / 3600:.1f} hours" if last["seconds"] >= 3600 else f"{last['seconds'] / 60:.1f} minutes"
    return f"{config.model.n_parameters:,} parameters, step {last['step']:,} of {config.steps:,}: {last['tokens']:,} tokens in {hours}."


def _pieces(out: Path) -> str:
    pictures = sample.steps(out)
    if not pictures:
        return ""
    shown = "".join(_piece(out, step, pictures[step]) for step in reversed(evenly_spaced(list(pictures))))
    left_out = len(pictures) - min(len(pictures), MAX_PIECES)
    more = f" {left_out} more lie in {sample.FOLDER}/." if left_out else ""
    about = f"{sample.SECONDS:g} seconds from nothing by the model as it was, always with the same dice.{more}"
    return f"<h2>What it composed</h2><p>{about}</p><div class=pieces>{shown}</div>\n"


def _piece(out: Path, step: int, picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    midi = picture.with_suffix(".mid").relative_to(out).as_posix()
    image = f'<img alt="Piano roll of the piece after {step:,} steps" src="data:image/svg+xml;base64,{data}">'
    return f'<figure><figcaption>After {step:,} steps <a href="{escape(midi)}">MIDI</a></figcaption>{image}</figure>'


def _settings(config: TrainConfig) -> str:
    rows = "".join(f"<tr><th scope=row>{escape(name)}<td>{escape(str(value))}" for name, value in config.to_json().items())
    return f"<details><summary>Settings</summary><table>{rows}</table></details>\n"


_STYLE = """
:root { color-scheme: light dark; --paper: #fcfbf8; --panel: #f5f3ec; --ink: #22242a; --quiet: #62646d; --mark: #2f5f9e }
@media (prefers-color-scheme: dark) { :root { --paper: #17181c; --panel: #202227; --ink: #edebe4; --quiet: #a6a7ae; --mark: #8fb8ee } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 2rem 1rem 3rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 } h2 { font-size: 1.25rem; margin: 2rem 0 .25rem }
p { color: var(--quiet); margin: .25rem 0 1rem } a { color: var(--mark) }
figure { margin: 0 } main > figure svg { display: block; width: 100%; height: auto }
.pieces { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 32rem), 1fr)); gap: 1rem }
.pieces figure { background: var(--panel); border-radius: 8px; padding: .75rem }
figcaption { display: flex; justify-content: space-between; margin-bottom: .5rem }
img { display: block; width: 100%; height: auto; border-radius: 4px }
details { margin-top: 2rem } table { border-collapse: collapse; margin-top: .5rem }
th, td { text-align: left; vertical-align: top; padding: .15rem 1.5rem .15rem 0; font-weight: 400 } th { color: var(--quiet) }
"""
