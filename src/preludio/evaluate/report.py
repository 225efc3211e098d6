"""Likelihoods as a Markdown table that reads well as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from preludio.evaluate.figures import CONVENTIONS, Likelihood

Row = list[str]


def table(columns: Sequence[Likelihood]) -> str:
    """One column for each; the first one's performances are counted in the head."""
    first = columns[0]
    head = ["", *("sliding context" if one.cut.slides else "segments" for one in columns)]
    rows = [
        ["**nats a token**", *(f"**{one.nats_per_token}**" for one in columns)],
        ["nats a token with the grammar", *(str(one.nats_per_token_with_grammar) for one in columns)],
        ["nats a note", *(str(one.nats_per_note) for one in columns)],
        ["bits a second of music", *(str(one.bits_per_second) for one in columns)],
        ["scored tokens", *(f"{one.n_tokens:,}" for one in columns)],
        *_kind_rows(columns),
        *_context_rows(columns),
    ]
    hours = first.seconds.sum() / 3600
    said = [f"{len(first.names):,} performances, {first.notes.sum():,} notes, {hours:,.2f} hours."]
    said += [f"{head[place]}: {one.cut.to_text()}." for place, one in enumerate(columns, 1)]
    return "\n".join([*said, "", *aligned([head, *rows]), "", *_notes(len(first.names))])


def _kind_rows(columns: Sequence[Likelihood]) -> list[Row]:
    first = columns[0]
    return [
        [f"{kind} ({first.share_of_tokens[kind]:.0%} of tokens, {first.share_of_nats[kind]:.0%} of nats)", *map(str, found)]
        for kind in first.by_kind
        for found in [[one.by_kind[kind] for one in columns]]
    ]


def _context_rows(columns: Sequence[Likelihood]) -> list[Row]:
    found = [one.by_context for one in columns]
    all_ends = sorted({ends for one in found for ends in one})
    return [[f"after {_range(*ends)}", *(str(one[ends]) if ends in one else "-" for one in found)] for ends in all_ends]


def _range(least: int, most: int) -> str:
    return f"{least:,} token" if most == 1 else f"{least:,} - {most:,} tokens"


def _notes(n_pieces: int) -> list[str]:
    interval = "In brackets 95 % of a bootstrap over performances. " if n_pieces > 1 else ""
    return [
        f"{interval}Kinds and contexts: nats a token of theirs. {CONVENTIONS}. "
        "With the grammar: over the ids that it allows; the papers mask nothing, so the plain figure stands beside theirs."
    ]


def aligned(rows: Sequence[Row]) -> list[str]:
    """The lines of a Markdown table whose first row is the head, its columns as wide as need be."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
