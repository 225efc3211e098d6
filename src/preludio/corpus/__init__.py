"""Where training data comes from."""

from preludio.corpus.maestro import encoded_split, midi_files

__all__ = ["encoded_split", "midi_files"]
