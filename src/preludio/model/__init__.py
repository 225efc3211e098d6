"""The Transformer in PyTorch: what training trains and what every engine must equal."""

from preludio.model.transformer import Transformer, relative_attention

__all__ = ["Transformer", "relative_attention"]
