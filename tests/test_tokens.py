"""The laws of the codec: encode, decode with its repairs, and the grammar."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import giantmidi_files, maestro_files, needs_datasets
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import canonical_ids, law, nearly_canonical_ids, performances, random_generators, wild_ids

from preludio.errors import TokenError
from preludio.midi import read_midi
from preludio.performance import MAX_MS, STEP_MS, Performance, pack_notes, quantise, shift, sustain
from preludio.tokens import (
    END,
    LAST_STEP,
    N_SHIFTS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    START,
    STEPS_OF,
    TIME_SHIFT,
    VELOCITY,
    VOCAB_SIZE,
    VOCABULARY,
    VOCABULARY_HASH,
    Grammar,
    decode,
    encode,
    is_note_off,
    is_note_on,
    is_shift,
    is_velocity,
    pitches,
    shift_steps,
)


def on(pitch: int) -> int:
    return NOTE_ON + pitch


def off(pitch: int) -> int:
    return NOTE_OFF + pitch


def wait(ms: int) -> int:
    return TIME_SHIFT + ms // STEP_MS - 1


def loud(velocity_bin: int) -> int:
    return VELOCITY + velocity_bin


def body(ids: Sequence[int]) -> list[int]:
    """Without a leading START and a closing END, which `strict` allows."""
    ids = list(ids)
    ids = ids[1:] if ids[:1] == [START] else ids
    return ids[:-1] if ids[-1:] == [END] else ids


def is_canonical(ids: Sequence[int]) -> bool:
    """By the definition, without the grammar: the ids are the encoder's."""
    return list(encode(decode(body(ids)))) == body(ids)


def strict_accepts(ids: Iterable[int]) -> bool:
    try:
        decode(ids, strict=True)
    except TokenError as error:
        assert "\n" not in str(error)
        return False
    return True


# --- the vocabulary ---------------------------------------------------------------------------------------------------------------


def test_the_vocabulary_is_the_one_of_every_checkpoint() -> None:
    assert len(VOCABULARY) == VOCAB_SIZE == 391
    assert VOCABULARY_HASH == "607485967bcaa0d5a4e662fd4c45c8d9e3b2114d3d59f5c7a34f5bf55a1cee02"
    named = {0: "NOTE_ON 0", 127: "NOTE_ON 127", 128: "NOTE_OFF 0", 255: "NOTE_OFF 127", 256: "TIME_SHIFT 10 ms", 355: "TIME_SHIFT 1000 ms"}
    named |= {356: "VELOCITY 2", 387: "VELOCITY 126", 388: "PAD", 389: "START", 390: "END"}
    assert {token: VOCABULARY[token] for token in named} == named


def test_what_an_id_says_is_what_the_vocabulary_says() -> None:
    """Each helper, of one id and of all at once, against the readable table."""
    ids = np.arange(VOCAB_SIZE, dtype=np.uint16)
    for helper, name in ((is_note_on, "NOTE_ON"), (is_note_off, "NOTE_OFF"), (is_shift, "TIME_SHIFT"), (is_velocity, "VELOCITY")):
        said = [meaning.startswith(f"{name} ") for meaning in VOCABULARY]
        assert helper(ids).tolist() == said
        assert [helper(token) for token in range(VOCAB_SIZE)] == said
    keys = is_note_on(ids) | is_note_off(ids)
    assert pitches(ids[keys]).tolist() == [int(VOCABULARY[token].split()[1]) for token in ids[keys]]
    assert list(STEPS_OF) == shift_steps(ids).tolist()


def test_shift_steps() -> None:
    assert shift_steps(np.array([0, 255, 256, 257, 355, 356, 390], dtype=np.uint16)).tolist() == [0, 0, 1, 2, 100, 0, 0]


# --- encode and decode ------------------------------------------------------------------------------------------------------------


@settings(law, max_examples=200)
@given(performances())
def test_decode_undoes_encode(performance: Performance) -> None:
    assert decode(encode(performance)) == Performance(quantise(sustain(performance)).notes)


@law
@given(performances())
def test_encode_resolves_and_quantises_by_itself(performance: Performance) -> None:
    ids = encode(performance)
    assert ids.dtype == np.uint16
    assert ids.tolist() == encode(quantise(sustain(performance))).tolist()
    assert ids.tolist() == encode(decode(ids)).tolist()


