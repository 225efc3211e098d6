"""The processes of one run, and the device of each: alone, or started by `torchrun`.

Each process has a copy of the model (DistributedDataParallel), or, sharded, a part of each of its tensors (FSDP2, `fully_shard`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor, distribute_tensor

from preludio.errors import TrainError
from preludio.processors import usable_processors

if TYPE_CHECKING:
    from preludio.model import Transformer


@dataclass(frozen=True)
class DistributedContext:
    """This process among `size`."""

    rank: int
    size: int
    device: torch.device
    sharded: bool = False  # each process keeps a part of each tensor, not a copy

    @property
    def is_main(self) -> bool:
        """One process writes files and speaks."""
        return self.rank == 0

    def local_rows(self, n: int) -> slice:
        """The rows of a batch of n that are this process's."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def barrier(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

    def all_reduce_sum(self, value: float) -> float:
        """The sum of all processes' values; the same in each."""
        if self.size == 1:
            return value
        sum_ = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sum_)
        return sum_.item()

    def require_same(self, settings: str) -> None:
        """
        Raises:
            TrainError: the processes were told different things: another file on another machine, say.
        """
        if self.size == 1:
            return
        mine = torch.tensor(list(hashlib.sha256(settings.encode()).digest()), dtype=torch.uint8, device=self.device)
        all_ = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(all_, mine)
        if any(not torch.equal(mine, one) for one in all_):
            raise TrainError(
                "the processes of this run differ in their settings, their data or how far they came: "
                "give all machines the same command, the same data and, with --resume, the same state"
            )


@contextmanager
def distributed_context(sharded: bool = False) -> Iterator[DistributedContext]:
    """The world that torchrun's environment names: gloo between CPUs, NCCL between GPUs; or this process alone.

    Raises:
        TrainError: sharded, and alone.
    """
    torch.set_num_threads(min(torch.get_num_threads(), usable_processors()))  # PyTorch does not ask for the quota of a container
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        if sharded:
            raise TrainError("--shard spreads one model over several processes: start them with torchrun, as docs/training.md shows")
        yield DistributedContext(0, 1, device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield DistributedContext(distributed.get_rank(), size, device, sharded)
    finally:
        distributed.destroy_process_group()


def place_model(model: Transformer, context: DistributedContext) -> Transformer:
    """The model on the device; of a sharded one only this process's part, layer by layer, so that it need not fit on one device."""
    if not context.sharded:
        return model.to(context.device)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(context.device.type, (context.size,))
    for part in [*model.layers, model]:
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    return model


def gather_full(tensor: Tensor) -> Tensor:
    """All of a tensor of which this process may have a part. All processes must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Of a whole tensor, known in all processes, what this one keeps of `parameter`."""
    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)


def has_bfloat16(device_type: str) -> bool:
    """Whether matrix products in bfloat16 are quicker there than in float32."""
    return device_type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
