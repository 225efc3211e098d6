"""Draws docs/packages.svg, the packages of `src/preludio` and which of them may import which, from the contracts in pyproject.toml.

    python recipes/package_diagram.py

Arrows that follow from others (a -> b -> c makes a -> c superfluous) are left out of the picture; `may_import` has them all.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "packages.svg"

BOX_WIDTH, BOX_HEIGHT, COLUMN, ROW = 118, 34, 150, 74  # pixels
WIDTH, MARGIN = 760, 24
COLUMNS = {"engine": 0.0, "checkpoint": 0.5, "tokens": 1.0, "midi": 2.0, "performance": 1.0, "files": 2.0, "processors": 3.0}
"""Columns 0 to 3 of packages that would otherwise stand in the way of an arrow; all others are centred in their layer."""
FOR_ALL = ("processors", "errors")  # every package above may import them: said in the legend instead of drawn
STYLE = (
    "rect.back{fill:#fff}rect.box{fill:#eef3fb;stroke:#41629e;rx:6}rect.torch{fill:#fdf0e3;stroke:#a8611c;rx:6}"
    "text{font:14px system-ui,sans-serif;fill:#1c2733;text-anchor:middle}text.note{font-size:12px;text-anchor:start}"
    "path{fill:none;stroke:#7b8794;stroke-width:1.2;marker-end:url(#tip)}#tip path{fill:#7b8794;stroke:none;marker-end:none}"
)
LEGEND = (
    f"An arrow: may import, and with it what lies below. Every package above may import {' and '.join(FOR_ALL)}.",
    "Orange: needs PyTorch; the command line loads these packages only when their command runs.",
)


class Contracts(NamedTuple):
    """What import-linter's contracts say of the packages, without the prefix "preludio."."""

    layers: list[list[str]]  # from the top down; a package may import what lies in a lower layer ...
    importers: dict[str, set[str]]  # ... and, if it is named here, only if it is one of these importers
    torch_free: set[str]  # packages that must not reach torch ...
    loaded_late: set[tuple[str, str]]  # ... but by these imports, which run when a command does


def read_contracts() -> Contracts:
    """Return the contracts of pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in settings if contract["type"] == "layers" and contract["containers"] == ["preludio"]]
    protected = [contract for contract in settings if contract["type"] == "protected"]
    [torch] = [contract for contract in settings if contract.get("forbidden_modules") == ["torch"]]
    late = [each.split(" -> ") for each in torch["ignore_imports"]]
    return Contracts(
        layers=[[name.strip(" ()") for name in layer.split("|")] for layer in layers],
        importers={_package(name): _packages(each["allowed_importers"]) for each in protected for name in each["protected_modules"]},
        torch_free=_packages(torch["source_modules"]),
        loaded_late={(_package(importer), _package(imported)) for importer, imported in late},
    )


def _package(module: str) -> str:
    return module.split(".")[1]


def _packages(modules: Any) -> set[str]:
    return {_package(module) for module in modules}


def may_import(contracts: Contracts) -> dict[str, list[str]]:
    """Return for each package, from the top down, the packages that the contracts let it import."""
    allowed: dict[str, list[str]] = {}
    for number, layer in enumerate(contracts.layers):
        below = [name for lower in contracts.layers[number + 1 :] for name in lower]
        for importer in layer:
            allowed[importer] = [name for name in below if _allows(contracts, importer, name)]
    return allowed


def _allows(contracts: Contracts, importer: str, imported: str) -> bool:
    if importer not in contracts.importers.get(imported, {importer}):
        return False
    brings_torch = imported not in contracts.torch_free
    return not (brings_torch and importer in contracts.torch_free and (importer, imported) not in contracts.loaded_late)


def reduced(allowed: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return the imports that do not follow from others."""
    reached: dict[str, set[str]] = {}
    for name in reversed(allowed):  # from the bottom up
        reached[name] = set(allowed[name]).union(*(reached[below] for below in allowed[name]))
    return [(name, below) for name in allowed for below in allowed[name] if not any(below in reached[other] for other in allowed[name])]


def picture(contracts: Contracts) -> str:
    """Return the SVG."""
    places = _places(contracts.layers)
    height = 2 * MARGIN + ROW * len(contracts.layers) + 20
    parts = [f'<rect class="back" width="{WIDTH}" height="{height}"/>']
    parts += [_arrow(places[name], places[below]) for name, below in reduced(may_import(contracts)) if below not in FOR_ALL]
    parts += [_box(name, *place, name in contracts.torch_free) for name, place in places.items()]
    parts += [f'<text class="note" x="{MARGIN}" y="{height - 32 + 18 * row}">{line}</text>' for row, line in enumerate(LEGEND)]
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    tip += '<path d="M0 0L8 4L0 8z"/></marker>'
    title = "The packages of Preludio and which may import which"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
    return "\n".join([head, f"<title>{title}</title>", f"<style>{STYLE}</style>", f"<defs>{tip}</defs>", *parts, "</svg>", ""])


def _places(layers: list[list[str]]) -> dict[str, tuple[float, float]]:
    """Return the middle of each package's box."""
    return {
        name: (WIDTH / 2 + COLUMN * (COLUMNS.get(name, column + (4 - len(layer)) / 2) - 1.5), MARGIN + ROW * row + BOX_HEIGHT / 2)
        for row, layer in enumerate(layers)
        for column, name in enumerate(layer)
    }


def _box(name: str, x: float, y: float, torch_free: bool) -> str:
    rectangle = f'<rect class="{"box" if torch_free else "torch"}" x="{x - BOX_WIDTH / 2:g}" y="{y - BOX_HEIGHT / 2:g}"'
    return f'{rectangle} width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/><text x="{x:g}" y="{y + 5:g}">{name}</text>'


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    shift = max(-0.4, min(0.4, (to_x - x) / 400)) * BOX_WIDTH  # so that arrows leave and arrive at places of their own
    x, y, to_x, to_y = x + shift, y + BOX_HEIGHT / 2, to_x - shift, to_y - BOX_HEIGHT / 2
    middle = (y + to_y) / 2
    return f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}"/>'


def main() -> None:
    PICTURE.write_text(picture(read_contracts()), encoding="utf-8")
    for name, below in may_import(read_contracts()).items():
        print(f"{name}: {', '.join(below) or 'nothing'}")


if __name__ == "__main__":
    main()
