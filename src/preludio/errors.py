"""The exceptions that a user can cause. Each text says what is wrong, where, and what to do about it.

Everything here is the user's fault or the world's (a missing file, a full disk). Our own faults are plain `AssertionError`s.
"""


class _Located(Exception):
    """A text about a file: `place` names the file ("" if the text is about none, or names it itself), `reason` is the rest."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason = reason
        self.place = place


class PreludioError(_Located):
    """Base of all errors that the command line prints as one line, exiting with code 2."""


class MidiError(PreludioError):
    """Bytes that are not a Standard MIDI File, or one that goes beyond a stated limit."""


class PerformanceError(PreludioError):
    """Notes or pedals that no piano could play: negative times, a pitch over 127, velocity 0."""


class TokenError(PreludioError):
    """A token sequence that the grammar refuses (only under `strict=True`) or that is beyond repair."""


class CheckpointError(PreludioError):
    """A model that is missing, damaged, or made for another vocabulary."""


class RequestError(PreludioError):
    """A musical request that cannot be met: zero seconds, a temperature below 0, an empty prompt."""


class TrainError(PreludioError):
    """A training run that cannot go on: a setting that cannot be, no data, a state of another model, a loss that is not finite."""


class StudioError(PreludioError):
    """The studio cannot be opened."""


class OutputError(PreludioError):
    """A file that cannot be written."""


class PreludioWarning(_Located, UserWarning):
    """Something in the input was repaired or left out; the text says what."""


class RemarkWarning(PreludioWarning):
    """Nothing is wrong with the file, but something should be known of it: a pedal that is left out or never lifted, a long silence.

    Most recordings of a grand piano have such.
    """
