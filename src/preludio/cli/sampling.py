"""The options of sampling as options of a command: their texts and ranges come from `preludio.sampling_options`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preludio.sampling_options import limits_of


def _option(name: str, metavar: str) -> Any:
    return typer.Option(metavar=metavar, help=limits_of(name).text)


Temperature = Annotated[float, _option("temperature", "T")]
TopK = Annotated[int, _option("top_k", "K")]
TopP = Annotated[float, _option("top_p", "P")]
MinP = Annotated[float, _option("min_p", "M")]
StrikeTopP = Annotated[float, _option("strike_top_p", "P")]
