"""Which composition a title means, and the guard that keeps held-out compositions out of training.

Titles are spelled in a hundred ways ("Impromptu Op. 90, No. 3", "Impromptus D899", "SuiteBergamasque"), and some are wrong. Music tells
better (`matching`), but MAESTRO's table names works whose recordings one may not have. So the guard asks both, and either is enough.

A title becomes a `Work`: catalogue numbers (Op., BWV, D., Hob., …) with the pieces within, genre and ordinal, key, and the words that are
left. Two works are the same where a catalogue says so; where one title has no number of a catalogue the other uses, what else they
share decides. Doubt counts as the same: a performance too few in training costs less than a result that means nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from preludio.corpus.entry import Entry
from preludio.corpus.fingerprint import Fingerprint
from preludio.corpus.matching import Index, Similarity

# --- tables -----------------------------------------------------------------------------------------------------------------------

SPELLINGS = {
    "haendel": "handel", "mussorgskij": "mussorgsky", "prokofieff": "prokofiev", "rachmaninoff": "rachmaninov",
    "schostakowitsch": "shostakovich", "skrjabin": "scriabin", "skryabin": "scriabin", "tschaikowsky": "tchaikovsky",
}  # fmt: skip
GENRES = """
    sonata sonate sonatas sonaten son | etude etudes study studies konzertetude konzertetuden | prelude preludes | fugue fugues fuge fuga
    nocturne nocturnes | waltz waltzes valse valses | polonaise polonaises | ballade ballades | scherzo scherzi scherzos
    impromptu impromptus | mazurka mazurkas | rhapsody rhapsodie rhapsodies | fantasy fantasie fantasia fantaisie fantasien
    toccata toccatas | rondo rondeau | suite suites | partita partitas | variations variationen | intermezzo intermezzi intermezzos
    bagatelle bagatelles | romance romances | polka polkas | march marche
"""  # each by its first spelling
_GENRE = {word: line.split()[0] for line in re.split(r"[|\n]", GENRES) for word in line.split()}
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """the and from for with on to by of in la le les de des du della der die das et no nos op opus posth
        book livre band vol wtc wtk ii iii iv vi major minor flat sharp dur moll first second third two three four six
        complete selections movement movements mov concert arr arrangement edition version piece pieces cut allegro andante presto largo""",
    )
)
SCHUBERT_OPUS = {15: 760, 42: 845, 53: 850, 78: 894, 90: 899, 94: 780, 120: 664, 122: 568, 142: 935, 143: 784, 164: 537}  # -> Deutsch
BEETHOVEN_SONATAS = (  # No. 1 to 32 -> opus, number
    (2, 1), (2, 2), (2, 3), (7, 0), (10, 1), (10, 2), (10, 3), (13, 0), (14, 1), (14, 2), (22, 0), (26, 0), (27, 1), (27, 2), (28, 0),
    (31, 1), (31, 2), (31, 3), (49, 1), (49, 2), (53, 0), (54, 0), (57, 0), (78, 0), (79, 0), (81, 0), (90, 0), (101, 0), (106, 0),
    (109, 0), (110, 0), (111, 0),
)  # fmt: skip
NICKNAMES = {
    "liszt": {
        "waldesrauschen": ("s", 145, 1), "gnomenreigen": ("s", 145, 2), "leggierezza": ("s", 144, 2), "sospiro": ("s", 144, 3),
        "campanella": ("s", 141, 3), "mazeppa": ("s", 139, 4), "follets": ("s", 139, 5), "ricordanza": ("s", 139, 9),
        "neige": ("s", 139, 12), "juan": ("s", 418, 0), "mephisto": ("s", 514, 0), "rigoletto": ("s", 434, 0), "dante": ("s", 161, 7),
        "espagnole": ("s", 254, 0), "spanish": ("s", 254, 0),
    },
    "schubert": {"wanderer": ("d", 760, 0)},
    "beethoven": {"waldstein": ("op", 53, 0), "appassionata": ("op", 57, 0), "tempest": ("op", 31, 2), "pathetique": ("op", 13, 0)},
}  # fmt: skip
_KEYS_FROM_C = ("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b")
_FLATS = {"d": "c#", "e": "d#", "g": "f#", "a": "g#", "b": "a#", "c": "b", "f": "e"}
_SHARPS = {"c": "c#", "d": "d#", "e": "f", "f": "f#", "g": "g#", "a": "a#", "b": "c"}

Number = tuple[str, int, int]
"""Catalogue, number, the piece within; piece 0 is the whole, or unsaid."""

_CATALOGUE = re.compile(r"\b(op|bwv|hwv|woo|hob|kv|[kdlsz])\b\.? ?(?:xvi\b[ :/]*)?(\d+)(?:(?: ?/ ?| )(\d{1,2})\b)?")
_LIST = r"(\d{1,2}\b(?:(?: ?, ?| ?& ?| ?- ?| and )+\d{1,2}\b)*)"
_PIECE = re.compile(rf"\b(?:no|nos)\b\.? ?{_LIST}")
_KEY = re.compile(r"\b([a-h])(?:[ -]?(flat|sharp|#)s?)?[ -]+(major|minor|maj|min|dur|moll)\b")
_BOOK = re.compile(r"\b(?:book|livre|b|wtc|wtk|vol|band)\.? ?(ii|i|2|1)\b")


# --- a title ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What a title says. Empty where it says nothing."""

    people: frozenset[str]  # surnames: who composed, who arranged
    numbers: frozenset[Number]
    ordinals: frozenset[tuple[str, int]]  # ("sonata", 9)
    genres: frozenset[str]
    key: str  # "c# minor"
    book: int
    words: frozenset[str] = field(repr=False)


