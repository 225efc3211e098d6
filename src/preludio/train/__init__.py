"""Training: a configuration, data, a folder -> a model.

config    what a run is told            training_run  a run: one step of it, and all that it must remember
windows   what each step reads          loop      all the steps
muon      how matrices are updated      state     a run at rest
distributed_context  the processes of a run        session   from the command's words to the loop

log, observers, sample, curve, page          what people see of it
"""

from preludio.train.config import TrainConfig, read_config
from preludio.train.observers import Console
from preludio.train.session import Setup, resumed_config, run

__all__ = ["Console", "Setup", "TrainConfig", "read_config", "resumed_config", "run"]
