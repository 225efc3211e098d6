"""Performances as token ids: the vocabulary, the codec, the grammar, and the musical state behind the model's relations.

    vocabulary.py   the 388 events as one table, and what an id says
    codec.py        `encode` and `decode`
    grammar.py      which ids may come next, one id at a time
    allowed.py      the same for all positions of a row at once, for scoring
    relations.py    the musical state at each position, as indices of the model's extra rows
"""

from preludio.tokens.codec import decode, encode
from preludio.tokens.grammar import Grammar, IdSet, as_mask, id_range
from preludio.tokens.vocabulary import (
    DEFAULT_VELOCITY_BIN,
    END,
    LAST_STEP,
    N_KEYS,
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
    Ids,
    is_note_off,
    is_note_on,
    is_shift,
    is_velocity,
    pitches,
    shift_steps,
)

__all__ = [
    "DEFAULT_VELOCITY_BIN",
    "END",
    "LAST_STEP",
    "NOTE_OFF",
    "NOTE_ON",
    "N_KEYS",
    "N_SHIFTS",
    "PAD",
    "START",
    "STEPS_OF",
    "TIME_SHIFT",
    "VELOCITY",
    "VOCABULARY",
    "VOCABULARY_HASH",
    "VOCAB_SIZE",
    "Grammar",
    "IdSet",
    "Ids",
    "as_mask",
    "decode",
    "encode",
    "id_range",
    "is_note_off",
    "is_note_on",
    "is_shift",
    "is_velocity",
    "pitches",
    "shift_steps",
]
