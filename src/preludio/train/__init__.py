"""Training: a configuration, data, a folder -> a model.

config    what a run is told            optimisers  who updates what
windows   what each step reads          state       a run at rest
world     the processes of a run        log         what a run tells
loop      one step, and all of them     session     from the command's words to the loop
"""

from preludio.train.config import TrainConfig, read_config
from preludio.train.session import Setup, run

__all__ = ["Setup", "TrainConfig", "read_config", "run"]