def work(composer: str, title: str) -> Work:
    """`composer` first name first, several apart by "/"; "" where only the title may name them."""
    text = _plain(title)
    words = re.findall(r"[a-z]+", text)
    people = frozenset(SPELLINGS.get(name, name) for name in (_surnames(composer) or words))
    genres = frozenset(_GENRE[word] for word in words if word in _GENRE)
    key, book = _key(text), _book(text)
    numbers, ordinals = _numbers(text), _ordinals(text)
    numbers |= _known_otherwise(people, numbers, ordinals, key, book, text)
    whole = {number for number in numbers if not number[2] and any(number[:2] == other[:2] and other[2] for other in numbers)}
    return Work(people, frozenset(numbers - whole), frozenset(ordinals), genres, key, book, _names(words, people if composer else ()))


def _names(words: Iterable[str], people: Iterable[str]) -> frozenset[str]:
    """What remains of a title: `Pour le piano`, but not the piano of a piano sonata."""
    empty = _EMPTY_WORDS | {"piano", "keyboard"} if any(word in _GENRE for word in words) else _EMPTY_WORDS
    return frozenset(word for word in words if len(word) > 2 and word not in _GENRE and word not in empty) - frozenset(people)


def _plain(text: str) -> str:
    """Lower case without accents, one space between words, camel case and letters beside numbers parted: `Op10` -> `op 10`."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKD", text))
    text = "".join(letter for letter in text if not unicodedata.combining(letter)).lower().replace("♯", "#").replace("opus", "op")
    text = re.sub(r"(?<=\d)_(?=\d{1,2}\b)", "/", text).replace("_", " ")
    return re.sub(r"\s+", " ", re.sub(r"(?<=[a-z])(?=\d)", " ", text))


def _surnames(composer: str) -> list[str]:
    parts = [re.findall(r"[a-z]+", _plain(part.split(",")[0])) for part in composer.split("/")]
    return [words[-1] for words in parts if words]


def _key(text: str) -> str:
    match = _KEY.search(text)
    if not match:
        return ""
    tonic, accidental = match[1], match[2]
    if tonic == "h" or (match[3] in ("dur", "moll") and not accidental):  # German: H is B, B is B flat
        tonic = {"h": "b", "b": "a#"}.get(tonic, tonic)
    tonic = _FLATS.get(tonic, tonic) if accidental == "flat" else _SHARPS.get(tonic, tonic) if accidental else tonic
    return f"{tonic} {'minor' if match[3] in ('minor', 'min', 'moll') else 'major'}"


def _book(text: str) -> int:
    match = _BOOK.search(text)
    return 0 if not match else 2 if match[1] in ("ii", "2") else 1


def _numbers(text: str) -> set[Number]:
    """Each catalogue number with the pieces that stand after it: `Op. 8, Nos. 5, 11 and 12`."""
    found = list(_CATALOGUE.finditer(text))
    numbers = set()
    for match, following in zip(found, [*(later.start() for later in found[1:]), len(text)], strict=False):
        after = text[match.end() : following]
        piece = _PIECE.search(after)
        pieces = _listed(piece[1]) if piece else [int(match[3])] if match[3] else [0]
        catalogue = "k" if match[1] == "kv" else match[1]
        numbers |= {(catalogue, int(match[2]), number) for number in pieces}
    return numbers


def _listed(text: str) -> list[int]:
    """`2, 4 & 5` -> 2, 4, 5; `1-5` -> 1 to 5."""
    numbers: list[int] = []
    for first, last in re.findall(r"(\d+)(?: ?- ?(\d+))?", text):
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _ordinals(text: str) -> set[tuple[str, int]]:
    """`Sonata No. 9` and `Ballade 4 Op. 52`, but not the `No. 3` of `Op. 2 No. 3`."""
    text = _BOOK.sub("", text[: match.start()] if (match := _CATALOGUE.search(text)) else text)
    genres = [(match.end(), _GENRE[match[0]]) for match in re.finditer(r"[a-z]+", text) if match[0] in _GENRE]
    ordinals = set()
    for match in re.finditer(rf"(?<![\d/.]){_LIST}(?![\d/])", text):
        before = [genre for end, genre in genres if end <= match.start()]
        ordinals |= {(before[-1], number) for number in _listed(match[1])} if before else set()
    return ordinals


def _known_otherwise(
    people: frozenset[str], numbers: set[Number], ordinals: set[tuple[str, int]], key: str, book: int, text: str
) -> set[Number]:
    """Numbers that the tables above give for what the title says."""
    known: set[Number] = set()
    if "schubert" in people:
        deutsch = [(SCHUBERT_OPUS.get(number), piece) for catalogue, number, piece in numbers if catalogue == "op"]
        known |= {("d", number, piece) for number, piece in deutsch if number}
    if "bach" in people and key and book and not numbers:  # the preludes and fugues go up by semitones, major before minor
        tonic, mode = key.split()
        known.add(("bwv", (846, 870)[book - 1] + 2 * _KEYS_FROM_C.index(tonic) + (mode == "minor"), 0))
    for genre, ordinal in ordinals:
        if "beethoven" in people and genre == "sonata" and not numbers and ordinal <= len(BEETHOVEN_SONATAS):
            known.add(("op", *BEETHOVEN_SONATAS[ordinal - 1]))
        if "liszt" in people and (genre, "transcend" in text) == ("etude", True):
            known.add(("s", 139, ordinal))
        if "liszt" in people and (genre, "hungarian" in text) == ("rhapsody", True):
            known.add(("s", 244, ordinal))
    for person in people & NICKNAMES.keys():
        known |= {number for name, number in NICKNAMES[person].items() if not numbers and re.search(rf"\b{name}\b", text)}
    return known


# --- two titles -------------------------------------------------------------------------------------------------------------------


def same_title(one: Work, other: Work) -> bool:
    """May these be one composition, or one a part of the other?"""
    if not one.people & other.people:
        return False
    if {catalogue for catalogue, _, _ in one.numbers} & {catalogue for catalogue, _, _ in other.numbers}:
        return _same_number(one.numbers, other.numbers)
    if _contradict(one.key, other.key) or _contradict(one.book, other.book) or (one.numbers and other.numbers):
        return False  # the last: numbers of two catalogues, such as Scarlatti's K. and L., do not compare
    genres = one.genres & other.genres
    if {genre for genre, _ in one.ordinals} & {genre for genre, _ in other.ordinals}:
        return bool(one.ordinals & other.ordinals)
    whole_book = one.book == other.book != 0 and not (one.words and other.words)  # `Preludes, Book I` has every prelude of it
    return bool(genres and (whole_book or one.key == other.key != "")) or _same_words(one.words, other.words)


def _contradict(one: object, other: object) -> bool:
    return bool(one and other and one != other)


def _same_number(some: Iterable[Number], others: Iterable[Number]) -> bool:
    return any(one[:2] == other[:2] and (one[2] == other[2] or 0 in (one[2], other[2])) for one in some for other in others)


def _same_words(some: frozenset[str], others: frozenset[str]) -> bool:
    """All words of the shorter title in the longer, a real word among them."""
    shorter, longer = sorted((some, others), key=len)
    return shorter <= longer and any(len(word) >= 5 for word in shorter)


# --- the guard --------------------------------------------------------------------------------------------------------------------


class Leak(NamedTuple):
    """A held-out entry that a performance is of, and how one knows."""

    held_out: Entry
    by: str  # "music" or "title"
    similarity: Similarity | None  # of the music


class LeakDetector:
    """Knows what is held out; says whether a performance is of it."""

    def __init__(self, held_out: Sequence[tuple[Entry, Fingerprint | None]]) -> None:
        """Entries of held-out splits, with their fingerprints where their music is there."""
        self._heard = [entry for entry, landmarks in held_out if landmarks is not None]
        self._index = Index([landmarks for _, landmarks in held_out if landmarks is not None])
        self._titles: dict[str, list[tuple[Work, Entry]]] = defaultdict(list)
        for entry, _ in held_out:
            named = work(entry.composer, entry.title)
            for person in named.people if entry.composer else ():
                self._titles[person].append((named, entry))

    def leaks(self, entry: Entry, landmarks: Fingerprint | None) -> list[Leak]:
        """Held-out works that this is of: by its music, most like first, then by its title. Empty: it may be trained on."""
        heard = sorted(self._index.matches(landmarks), key=lambda match: -match[1].evidence) if landmarks is not None else []
        leaks = [Leak(self._heard[piece], "music", similarity) for piece, similarity in heard]
        named = work(entry.composer, entry.title)
        titles = [held for person in sorted(named.people & self._titles.keys()) for held in self._titles[person]]
        return leaks + [Leak(held_out, "title", None) for title, held_out in titles if same_title(named, title)]