@law
@given(performances(min_notes=1), st.integers(0, 4_000_000))
def test_nothing_drifts_however_late(performance: Performance, by_ms: int) -> None:
    late = sustain(shift(performance, by_ms))
    decoded = decode(encode(late)).notes
    strikes = {(onset, pitch) for onset, pitch in zip(decoded["onset_ms"].tolist(), decoded["pitch"].tolist(), strict=True)}
    expected = {((onset + 5) // 10 * 10, pitch) for onset, _, pitch, _ in late.notes.tolist()}
    assert strikes == expected  # so each onset moves by at most 5 ms, and only strikes of one key on one step become one


def test_an_hour_of_odd_gaps_does_not_drift() -> None:
    """Gaps of 14 ms rounded one by one lose 4 ms each: 17 minutes here. Absolute times do not."""
    onset_ms = np.arange(0, 3_600_000, 14)
    pitch = np.arange(len(onset_ms)) % 88 + 21
    played = Performance(pack_notes(onset_ms, onset_ms + 14, pitch, np.full(len(onset_ms), 64)))
    decoded = decode(encode(played))
    assert len(decoded) == len(played)
    # Two notes may share a step and swap places; by key they are many steps apart.
    for key in range(21, 109):
        error = decoded.notes["onset_ms"][decoded.notes["pitch"] == key] - played.notes["onset_ms"][played.notes["pitch"] == key]
        assert np.abs(error).max() <= 5


def test_the_last_step_of_24_days() -> None:
    last = Performance([(MAX_MS - STEP_MS, MAX_MS, 60, 64), (MAX_MS - 50, MAX_MS, 61, 64)])
    assert decode(encode(last)) == quantise(last)


def test_time_stands_still_at_24_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preludio.tokens.codec.LAST_STEP", 200)
    late = [loud(16), on(60), wait(1000), wait(1000), wait(10), on(60), on(61), wait(10), off(60)]
    assert decode(late).notes.tolist() == [(0, 2000, 60, 66)]


def test_strict_refuses_more_than_24_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preludio.tokens.codec.LAST_STEP", 200)
    short = [loud(16), on(60), wait(1000), wait(1000), off(60)]
    long = [loud(16), on(60), wait(1000), wait(1000), wait(10), off(60)]
    assert strict_accepts(short)
    with pytest.raises(TokenError, match="24 days"):
        decode(long, strict=True)
    assert decode(long) == decode(short)
    assert LAST_STEP * STEP_MS == MAX_MS


def test_golden_ids() -> None:
    """A byte-level record: if this fails, files and checkpoints of earlier versions mean something else."""
    piece = Performance(
        [
            (0, 500, 60, 64),  # middle C, half a second
            (2, 1496, 64, 66),  # E with it, a shade louder (same bin), released under the pedal
            (500, 1500, 60, 80),  # C again, louder, released under the pedal
            (3704, 3706, 67, 80),  # G after silence, staccato, same velocity
        ],
        [(1400, 2604)],
    )
    golden = [
        372,  # VELOCITY 66 (bin 16)
        60,  # NOTE_ON 60
        64,  # NOTE_ON 64: same step, same bin
        305,  # TIME_SHIFT 500 ms
        188,  # NOTE_OFF 60: offs come before ons
        376,  # VELOCITY 82 (bin 20)
        60,  # NOTE_ON 60
        355,  # TIME_SHIFT 1000 ms
        355,  # TIME_SHIFT 1000 ms
        265,  # TIME_SHIFT 100 ms: 2.6 s, where the pedal goes up
        188,  # NOTE_OFF 60: by rising pitch
        192,  # NOTE_OFF 64
        355,  # TIME_SHIFT 1000 ms
        265,  # TIME_SHIFT 100 ms: 3.704 s is nearest to 3.70 s
        67,  # NOTE_ON 67: no VELOCITY, as none changed
        256,  # TIME_SHIFT 10 ms: a note lasts at least one step
        195,  # NOTE_OFF 67
    ]
    assert encode(piece).tolist() == golden
    assert decode(golden, strict=True).notes.tolist() == [
        (0, 500, 60, 66),
        (0, 2600, 64, 66),
        (500, 2600, 60, 82),
        (3700, 3710, 67, 82),
    ]


def test_a_piece_without_notes_is_no_ids() -> None:
    assert encode(Performance((), [(0, 1000)])).tolist() == []
    assert decode([], strict=True) == Performance()


# --- decode takes anything --------------------------------------------------------------------------------------------------------


@settings(law, max_examples=200)
@given(st.one_of(wild_ids(), nearly_canonical_ids()))
@example([2**70, -(2**70), 2**64 - 1, -1, 391])
def test_decode_takes_any_integers_and_gives_a_quantised_piece(ids: list[int]) -> None:
    piece = decode(ids)
    assert piece == quantise(sustain(piece))
    assert decode(encode(piece)) == piece
    assert sum(0 <= token < NOTE_OFF for token in ids) >= len(piece)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "i8", "u8", ">u2", "O"])
