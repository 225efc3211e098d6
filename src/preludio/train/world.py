"""The processes of one run, and the device of each: alone, or started by `torchrun`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class World:
    """This process among `size`."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """One process writes files and speaks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """The rows of a batch of n that are this process's."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined() -> Iterator[World]:
    """The world that torchrun's environment names: gloo between CPUs, NCCL between GPUs; or this process alone."""
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
