"""The documents agree with the code: quoted lines, named files and tests, the table of packages, the sizes of models, anchors."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from preludio.checkpoint import SIZES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ARCHITECTURE, MODEL, CONTRIBUTING = DOCS / "architecture.md", DOCS / "model.md", ROOT / "CONTRIBUTING.md"
DOCUMENTS = [ROOT / "README.md", ROOT / "README.es.md", CONTRIBUTING, *sorted(DOCS.glob("*.md")), *sorted((ROOT / "src").rglob("*.md"))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def diagram() -> ModuleType:
    spec = importlib.util.spec_from_file_location("package_diagram", ROOT / "recipes" / "package_diagram.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quotes(document: Path) -> list[tuple[str, list[str]]]:
    """The blocks of a document that say from which file they are: (file, lines)."""
    blocks = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [(path, text.splitlines()) for path, text in blocks]


@pytest.mark.parametrize("document", [ARCHITECTURE, MODEL], ids=named)
def test_quoted_lines_are_in_their_files_in_this_order(document: Path) -> None:
    for path, lines in quotes(document):
        source = iter((ROOT / path).read_text(encoding="utf-8").splitlines())
        for line in lines:
            assert line in source, f"{path} has no such line, or not in this order: {line}"  # `in` goes on from the line found last


def test_the_model_is_quoted() -> None:
    assert len(quotes(MODEL)) >= 5


@pytest.mark.parametrize("document", [ARCHITECTURE, MODEL, CONTRIBUTING], ids=named)
def test_named_files_and_tests_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:src/preludio|tests|recipes|benchmarks|docs|\.ci)/[\w./-]+)", text):
        assert (ROOT / path).exists(), f"{document.name} names {path}"
    for path, test in re.findall(r"`(tests/\w+\.py)::(\w+)`", text):
        assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), f"{path} has no {test}"


def test_every_law_names_a_test() -> None:
    laws = ARCHITECTURE.read_text(encoding="utf-8").partition("## The laws")[2].partition("## Where to add")[0]
    rows = [line for line in laws.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    assert all("`tests/test_" in row for row in rows)


def test_the_table_of_packages_is_the_contracts() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    module = diagram()
    allowed = module.may_import(module.read_contracts())
    expected = {name: ", ".join(below) or "nothing" for name, below in allowed.items() if name != "__main__"}
    assert dict(rows) == expected, "python recipes/package_diagram.py prints the last column of the table"


def test_the_picture_of_the_packages_is_the_contracts() -> None:
    module = diagram()
    drawn = (DOCS / "packages.svg").read_text(encoding="utf-8")
    assert drawn == module.picture(module.read_contracts()), "run python recipes/package_diagram.py"


def test_an_import_that_follows_from_others_is_not_drawn() -> None:
    assert diagram().reduced({"a": ["b", "c"], "b": ["c"], "c": []}) == [("a", "b"), ("b", "c")]


def test_the_sizes_of_the_models() -> None:
    row = r"^\| `(\w+)` \| " + r" \| ".join([r"([\d,]+)"] * 6) + r" \|$"
    rows = re.findall(row, MODEL.read_text(encoding="utf-8"), re.MULTILINE)
    found = {name: [int(number.replace(",", "")) for number in numbers] for name, *numbers in rows}
    assert found == {
        name: [
            *(size.d_model, size.n_heads, size.n_layers, size.d_ff, size.n_parameters),
            dataclasses.replace(size, relations=True).n_parameters,
        ]
        for name, size in SIZES.items()
    }


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as Markdown renderers make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_anchors_are_headings(document: Path) -> None:
    for path, anchor in re.findall(r"\]\(([^)#:\s]*)#([^)\s]+)\)", document.read_text(encoding="utf-8")):
        there = (document.parent / path).resolve() if path else document
        assert anchor in anchors(there), f"{document.name} links to {path}#{anchor}, which is no heading there"
