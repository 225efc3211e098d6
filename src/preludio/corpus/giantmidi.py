"""GiantMIDI-Piano (Kong et al. 2020) from its folder or zip: transcriptions named `Surname, First, Title, youtubeid.mid`."""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from pathlib import PurePosixPath

from preludio.corpus.archive import FileTree, printable
from preludio.corpus.entry import Entry
from preludio.corpus.folder import midi_names, read_performance
from preludio.errors import PreludioError, PreludioWarning
from preludio.performance import Performance

ALL, CURATED = "midis", "surname_checked_midis"  # the folders' official names; the second is the subset by surname
MAX_TABLE_BYTES = 2**27
SOLO_PIANO = 0.5  # the authors' threshold on the probability that a recording is of a piano alone

_TABLE = re.compile(r"(?:.*/)?full_music_pieces_youtube_similarity_pianosoloprob[^/]*\.csv")
_ID = r"[A-Za-z0-9_-]{11}"
_OFFICIAL = re.compile(rf"(?P<surname>.*?), (?P<first>.*?), (?P<title>.*), {_ID}")
# The authors' evaluation files are cut out of such transcriptions: Composer_Title_youtubeid_cut_mov_1.
_EVALUATION = re.compile(rf"(?P<composer>[^_,]+)_(?P<title>.+)_{_ID}(?:_(?:a|b|cut|midi|mov|no|part\d*|\d+))*")
_FULL_NAMES = {
    "Bach": "Johann Sebastian Bach",
    "Beethoven": "Ludwig van Beethoven",
    "Brahms": "Johannes Brahms",
    "Chopin": "Frédéric Chopin",
    "Debussy": "Claude Debussy",
    "Haydn": "Joseph Haydn",
    "Liszt": "Franz Liszt",
    "Scarlatti": "Domenico Scarlatti",
    "Schubert": "Franz Schubert",
    "Schumann": "Robert Schumann",
    "Scriabin": "Alexander Scriabin",
}  # of the evaluation files, which give the surname alone or the first name after it

Row = dict[str, str]


class GiantMidiSource:
    """Transcriptions with a composer and a title.

    The list that comes with the set has splits, but drawn from the files, so that one work lies in several: they are not taken over.
    """

    kind = "giantmidi"

    def __init__(self, tree: FileTree, folder: str, curated: bool = False) -> None:
        """`folder` is the one that holds the MIDI files, "" for the place itself; `curated` keeps those of the authors' subset."""
        self.tree = tree
        self.folder = folder
        self.curated = curated

    def entries(self) -> list[Entry]:
        """As `Source`.

        Warns:
            PreludioWarning: how many files are left out: outside the folder, or not in the curated subset.

        Raises:
            PreludioError: the curated subset is asked for, and nothing says which it is.
        """
        table = self._table()
        paths = [PurePosixPath(name) for name in midi_names(self.tree)]
        inside = [path for path in paths if path.parent == PurePosixPath(self.folder)]
        outside = sum(path.parent != PurePosixPath(self.folder) and path.parent.name != CURATED for path in paths)
        said = [f"{outside:,} MIDI files outside its folder {self.folder or '.'} are left out"] if outside else []
        if self.curated:
            wanted, n = self._curated(table), len(inside)
            inside = [path for path in inside if path.stem in wanted]
            said += [f"{n - len(inside):,} of {n:,} files are not in the curated subset and left out"] if len(inside) < n else []
        if said:
            warnings.warn(f"{self.tree.path}: {'; '.join(said)}", PreludioWarning, stacklevel=2)
        return [self._entry(path, table.get(path.stem)) for path in inside]

    def read(self, entry: Entry) -> Performance:
        """As `Source`; warns as `read_midi`."""
        return read_performance(self.tree, entry.name)

    def _entry(self, path: PurePosixPath, row: Row | None) -> Entry:
        composer, title = parse_name(path.stem)
        if row is not None:  # what the table says needs no guess where a surname or a title has commas
            composer, title = f"{row.get('firstname', '')} {row.get('surname', '')}".strip(), row.get("music") or title
        return Entry(self.kind, str(path), composer=composer, title=title)

    def _curated(self, table: dict[str, Row]) -> set[str]:
        subset = {PurePosixPath(name).stem for name in midi_names(self.tree) if PurePosixPath(name).parent.name == CURATED}
        if not subset and (PurePosixPath(self.folder).name or self.tree.path.stem).startswith(CURATED):
            subset = {PurePosixPath(name).stem for name in midi_names(self.tree)}
        subset = subset or {name for name, row in table.items() if _is_curated(row)}
        if not subset:
            remedy = f"name {CURATED}.zip or its folder, or put full_music_pieces_youtube_similarity_pianosoloprob_split.csv beside"
            raise PreludioError(f"{self.tree.path}: nothing says which files are the curated subset; {remedy}")
        return subset

    def _table(self) -> dict[str, Row]:
        """The authors' list, if it is there: name of the recording -> row. It has 140,000 rows, most of them without a recording."""
        tables = [name for name in self.tree.names() if _TABLE.fullmatch(name)]
        if not tables:
            return {}
        try:
            text = self.tree.read(tables[-1], MAX_TABLE_BYTES).decode("utf-8-sig")  # "..._split.csv" comes last
        except UnicodeDecodeError as error:
            raise PreludioError(f"{self.tree.path}: {tables[-1]}: damaged ({error}); get it again or remove it") from None
        lines = (line.rstrip("\r\n").split("\t") for line in io.StringIO(text, newline="\n"))
        header = next(lines, [])
        rows = (dict(zip(header, line, strict=False)) for line in lines)
        return {printable(row["audio_name"]): row for row in rows if row.get("audio_name")}


