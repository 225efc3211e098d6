"""The composing guards held against real performances: how often would they have forbidden what a pianist then did?

    python benchmarks/guards.py --data ../shared/datasets

Prints the Markdown tables of `docs/composing.md`. Every MAESTRO training and validation performance and the GiantMIDI sample are read and
encoded; each guard hears the real events, and each real next event that it would have struck out is a hit. The counting is vectorised;
on every `--check`-th performance it is verified against the very classes of `preludio.compose.rules`.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from codec import machine, maestro_files

from preludio.compose.rules import Ending, FewKeysGuard, LoopGuard, SamplingRule, SilenceGuard, degeneration_guards
from preludio.errors import PreludioWarning
from preludio.midi import read_midi
from preludio.tokens import NOTE_OFF, TIME_SHIFT, VELOCITY, Ids, encode

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Performances = dict[str, Ids]

SECOND = 100  # steps


class Music(NamedTuple):
    """One performance from its first strike on, and its strikes."""

    ids: Ids
    strike_step: Ints
    strike_pitch: Ints
    lead_steps: int  # the silence before the first strike, which is left out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with maestro-v3.0.0 and giantmidi-piano-sample")
    parser.add_argument("--stride", type=int, default=1, help="only every so many performances")
    parser.add_argument("--check", type=int, default=50, help="verify every so many performances against the classes; 0 for none")
    args = parser.parse_args()
    warnings.simplefilter("ignore", PreludioWarning)
    start = time.perf_counter()
    pieces = [music(encode(read_midi(path))) for path in files(args.data)[:: args.stride]]
    n_events = sum(len(piece.ids) for piece in pieces)
    late = sum(piece.lead_steps > SilenceGuard.OPENING_STEPS for piece in pieces)
    print(f"{machine()}\n")
    print(f"{len(pieces):,} performances, {n_events:,} events, {sum(len(piece.strike_step) for piece in pieces):,} strikes")
    print(f"{late} begin with over {SilenceGuard.OPENING_STEPS / SECOND:.0f} s of silence, which is not counted below\n")
    print_guards(pieces, n_events)
    print_silences(pieces)
    print_rests(pieces)
    if args.check:
        check(pieces[:: args.check])
        print(f"Counted alike by the classes themselves on {len(pieces[:: args.check])} of the performances.")
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


def files(data: Path) -> list[Path]:
    giantmidi = sorted((data / "giantmidi-piano-sample" / "midis").glob("*.mid"))
    return [*maestro_files(data, "train"), *maestro_files(data, "validation"), *giantmidi]


def music(ids: Ids) -> Music:
    """The silence before the first strike is the recorder's, up to 28 minutes in GiantMIDI files that were cut from longer ones."""
    wide = ids.astype(np.int64)
    step = np.cumsum(np.where((wide >= TIME_SHIFT) & (wide < VELOCITY), wide - TIME_SHIFT + 1, 0))
    strikes = wide < NOTE_OFF
    lead = int(step[strikes][0])
    return Music(ids[step >= lead][lead > 0 :], step[strikes] - lead, wide[strikes], lead)


# --- hits, vectorised ---------------------------------------------------------------------------------------------------------------


def silence_hits(piece: Music, limit: int = SilenceGuard.LIMIT_STEPS) -> int:
    """Strikes that come later than the guard lets time pass; a walk from strike to strike, since each depends on the one before."""
    debt, hits = limit - SilenceGuard.OPENING_STEPS, 0
    for gap in np.diff(piece.strike_step, prepend=0).tolist():
        hits += debt + gap > limit
        debt = max(0, min(debt + gap, limit) - SilenceGuard.PAID_BACK_STEPS)
    return hits


def loop_hits(items: npt.NDArray[np.int16], longest_period: int, setback: int, limits: Sequence[int]) -> tuple[list[int], int]:
    """For each limit, how many items would have been struck out; and the longest run."""
    hits, longest = [np.zeros(len(items), dtype=np.bool_) for _ in limits], 0
    for period in range(1, min(longest_period, len(items) - 1) + 1):
        same = items[period:] == items[:-period]
        runs = run_lengths(same, setback)
        longest = max(longest, int(runs.max()))
        for hit, limit in zip(hits, limits, strict=True):
            alarms = np.flatnonzero(runs >= limit)
            if len(alarms):
                places = np.arange(len(same))
                last = np.searchsorted(alarms, places, side="left") - 1  # the last alarm before each item
                breaking = (last >= 0) & (places - alarms[last] <= max(LoopGuard.BREAK, period))
                hit[period:] |= breaking & same
    return [int(hit.sum()) for hit in hits], longest


def run_lengths(same: Mask, setback: int) -> npt.NDArray[np.int32]:
    """A run grows by one with each True, falls by `setback` with each False, and not below 0."""
    walk = np.cumsum(np.where(same, np.int32(1), np.int32(-setback)), dtype=np.int32)
    runs: npt.NDArray[np.int32] = walk - np.minimum(np.minimum.accumulate(walk), 0)
    return runs


