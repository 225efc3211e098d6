"""Standard MIDI File bytes <-> `Performance`; every limit and repair of hostile files.

Source: *Standard MIDI Files 1.0* (RP-001, MIDI Manufacturers Association), cited below as SMF; channel messages: *MIDI 1.0*.

    bytes -> chunks (`chunks`) -> events of a track (`events`) -> notes (`pairing`), what their channels say (`channels`)
          -> milliseconds (`read`) -> Performance
    Performance -> bytes (`write`)

One walk reads sound and broken files alike, because no parser tells what it left out: symusic 0.6, the fastest, drops unclosed notes,
the pedal of a channel without notes and the end of a track without a word. It remains the tests' oracle.
"""

from preludio.midi.chunks import KINDS, MAX_BYTES, MAX_CHUNKS, REMARKS, Repair
from preludio.midi.events import MAX_EVENTS, MAX_ODD_EVENTS
from preludio.midi.read import read_and_repair, read_midi, shortened
from preludio.midi.write import write_midi

__all__ = [
    "KINDS",
    "MAX_BYTES",
    "MAX_CHUNKS",
    "MAX_EVENTS",
    "MAX_ODD_EVENTS",
    "REMARKS",
    "Repair",
    "read_and_repair",
    "read_midi",
    "shortened",
    "write_midi",
]
