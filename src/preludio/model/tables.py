"""Tables that training makes from fixed features and small learned matrices, and that are plain arrays in a checkpoint.

    relative[d]    = own[d] + waves(d) @ W                all distances share 64 waves, of periods from 3 to 2 window
    embedding[i]   = own[i] + features(i) @ W_in          two keys, durations or velocities that are alike share what one learns
    unembedding[i] = own[i] + features(i) @ W_out

It is still relative global attention, and the model is the same function: only the gradient goes another way. `own` is learned for events;
for distances it is the table of the model that training began with, else zero. Fixed waves in event rows: Guo et al. 2022, "A
Domain-Knowledge-Inspired Music Embedding Space".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from preludio.checkpoint import ModelConfig
from preludio.tokens import NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT, VELOCITY, VOCAB_SIZE

N_WAVES = 64
SHORTEST_PERIOD = 3.0
PITCH_PERIODS = (2, 3, 4, 6, 12, 24, 48, 96, 192)  # semitones
LOG_DURATION_PERIODS = (1, 2, 4, 8, 14)  # doublings
DURATION_PERIODS = (4, 8, 16, 32, 64, 100, 200)  # steps
VELOCITY_PERIODS = (3, 5, 8, 16, 32, 64)  # bins
_N_KINDS, _N_CLASSES, _N_OCTAVES = 5, 12, 11


def distance_waves(window: int) -> Tensor:
    """(window, 64): cosines and sines of each distance, at 32 periods in geometric progression from 3 to 2 window."""
    ratio = 2 * window / SHORTEST_PERIOD
    periods = SHORTEST_PERIOD * ratio ** (torch.arange(N_WAVES // 2) / (N_WAVES // 2 - 1))
    return waves(torch.arange(window), periods.tolist())


def waves(values: Tensor, periods: Sequence[float]) -> Tensor:
    """(n, 2 periods): cosines, then sines."""
    angle = 2 * math.pi * values.double()[:, None] / torch.tensor(periods, dtype=torch.float64)
    return torch.cat([angle.cos(), angle.sin()], dim=1).float()


def event_features() -> Tensor:
    """(391, n_features): kind; pitch, for strikes and releases alike and once more for releases; duration; velocity."""
    pitch = torch.arange(NOTE_OFF - NOTE_ON)
    classes = torch.eye(_N_CLASSES)[pitch % _N_CLASSES]
    octaves = torch.eye(_N_OCTAVES)[pitch // _N_CLASSES]
    keys = torch.cat([waves(pitch, PITCH_PERIODS), classes, octaves], dim=1)
    steps = torch.arange(1, VELOCITY - TIME_SHIFT + 1)
    shifts = torch.cat([waves(steps.double().log2(), LOG_DURATION_PERIODS), waves(steps, DURATION_PERIODS)], dim=1)
    parts = [
        _kinds(),
        _placed(keys, NOTE_ON) + _placed(keys, NOTE_OFF),
        _placed(keys, NOTE_OFF),
        _placed(shifts, TIME_SHIFT),
        _placed(waves(torch.arange(PAD - VELOCITY), VELOCITY_PERIODS), VELOCITY),
    ]
    return torch.cat(parts, dim=1)


def _kinds() -> Tensor:
    kind = torch.bucketize(torch.arange(VOCAB_SIZE), torch.tensor([NOTE_OFF, TIME_SHIFT, VELOCITY, PAD]), right=True)
    return torch.eye(_N_KINDS)[kind]


def _placed(rows: Tensor, first: int) -> Tensor:
    table = torch.zeros(VOCAB_SIZE, rows.shape[1])
    table[first : first + len(rows)] = rows
    return table


N_FEATURES = event_features().shape[1]


def checkpoint_arrays(config: ModelConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays of a checkpoint from a model's parameters and buffers by name: each generated table becomes a plain one."""
    features, by_distance = event_features(), distance_waves(config.window)
    plain = dict(tensors)
    for name in [name for name in tensors if name.endswith("_by_feature")]:
        plain[name.removesuffix("_by_feature")] = plain[name.removesuffix("_by_feature")].float() + features @ plain.pop(name).float()
    for name in [name for name in tensors if name.endswith("_by_wave")]:
        plain[name.removesuffix("_by_wave")] = plain[name.removesuffix("_by_wave")].float() + by_distance @ plain.pop(name).float()
    return plain
