"""One sitting of a run: begins or resumes it, and goes through it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from preludio import checkpoint
from preludio.corpus.shards import Shards
from preludio.errors import TrainError
from preludio.train import page, state
from preludio.train.config import TrainConfig, config_from_table
from preludio.train.distributed_context import distributed_context
from preludio.train.log import tensorboard_writer
from preludio.train.loop import LogRow, TrainingResult, save_run, train
from preludio.train.observers import Console, ConsoleObserver
from preludio.train.training_run import TrainingRun, compile_and_distribute

ONE_CTRL_C_SECONDS = 0.5  # torchrun passes on a Ctrl-C that the terminal has sent to its processes already


@dataclass(frozen=True)
class Setup:
    """What the command says."""

    config: TrainConfig
    data: Path
    out: Path
    resume: bool = False
    init: str | None = None  # a model whose weights are the first ones
    shard: bool = False  # each of torchrun's processes keeps a part of the model
    tensorboard: bool = False


def run(setup: Setup, console: Console) -> TrainingResult | None:
    """Trains as `setup` says; None in a process that does not lead.

    Raises:
        TrainError: settings, data or state that cannot be, or a loss that is not finite.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: of the user; the state was saved, if it was the first one.
    """
    with ExitStack() as stack:
        context = stack.enter_context(distributed_context(setup.shard))
        stop = stack.enter_context(stop_on_signals())
        if setup.tensorboard:
            tensorboard_writer()  # now rather than after the first step
        run = TrainingRun(setup.config, Shards.open(setup.data), context)
        _begin(run, setup)
        context.require_same(f"{setup.config} {run.progress.step} {run.progress.data_hash}")
        observer: ConsoleObserver | NullObserver = NullObserver()
        if not setup.resume:
            save_run(run, setup.out, state.FILE)  # whatever happens from now on, --resume can go on
        if context.is_main:
            observer = ConsoleObserver(setup.config, setup.out, run.progress.step, console, setup.tensorboard)
            stack.callback(observer.close)
            _print_introduction(run, setup, console)
        why_slow = compile_and_distribute(run)
        if why_slow and context.is_main:
            console.print_line(f"without the fused operator, so about half as fast: {why_slow}")
        result = train(run, setup.out, observer, stop)
        if not context.is_main:
            return None
        page.write_sample(setup.out, setup.config)
        return result


class NullObserver:
    """Watches a process that does not lead."""

    def on_step(self, row: LogRow) -> None: ...

    def on_saved(self, row: LogRow) -> None: ...


def resumed_config(out: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """The settings that the run in `out` had, changed by words such as `steps=100`.

    Raises:
        TrainError: there is no run, or a setting cannot be.
    """
    return config_from_table(state.load_settings(out / state.FILE), changes, str(out / state.FILE))


def _begin(run: TrainingRun, setup: Setup) -> None:
    path = setup.out / state.FILE
    if setup.resume and setup.init:
        raise TrainError("--init begins a run and --resume goes on with one: leave one of them out")
    if setup.resume:
        run.restore(path)
    elif path.exists():
        raise TrainError(f"{setup.out} holds a run already: go on with --resume, or name another folder")
    elif setup.init:
        run.load_weights(checkpoint.load(setup.init))


def _print_introduction(run: TrainingRun, setup: Setup, console: Console) -> None:
    split, config = run.train.split, setup.config
    where = f"from step {run.progress.step:,}" if setup.resume else "from the beginning"
    processes = f", {run.context.size} processes" if run.context.size > 1 else ""
    console.print_line(
        f"{config.model.n_parameters:,} parameters learn from {len(split):,} pieces ({len(split.ids):,} tokens) {where} "
        f"to step {config.steps:,} on {run.context.device.type}{processes}; Ctrl-C saves and stops"
    )
    if run.validation is None:
        console.print_line("the validation split is empty: nothing will tell when it begins to learn by heart")
    if config.compile:
        console.print_line("the first step compiles, which takes a minute")


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """Set by Ctrl-C or SIGTERM, which schedulers send: the step in hand is finished and saved. A second one does not wait."""
    asked, since = Event(), [0.0]

    def ask(*_: Any) -> None:
        if asked.is_set() and time.monotonic() - since[0] > ONE_CTRL_C_SECONDS:
            raise KeyboardInterrupt
        since[0] = since[0] or time.monotonic()
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
