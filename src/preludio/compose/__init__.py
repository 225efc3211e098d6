"""A musical request -> a stream of notes."""

from preludio.compose.composer import Composer, Piece
from preludio.compose.request import Request
from preludio.compose.take import Note

__all__ = ["Composer", "Note", "Piece", "Request"]
