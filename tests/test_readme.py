"""The documents keep their word: each command that they show is one that the program takes, each link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from preludio.cli import app

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.es.md"]
DOCUMENTS = [*READMES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "src").rglob("*.md"))]


def shown_commands(document: Path) -> list[list[str]]:
    """The arguments of each `preludio ...` line in a document's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("preludio ")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shown_commands_are_taken(document: Path) -> None:
    group = typer.main.get_command(app)
    for arguments in shown_commands(document):
        name, rest = arguments[0], arguments[1:]
        group.commands[name].make_context(name, rest)  # type: ignore[attr-defined]  # raises if it does not parse


@pytest.mark.parametrize("document", READMES, ids=lambda path: path.name)
def test_a_readme_opens_with_the_two_commands_and_a_picture(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.index("make compose") < text.index("make test") < text.index("![") < text.index("## ")
    assert len(shown_commands(document)) >= 5


def test_the_two_readmes_show_the_same_commands() -> None:
    english, spanish = (shown_commands(document) for document in READMES)
    options = [[[word for word in command if word.startswith("-")] for command in commands] for commands in (english, spanish)]
    assert options[0] == options[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (document.parent / link).exists(), f"{document.name} links to {link}, which is not there"


def test_each_make_target_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|    )make ([a-z]+)", document.read_text(encoding="utf-8")))
        assert named <= targets, f"{document.name} names {named - targets}"


def test_no_figure_is_left_open() -> None:
    """A document once went out with a place-holder where its table should have stood."""
    for document in DOCUMENTS:
        assert "@@" not in document.read_text(encoding="utf-8"), document