def shares(piece: Music, n_keys: int) -> Ints:
    """After each strike, how many of the last `WINDOW` the `n_keys` commonest keys have."""
    struck = np.zeros((len(piece.strike_pitch) + 1, 128), dtype=np.int32)
    struck[np.arange(1, len(struck)), piece.strike_pitch] = 1
    total = np.cumsum(struck, axis=0)
    counts = total[1:].copy()
    counts[FewKeysGuard.WINDOW :] -= total[1 : -FewKeysGuard.WINDOW]
    commonest = -np.sort(-np.partition(counts, 127 - n_keys, axis=1)[:, -n_keys:], axis=1)
    result: Ints = np.cumsum(commonest, axis=1)
    return result


def heard_by(rule: SamplingRule, piece: Music) -> int:
    """Hits, counted by the class itself."""
    hits = 0
    for token in piece.ids.tolist():
        hits += rule.forbidden >> token & 1
        rule.push(token)
    return hits


def late_strikes(piece: Music) -> int:
    """Hits of the silence guard by the class: strikes before which it had forbidden a shift of time."""
    guard, hits, late = SilenceGuard(), 0, False
    for token in piece.ids.tolist():
        late |= bool(guard.forbidden >> token & 1)
        if token < NOTE_OFF:
            hits, late = hits + late, False
        guard.push(token)
    return hits