def test_decode_takes_any_integer_type(dtype: str) -> None:
    assert decode(np.array([60, 61, 60], dtype=dtype)) == decode([60, 61, 60]) == decode(iter((60, 61, 60))) == decode(b"\x3c\x3d\x3c")


def test_decode_takes_the_extremes_of_64_bits() -> None:
    assert decode(np.array([2**64 - 1, 60], dtype=np.uint64)) == decode(np.array([-(2**63), 60], dtype=np.int64)) == decode([60])
    assert decode(np.array([])) == Performance()


NOT_IDS: dict[str, Any] = {
    "floats": [60.0],
    "a float array": np.array([60.5]),
    "text": "abc",
    "numbers as text": ["60"],
    "none": None,
    "a number": 60,
    "an array without dimensions": np.array(60),
    "two dimensions": [[60, 61]],
    "an array of two dimensions": np.ones((2, 2), dtype=np.uint16),
    "a column": np.ones((3, 1), dtype=np.uint16),
    "ragged": [[60], [60, 61]],
    "a hole": [60, None],
    "truth values": np.array([True]),
    "time spans": np.array([3], dtype="m8[s]"),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("ids", NOT_IDS.values(), ids=NOT_IDS.keys())
def test_what_is_not_a_row_of_integers_is_refused_in_one_line(ids: Any, strict: bool) -> None:
    with pytest.raises(TokenError, match="one row of integers") as caught:
        decode(ids, strict=strict)
    assert "\n" not in str(caught.value)


# ids -> the notes that `decode` repairs them to; strict=True refuses each
REPAIRS: dict[str, tuple[list[int], list[tuple[int, int, int, int]]]] = {
    "PAD inside": ([loud(16), PAD, on(60), PAD, PAD, wait(10), off(60), PAD], [(0, 10, 60, 66)]),
    "START inside": ([loud(16), on(60), START, wait(10), off(60)], [(0, 10, 60, 66)]),
    "two STARTs": ([START, START, loud(16), on(60), wait(10), off(60)], [(0, 10, 60, 66)]),
    "outside the vocabulary": ([-1, loud(16), 391, on(60), 65_535, wait(10), off(60)], [(0, 10, 60, 66)]),
    "END in the middle": ([loud(16), on(60), wait(10), off(60), END, on(61), wait(10), off(61)], [(0, 10, 60, 66)]),
    "END while a note sounds": ([loud(16), on(60), wait(50), END], [(0, 50, 60, 66)]),
    "END twice": ([loud(16), on(60), wait(10), off(60), END, END], [(0, 10, 60, 66)]),
    "on, on": ([loud(16), on(60), wait(20), on(60), wait(30), off(60)], [(0, 20, 60, 66), (20, 50, 60, 66)]),
    "on, on at one instant": ([loud(16), on(60), loud(20), on(60), wait(30), off(60)], [(0, 30, 60, 82)]),
    "on, on, off, off": ([loud(16), on(60), wait(20), on(60), off(60), wait(30), off(60)], [(0, 20, 60, 66), (20, 30, 60, 66)]),
    "off without on": ([off(60), loud(16), on(61), wait(10), off(60), off(61), off(61)], [(0, 10, 61, 66)]),
    "never ended": ([loud(16), on(60), wait(10), on(61), wait(20)], [(0, 30, 60, 66), (10, 30, 61, 66)]),
    "never ended, no time": ([loud(16), on(60)], [(0, 10, 60, 66)]),
    "no length": ([loud(16), on(60), off(60), wait(50)], [(0, 10, 60, 66)]),
    "no velocity": ([on(60), wait(10), off(60)], [(0, 10, 60, 66)]),
    "velocity too late": ([on(60), wait(10), off(60), loud(3), on(61), wait(10), off(61)], [(0, 10, 60, 66), (10, 20, 61, 14)]),
    "velocity unchanged": ([loud(16), on(60), loud(16), on(61), wait(10), off(60), off(61)], [(0, 10, 60, 66), (0, 10, 61, 66)]),
    "velocity twice": ([loud(3), loud(16), on(60), wait(10), off(60)], [(0, 10, 60, 66)]),
    "velocity for nothing": ([loud(16), on(60), wait(10), off(60), loud(3)], [(0, 10, 60, 66)]),
    "velocity before an off": (
        [loud(16), on(60), wait(10), loud(3), off(60), on(61), wait(10), off(61)],
        [(0, 10, 60, 66), (10, 20, 61, 14)],
    ),
    "shifts at the end": ([loud(16), on(60), wait(10), off(60), wait(1000), wait(10)], [(0, 10, 60, 66)]),
    "shifts only": ([wait(1000), wait(10)], []),
    "short shift first": ([wait(10), wait(1000), loud(16), on(60), wait(10), off(60)], [(1010, 1020, 60, 66)]),
    "shifts not as few as possible": ([wait(10), wait(20), loud(16), on(60), wait(10), off(60)], [(30, 40, 60, 66)]),
    "ons out of order": ([loud(16), on(61), on(60), wait(10), off(60), off(61)], [(0, 10, 60, 66), (0, 10, 61, 66)]),
    "offs out of order": ([loud(16), on(60), on(61), wait(10), off(61), off(60)], [(0, 10, 60, 66), (0, 10, 61, 66)]),
    "on before off": ([loud(16), on(60), wait(10), on(61), off(60), wait(10), off(61)], [(0, 10, 60, 66), (10, 20, 61, 66)]),
    "specials only": ([START, PAD, END, PAD], []),
}


@pytest.mark.parametrize(("ids", "notes"), REPAIRS.values(), ids=REPAIRS.keys())
def test_repair(ids: list[int], notes: list[tuple[int, int, int, int]]) -> None:
    piece = decode(ids)
    assert piece.notes.tolist() == notes
    assert decode(encode(piece), strict=True) == piece
    assert not is_canonical(ids)
    with pytest.raises(TokenError):
        decode(ids, strict=True)


def test_the_order_of_midi_neural_processor_is_repaired() -> None:
    """Its files: offs and ons of one instant in the order of the notes' onsets, a velocity before nearly every note-on.

    Two bars as its `encode_midi` writes them: it compares a bin with the raw velocity before, so no velocity is ever "unchanged".
    """
    ids = [
        *(372, 64, 372, 60, 372, 67),  # a chord, not by pitch, its velocity said three times
        *(305, 188, 376, 60, 195),  # half a second; off 60, on 60 louder, and only then off 67
        *(305, 192, 188, 372, 72),  # offs not by pitch
        *(355, 265, 200),  # 1.1 s, off 72
    ]
    assert decode(ids).notes.tolist() == [
        (0, 500, 60, 66),
        (0, 1000, 64, 66),
        (0, 500, 67, 66),
        (500, 1000, 60, 82),
        (1000, 2100, 72, 66),
    ]
    canonical = [372, 60, 64, 67, 305, 188, 195, 376, 60, 305, 188, 192, 372, 72, 355, 265, 200]
    assert encode(decode(ids)).tolist() == canonical
    assert not strict_accepts(ids)
    assert strict_accepts(canonical)


# --- real files -------------------------------------------------------------------------------------------------------------------


def obeys_the_laws(piece: Performance) -> bool:
    sounding, ids = sustain(piece), encode(piece)
    grid, decoded = quantise(sounding), decode(ids)
    # Each onset on its nearest step, so at most 5 ms away, and only strikes of one key on one step have become one.
    strikes = np.unique((piece.notes["onset_ms"] + 5) // 10 * 10 * 128 + piece.notes["pitch"])
    decoded_strikes = decoded.notes["onset_ms"] * 128 + decoded.notes["pitch"]
    return (
        decoded == grid == quantise(grid)
        and sounding == sustain(sounding)
        and np.array_equal(ids, encode(grid))
        and np.array_equal(ids, encode(decoded))
        and np.array_equal(strikes, decoded_strikes)
    )


@needs_datasets
@pytest.mark.parametrize("files", [lambda: maestro_files("validation"), giantmidi_files], ids=["maestro", "giantmidi"])
def test_every_real_file_obeys_the_laws(files: Callable[[], list[Path]]) -> None:
    paths = files()
    assert paths
    assert [path for path in paths if not obeys_the_laws(read_midi(path))] == []


@needs_datasets
def test_the_grammar_accepts_real_files() -> None:
    for path in (*giantmidi_files()[::4], *maestro_files("validation")[::20]):
        ids = encode(read_midi(path))
        assert decode([START, *ids.tolist(), END], strict=True) == decode(ids)


@needs_datasets
def test_files_of_midi_neural_processor_can_be_read() -> None:
    processor = pytest.importorskip(
        "midi_neural_processor.processor", reason="needs midi-neural-processor, an oracle only", exc_type=ImportError
    )
    paths = sorted(giantmidi_files(), key=lambda path: path.stat().st_size)[:3]
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pretty_midi's, about packages of its own
            ids = processor.encode_midi(str(path))
        piece = decode(ids)
        assert decode(encode(piece), strict=True) == piece
        assert 0.5 * len(read_midi(path)) < len(piece) <= len(read_midi(path))  # it loses what follows the last pedal


# --- strict=True ------------------------------------------------------------------------------------------------------------------


@settings(law, max_examples=250)
@given(st.one_of(nearly_canonical_ids(), canonical_ids(), wild_ids(max_size=6)), st.booleans(), st.booleans())
@example([], True, True)
def test_strict_accepts_exactly_what_encode_writes(ids: list[int], start: bool, end: bool) -> None:
    ids = [START] * start + ids + [END] * end
    assert strict_accepts(ids) == is_canonical(ids)
    if is_canonical(ids):
        assert decode(ids, strict=True) == decode(ids)


@pytest.mark.parametrize(
    ("beginning", "alphabet", "length"),
    [
        ([], [loud(3), on(60), off(60), wait(10), PAD, START, END], 3),
        ([loud(3)], [loud(3), loud(4), on(60), off(60), wait(10), END], 4),  # one key, two velocities
        ([loud(3)], [on(60), on(61), off(60), off(61), wait(10), wait(1000)], 4),  # two keys
    ],
)
def test_strict_on_every_short_sequence(beginning: list[int], alphabet: list[int], length: int) -> None:
    for size in range(length + 1):
        for rest in product(alphabet, repeat=size):
            ids = [*beginning, *rest]
            assert strict_accepts(ids) == is_canonical(ids), ids


def test_strict_says_which_id_and_where() -> None:
    with pytest.raises(TokenError, match=r"token 2 \(188, NOTE_OFF 60\) breaks the grammar"):
        decode([loud(16), on(60), off(60)], strict=True)
    with pytest.raises(TokenError, match=r"token 0 \(-7, outside the vocabulary\)"):
        decode([-7], strict=True)
    with pytest.raises(TokenError, match="stop while notes sound"):
        decode([loud(16), on(60), wait(10)], strict=True)


# --- the grammar ------------------------------------------------------------------------------------------------------------------


def closed(prefix: Sequence[int]) -> list[int]:
    """A prefix and the plainest way to end it, worked out from the ids alone: the grammar is not asked."""
    ids, step, began, velocity = list(prefix), 0, dict[int, int](), any(VELOCITY <= token < PAD for token in prefix)
    for token in ids:
        step += STEPS_OF[token]
        if token < NOTE_OFF:
            began[token] = step
        elif token < TIME_SHIFT:
            began.pop(token - NOTE_OFF, None)
    last = ids[-1] if ids else END
    if VELOCITY <= last < PAD or (STEPS_OF[last] and not began):  # a velocity wants a note; so does time that passes in silence
        highest = next(pitch for pitch in reversed(range(128)) if pitch not in began)
        ids += [highest] if velocity else [loud(0), highest]
        began[highest] = step
        last = highest
    if began and (not STEPS_OF[last] or step in began.values()):
        ids.append(wait(10))
    return ids + [off(pitch) for pitch in sorted(began)]


def walk(generator: np.random.Generator, keys: Sequence[int], length: int) -> tuple[Grammar, list[int]]:
    """A random piece's beginning: ids drawn from the mask, kinds of events equally often, mostly on a few keys."""
    grammar, ids = Grammar(), list[int]()
    kinds = ([on(key) for key in keys], [off(key) for key in keys], [wait(10), wait(20), wait(1000)], [loud(0), loud(1), loud(31)])
    for _ in range(length):
        choices = [token for token in kinds[generator.integers(4)] if grammar.allowed()[token]]
        if choices:
            ids.append(int(generator.choice(choices)))
            grammar.push(ids[-1])
    return grammar, ids


def keys_to_play() -> st.SearchStrategy[list[int]]:
    """At the keyboard's ends the order by pitch runs out of keys."""
    return st.sampled_from([[0, 1], [126, 127], [0, 127], [60, 61, 62], list(range(128))])


@law
@given(canonical_ids())
def test_the_mask_allows_whatever_encode_writes(ids: list[int]) -> None:
    """Complete: every canonical piece is a walk over the mask."""
    grammar = Grammar()
    for place, token in enumerate(ids):
        assert grammar.allowed()[token], (place, token)
        grammar.push(token)
    assert grammar.may_end
    assert grammar.allowed()[END]


@law
@given(random_generators(), keys_to_play(), st.integers(0, 60))
def test_the_mask_is_right_about_each_token(generator: np.random.Generator, keys: list[int], length: int) -> None:
    """Sound: what it allows leads to a canonical piece, and what it refuses does not, at least not by the plainest ending."""
    grammar, prefix = walk(generator, keys, length)
    allowed = grammar.allowed().copy()
    assert not allowed[PAD]
    assert not allowed[START]
    assert allowed.any()
    assert allowed[END] == grammar.may_end == is_canonical(prefix)
    near_keys = {key + error for key in keys[:2] + keys[-2:] for error in (-1, 0, 1) if 0 <= key + error < 128}
    steps, bins = (10, 20, 990, 1000), (0, 1, 2, 31)
    for token in [*map(on, near_keys), *map(off, near_keys), *map(wait, steps), *map(loud, bins)]:
        ids = closed([*prefix, token])
        assert (encode(decode(ids)).tolist() == ids) == allowed[token], (prefix, VOCABULARY[token])


@law
@given(random_generators(), keys_to_play(), st.integers(0, 400))
def test_what_a_walk_over_the_mask_writes_is_valid(generator: np.random.Generator, keys: list[int], length: int) -> None:
    grammar, prefix = walk(generator, keys, length)
    ids = closed(prefix)
    for token in ids[len(prefix) :]:
        grammar.push(token)
    assert grammar.may_end
    grammar.push(END)
    assert grammar.ended
    assert not grammar.may_end
    assert not grammar.allowed().any()
    assert encode(decode([START, *ids, END], strict=True)).tolist() == ids


@law
@given(random_generators(), st.integers(0, 300))
def test_the_grammar_counts_time_and_knows_what_sounds(generator: np.random.Generator, length: int) -> None:
    grammar, ids = walk(generator, [60, 61, 127], length)
    assert grammar.step == sum(STEPS_OF[token] for token in ids)
    piece = decode(closed(ids))
    held = {pitch for onset, offset, pitch, _ in piece.notes.tolist() if onset <= grammar.step * STEP_MS < offset}
    assert held - {next(p for p in reversed(range(128)) if p not in grammar.sounding)} <= grammar.sounding.keys()
    assert all((grammar.sounding[pitch] * STEP_MS, pitch) in {(n[0], n[2]) for n in piece.notes.tolist()} for pitch in grammar.sounding)


def test_no_dead_end_with_all_keys_down() -> None:
    grammar = Grammar()
    for token in [loud(16), *map(on, range(128))]:
        grammar.push(token)
    assert set(np.flatnonzero(grammar.allowed())) == {wait(10 * steps) for steps in range(1, N_SHIFTS + 1)}
    grammar.push(wait(10))
    assert set(np.flatnonzero(grammar.allowed())) == {off(pitch) for pitch in range(128)}  # no VELOCITY: no key is free to strike
    grammar.push(off(127))
    assert set(np.flatnonzero(grammar.allowed())) == {
        on(127),
        *(wait(10 * steps) for steps in range(1, N_SHIFTS + 1)),
        *(loud(velocity_bin) for velocity_bin in range(32) if velocity_bin != 16),
    }


def test_the_beginning() -> None:
    assert set(np.flatnonzero(Grammar().allowed())) == {*range(TIME_SHIFT, PAD), END}  # a velocity first, or silence, or nothing


def test_pushing_what_is_not_allowed_is_a_bug_of_the_caller() -> None:
    with pytest.raises(AssertionError, match="NOTE_ON 60 is not allowed here"):
        Grammar().push(on(60))
