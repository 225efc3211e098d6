"""How well a model predicts real music, and how near the music that it makes comes to it: likelihood here, `evaluate.music` beside it.

    pieces = open_pieces("maestro-v3.0.0", "validation")
    found = likelihood(EngineScore(checkpoint.load("small")), pieces)
    print(found.nats_per_token, table([found]))

A score is any function from ids to negative log-probabilities, so a PyTorch model in training is summed by the same code. No torch here.
"""

from preludio.evaluate.figures import Estimate, Likelihood
from preludio.evaluate.originality import KnownRuns, SharedRun
from preludio.evaluate.pieces import TokenisedPiece, TokenisedPieces, open_pieces, pieces_of
from preludio.evaluate.protocol import likelihood, likelihoods
from preludio.evaluate.report import table
from preludio.evaluate.score import EngineScore, Score, negative_log_likelihood
from preludio.evaluate.segmentation import PAPER_SEGMENTATION, ScoredSpan, Segmentation

__all__ = [
    "PAPER_SEGMENTATION",
    "EngineScore",
    "Estimate",
    "KnownRuns",
    "Likelihood",
    "Score",
    "ScoredSpan",
    "Segmentation",
    "SharedRun",
    "TokenisedPiece",
    "TokenisedPieces",
    "likelihood",
    "likelihoods",
    "negative_log_likelihood",
    "open_pieces",
    "pieces_of",
    "table",
]