def check(pieces: Sequence[Music]) -> None:
    _, events, keys, few = degeneration_guards()
    assert isinstance(events, LoopGuard) and isinstance(keys, LoopGuard) and isinstance(few, FewKeysGuard)
    for piece in pieces:
        assert late_strikes(piece) == silence_hits(piece)
        for heard, longest_period, setback, limit in loop_settings():
            guard = LoopGuard(0, heard, longest_period=longest_period, limit=limit // 4, setback=setback)
            expected, _ = loop_hits(items_of(piece, heard), longest_period, setback, [limit // 4])
            assert heard_by(guard, piece) == expected[0]
        assert heard_by(FewKeysGuard(), piece) == 0 or (shares(piece, 4) >= FewKeysGuard.LIMITS).any()


def loop_settings() -> list[tuple[int, int, int, int]]:
    """(ids below this are heard, longest period, setback, limit) of the two loop guards."""
    return [
        (guard.last, guard.longest_period, guard.setback, guard.limit) for guard in degeneration_guards() if isinstance(guard, LoopGuard)
    ]


def items_of(piece: Music, heard: int) -> npt.NDArray[np.int16]:
    return piece.ids[piece.ids < heard].astype(np.int16)


# --- tables -------------------------------------------------------------------------------------------------------------------------


def print_guards(pieces: Sequence[Music], n_events: int) -> None:
    print_header("guard", "limit", "performances touched", "events struck out", "a million", "the furthest real performances go")
    for limit in (8, 10, 12, 15, 20):
        hits = [silence_hits(piece, limit * SECOND) for piece in pieces]
        longest = sorted((int(np.diff(piece.strike_step).max()) / SECOND for piece in pieces), reverse=True)
        furthest = ", ".join(f"{wait:.0f}" for wait in longest[:4]) + " s"
        print_row("silence", f"{limit} s", limit * SECOND == SilenceGuard.LIMIT_STEPS, hits, n_events, furthest)
    for name, (heard, longest_period, setback, chosen) in zip(("a loop of events", "a loop of keys"), loop_settings(), strict=True):
        limits = [chosen // 4, chosen // 2, 3 * chosen // 4, chosen]
        counted = [loop_hits(items_of(piece, heard), longest_period, setback, limits) for piece in pieces]
        longest_runs = sorted((longest for _, longest in counted), reverse=True)
        for place, limit in enumerate(limits):
            furthest = ", ".join(str(run) for run in longest_runs[:4])
            print_row(name, f"{limit} items", limit == chosen, [hits[place] for hits, _ in counted], n_events, furthest)
    print_few_keys(pieces, n_events)


def print_few_keys(pieces: Sequence[Music], n_events: int) -> None:
    highest = np.array([shares(piece, len(FewKeysGuard.LIMITS)).max(axis=0) for piece in pieces])
    over = [bool((high >= FewKeysGuard.LIMITS).any()) for high in highest]
    hits = [heard_by(FewKeysGuard(), piece) if far else 0 for piece, far in zip(pieces, over, strict=True)]
    furthest = " / ".join(str(count) for count in highest.max(axis=0))
    limit = " / ".join(str(count) for count in FewKeysGuard.LIMITS)
    print_row("few keys: 1 / 2 / 3 / 4", f"{limit} of {FewKeysGuard.WINDOW}", True, hits, n_events, furthest)
    print()


def print_header(*columns: str) -> None:
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")


def print_row(name: str, limit: str, chosen: bool, hits: Sequence[int], n_events: int, furthest: str) -> None:
    bold: Callable[[str], str] = (lambda text: f"**{text}**") if chosen else str
    touched = sum(hit > 0 for hit in hits)
    print(f"| {name} | {bold(limit)} | {touched:,} | {sum(hits):,} | {1e6 * sum(hits) / n_events:.2f} | {furthest} |")


def print_silences(pieces: Sequence[Music]) -> None:
    """Of the waits between two strikes: in how many does all sound stop for a while, as between movements?"""
    print_header(
        "no strike for over", "waits", "all sound stops for over 1 s", "a sound goes on nearly all the while", "in the piece's last 5 %"
    )
    for seconds in (8, 10, 12, 15):
        waits = [wait for piece in pieces for wait in long_waits(piece, seconds * SECOND)]
        stops = sum(silent > SECOND for silent, _ in waits)
        print(f"| {seconds} s | {len(waits)} | {stops} | {len(waits) - stops} | {sum(place > 0.95 for _, place in waits)} |")
    print()


def long_waits(piece: Music, limit: int) -> list[tuple[int, float]]:
    """(how many steps nothing sounds, where in the piece) of each wait over the limit."""
    waits = np.flatnonzero(np.diff(piece.strike_step) > limit)
    if not len(waits):
        return []
    at_strike = np.flatnonzero(piece.ids < NOTE_OFF)
    return [(silent_steps(piece.ids[: at_strike[wait + 1]], int(at_strike[wait])), wait / len(at_strike)) for wait in waits]


def silent_steps(ids: Ids, last_strike: int) -> int:
    """How long nothing sounds after the last strike: the shifts after the event that leaves no key sounding."""
    wide = ids.astype(np.int64)
    sounding = np.cumsum(np.where(wide < NOTE_OFF, 1, np.where(wide < TIME_SHIFT, -1, 0)))
    shifts = np.where((wide >= TIME_SHIFT) & (wide < VELOCITY), wide - TIME_SHIFT + 1, 0)
    return int(shifts[last_strike:][sounding[last_strike:] == 0].sum())


def print_rests(pieces: Sequence[Music]) -> None:
    """From moments of real performances, how long `Ending` would wait for a rest."""
    print_header("a breath, at first / at the end of the grace", "the grace", "wait for a rest: median", "p75", "found in time")
    chosen = Ending.BREATH_STEPS, Ending.SHORTEST_BREATH_STEPS, Ending.GRACE_STEPS
    settings = [(70, 70, 400), (50, 50, 400), (50, 50, 800), (70, 20, 400), (70, 20, 600), (70, 20, 800), (70, 30, 800), (100, 20, 600)]
    for breath, shortest, grace in sorted({*settings, chosen}):
        waits = np.concatenate([rest_waits(piece, breath, shortest, grace) for piece in pieces])
        percentiles = np.percentile(waits, [50, 75], method="higher") / SECOND
        median, p75 = (f"{wait:.1f} s" if np.isfinite(wait) else "none" for wait in percentiles)
        name = f"{breath * 10} / {shortest * 10} ms"
        bold = "**" if (breath, shortest, grace) == chosen else ""
        found = f"{100 * np.mean(np.isfinite(waits)):.0f} %"
        print(f"| {bold}{name}{bold} | {grace / SECOND:.0f} s | {median} | {p75} | {found} |")
    print()


def rest_waits(piece: Music, breath: int, shortest: int, grace: int) -> npt.NDArray[np.float64]:
    """From every ten seconds of the piece to the first rest; infinite where none comes within the grace."""
    wide = piece.ids.astype(np.int64)
    shifts = np.where((wide >= TIME_SHIFT) & (wide < VELOCITY), wide - TIME_SHIFT + 1, 0)
    sounding = np.cumsum(np.where(wide < NOTE_OFF, 1, np.where(wide < TIME_SHIFT, -1, 0)))
    silent = (sounding == 0) & (shifts >= Ending.SILENCE_STEPS)
    silences = (np.cumsum(shifts) - shifts)[silent] + Ending.SILENCE_STEPS
    begins, ends = piece.strike_step[:-1], piece.strike_step[1:]
    moments = range(int(piece.strike_step[0]) + 10 * SECOND, int(piece.strike_step[-1]) - grace, 10 * SECOND)
    shrinks = (breath - shortest) / grace
    waits = []
    for moment in moments:
        near = slice(np.searchsorted(ends, moment, side="right"), np.searchsorted(begins, moment + grace))
        breathed = np.maximum((begins[near] + breath + shrinks * moment) / (1 + shrinks), moment)
        rests = [*breathed[breathed <= ends[near]], *silences[np.searchsorted(silences, moment) :][:1]]
        wait = min(rests, default=np.inf) - moment
        waits.append(wait if wait <= grace else np.inf)
    return np.array(waits, dtype=np.float64)


if __name__ == "__main__":
    sys.exit(main())
