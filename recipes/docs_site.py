"""What the documentation's site has beside the pages in docs/: hooks of MkDocs, named in mkdocs.yml.

- The README in both languages, CONTRIBUTING and other Markdown files of the repository are pages.
- A source file that a page links to is a page: the link stays within the site.
- The API reference: a page for each package of `src/preludio`, from its docstrings.
- The command line: what `--help` prints.
- Equations become MathML, which browsers draw without a script.
- Every link, picture and anchor of the built site is looked up; a broken one is a warning, which `mkdocs build --strict` makes an error.
"""

from __future__ import annotations

import html
import logging
import os
import posixpath
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "preludio"
PAGES = {  # of files that lie outside docs/
    "README.md": "index.md",
    "README.es.md": "es.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "src/preludio/models/small/MODEL_CARD.md": "model-card.md",
    "src/preludio/render/piano/ATTRIBUTION.md": "piano.md",
}
LANGUAGES = {".py": "python", ".toml": "toml", ".c": "c", ".h": "c", ".js": "javascript", ".inc": "c", ".cpp": "cpp"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
warn = logging.getLogger("mkdocs.hooks.docs_site").warning


def on_config(config: Any) -> None:
    """Append the API reference to the navigation."""
    config.nav.append({"API reference": [{name: page} for name, page in api_pages().items()]})


def on_files(files: Any, config: Any) -> None:
    """Add the pages that are not files of docs/."""
    written = {page: (ROOT / path).read_text(encoding="utf-8") for path, page in PAGES.items()}
    written |= {page: api_page(name) for name, page in api_pages().items()}
    written["commands.md"] = command_page()
    for path in linked_sources():
        written[page_of(path)] = source_page(path)
    for page, text in written.items():
        file = File.generated(config, page, content=text)
        if page.startswith("source/"):
            file.inclusion = file.inclusion.NOT_IN_NAV
        files.append(file)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links of the repository into links of the site."""
    origins = {page: path for path, page in PAGES.items()}
    path = origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    if page.file.src_uri.startswith(("source/", "api/")):
        return markdown
    start = posixpath.dirname(page.file.src_uri) or "."
    return LINK.sub(lambda link: posixpath.relpath(page_of(target(path, link[1])), start) + (link[2] or ""), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Draw equations as MathML."""
    inline = r'<span class="arithmatex">\\\((.*?)\\\)</span>'
    content = re.sub(inline, lambda found: convert(html.unescape(found[1])), content, flags=re.DOTALL)
    block = r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>'
    return re.sub(block, lambda found: convert(html.unescape(found[1]), display="block"), content, flags=re.DOTALL)


def on_post_build(config: Any) -> None:
    """Look up every link, picture and anchor of the built site."""
    site = Path(config.site_dir)
    pages = {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}
    for name, page in pages.items():
        for link in page.links:
            if fault := broken(site, pages, name, link):
                warn(f"{name}: {link}: {fault}")


def broken(site: Path, pages: dict[str, Page], name: str, link: str) -> str:
    """Return what is wrong with a link of a page, "" if nothing is. Links to other sites are not followed."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
    if path.startswith("/"):
        return "begins with a slash: not a place of this site"
    if not (site / path).is_file():
        return f"there is no {path}"
    anchor = unquote(parts.fragment)
    if anchor and path in pages and anchor not in pages[path].anchors and not anchor.startswith("__"):
        return f"{path} has no #{anchor}"
    return ""


class Page(HTMLParser):
    """The links and anchors of one built page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == "id" or (name == "name" and tag == "a")):
                self.anchors.add(value)
            elif value and (name, tag) in (("href", "a"), ("href", "link"), ("src", "img"), ("src", "script")) and path_is_ours(value):
                self.links.add(value)


def path_is_ours(link: str) -> bool:
    """Whether a link is one that can be looked up: 404.html, which is served anywhere, has links from the root."""
    return not link.startswith(("/", "data:"))


def target(path: str, link: str) -> str:
    """Return the file of the repository that a link in another file leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def page_of(path: str) -> str:
    """Return the site's page of a file of the repository."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md"


def linked_sources() -> list[str]:
    """Return the files outside docs/ that pages link to, and that are no pages of their own."""
    documents = [*PAGES, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]
    found = {target(document, link[1]) for document in documents for link in LINK.finditer((ROOT / document).read_text(encoding="utf-8"))}
    return sorted(path for path in found if path not in PAGES and not path.startswith("docs/") and (ROOT / path).is_file())


def source_page(path: str) -> str:
    """Return a page with a source file's text."""
    text = (ROOT / path).read_text(encoding="utf-8")
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {path}\n\n`````{language} linenums=\"1\"\n{text}\n`````\n"


def api_pages() -> dict[str, str]:
    """Return each package's name and its page, in the order of the alphabet, the public names first."""
    packages = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    names = sorted(name for name in packages if not name.startswith("__"))
    return {"preludio": "api/preludio.md"} | {f"preludio.{name}": f"api/{name}.md" for name in names}


def api_page(name: str) -> str:
    """Return the reference of one package: a section for each of its modules."""
    lines = [f"# {name}"]
    for module in modules(name):
        lines += ["", f"::: {module}", "    options:", f"      members: {'true' if module != 'preludio' else 'false'}"]
    return "\n".join(lines) + "\n"


def modules(name: str) -> list[str]:
    """Return a package and its modules, those within its subpackages too."""
    folder = SOURCE.parent.joinpath(*name.split("."))
    if name == "preludio" or not folder.is_dir():
        return [name]
    paths = [path.relative_to(SOURCE.parent).with_suffix("") for path in sorted(folder.rglob("*.py"))]
    return sorted({".".join(path.parent.parts if path.name == "__init__" else path.parts) for path in paths})


def command_page() -> str:
    """Return what `--help` prints, for each command."""
    overview = printed("--help")
    commands = re.findall(r"^  ([a-z]+)  ", overview.partition("Commands:")[2], re.MULTILINE)
    parts = ["# The command line", "", "What `--help` prints.", "", "```text", overview, "```"]
    for command in commands:
        parts += ["", f"## preludio {command}", "", "```text", printed(command, "--help"), "```"]
    return "\n".join(parts) + "\n"


def printed(*arguments: str) -> str:
    """Return what the program prints, in lines of 100 characters."""
    environment = os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "PYTHONPATH": str(SOURCE.parent)}
    command = [sys.executable, "-m", "preludio", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True, cwd=ROOT).stdout.strip()