def find_giantmidi(tree: FileTree, curated: bool = False) -> GiantMidiSource | None:
    """GiantMIDI-Piano if the folders are named as there, or nearly all files are."""
    names = [PurePosixPath(name) for name in midi_names(tree)]
    folders = Counter(str(name.parent) for name in names)
    named = [folder for folder in sorted(folders, key=len) if _official_name(folder, tree) == ALL]
    named += [folder for folder in sorted(folders, key=len) if _official_name(folder, tree) == CURATED]
    for folder in named:
        stems = [name.stem for name in names if str(name.parent) == folder]
        if 2 * sum(parse_name(stem)[0] != "" for stem in stems) >= len(stems):
            return GiantMidiSource(tree, "" if folder == "." else folder, curated)
    official = Counter(str(name.parent) for name in names if _OFFICIAL.fullmatch(name.stem))
    if len(folders) == 1 and official.total() >= 0.9 * len(names):
        return GiantMidiSource(tree, "" if "." in folders else next(iter(folders)), curated)
    return None


def _official_name(folder: str, tree: FileTree) -> str:
    """Which of the official folders this is, "" for none; a zip's top may have its name alone (`midis_v1.2.zip`)."""
    name = tree.path.stem if folder == "." else PurePosixPath(folder).name
    match = re.fullmatch(rf"({ALL}|{CURATED})(?:_v[\d.]+)?", name)
    return match[1] if match else ""


def parse_name(stem: str) -> tuple[str, str]:
    """The composer, first name first, and the title in a file's name; ("", the name) where it is none of GiantMIDI's.

    `Liszt, Franz, Hungarian Rhapsody No.2, S.244_2, LdH1hSWGFGU` -> `Franz Liszt`, `Hungarian Rhapsody No.2, S.244_2`.
    """
    if match := _OFFICIAL.fullmatch(stem):
        return f"{match['first']} {match['surname']}".strip(), match["title"]
    if match := _EVALUATION.fullmatch(stem):
        composer = _FULL_NAMES.get(match["composer"], match["composer"])
        words = match["title"].split("_")
        while len(words) > 1 and words[0] in composer.split():
            words.pop(0)
        return composer, " ".join(words)
    return "", stem


def _is_curated(row: Row) -> bool:
    """The authors' rule: a piano alone, and the composer's surname in the recording's title."""
    try:
        alone = row["giant_midi_piano"] == "1" if row.get("giant_midi_piano") else float(row["piano_solo_prob"]) >= SOLO_PIANO
        named = row.get("surname_in_youtube_title") or str(int(row["surname"] in row["youtube_title"]))
    except (KeyError, ValueError):
        return False
    return alone and named == "1"
