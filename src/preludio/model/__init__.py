"""The Transformer in PyTorch: what training trains and what every engine must equal."""

from preludio.model.attention import relative_attention
from preludio.model.transformer import Transformer

__all__ = ["Transformer", "relative_attention"]
