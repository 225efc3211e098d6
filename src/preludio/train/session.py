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
from preludio.train.config import TrainConfig, changed
from preludio.train.log import tensorboard_writer
from preludio.train.loop import Result, Row, keep, train
from preludio.train.runs import Run, speed_up
from preludio.train.seen import Seen, Voice
from preludio.train.world import joined

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


def run(setup: Setup, voice: Voice) -> Result | None:
    """Trains as `setup` says; None in a process that does not lead.

    Raises:
        TrainError: settings, data or state that cannot be, or a loss that is not finite.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: of the user; the state was saved, if it was the first one.
    """
    with ExitStack() as stack:
        world = stack.enter_context(joined(setup.shard))
        stop = stack.enter_context(asked_to_stop())
        if setup.tensorboard:
            tensorboard_writer()  # now rather than after the first step
        run = Run(setup.config, Shards.open(setup.data), world)
        _begin(run, setup)
        world.require_same(f"{setup.config} {run.progress.step} {run.progress.data_hash}")
        watch: Seen | Nobody = Nobody()
        if not setup.resume:
            keep(run, setup.out, state.FILE)  # whatever happens from now on, --resume can go on
        if world.leads:
            watch = Seen(setup.config, setup.out, run.progress.step, voice, setup.tensorboard)
            stack.callback(watch.close)
            _introduce(run, setup, voice)
        why_slow = speed_up(run)
        if why_slow and world.leads:
            voice.say(f"without the fused operator, so about half as fast: {why_slow}")
        result = train(run, setup.out, watch, stop)
        if not world.leads:
            return None
        page.write(setup.out, setup.config)
        return result


class Nobody:
    """Watches a process that does not lead."""

    def step(self, row: Row) -> None: ...

    def kept(self, row: Row) -> None: ...


def resumed_config(out: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """The settings that the run in `out` had, changed by words such as `steps=100`.

    Raises:
        TrainError: there is no run, or a setting cannot be.
    """
    return changed(state.settings(out / state.FILE), changes, str(out / state.FILE))


def _begin(run: Run, setup: Setup) -> None:
    path = setup.out / state.FILE
    if setup.resume and setup.init:
        raise TrainError("--init begins a run and --resume goes on with one: leave one of them out")
    if setup.resume:
        run.restore(path)
    elif path.exists():
        raise TrainError(f"{setup.out} holds a run already: go on with --resume, or name another folder")
    elif setup.init:
        run.begin_with(checkpoint.load(setup.init))


def _introduce(run: Run, setup: Setup, voice: Voice) -> None:
    split, config = run.train.split, setup.config
    where = f"from step {run.progress.step:,}" if setup.resume else "from the beginning"
    processes = f", {run.world.size} processes" if run.world.size > 1 else ""
    voice.say(
        f"{config.model.n_parameters:,} parameters learn from {len(split):,} pieces ({len(split.ids):,} tokens) {where} "
        f"to step {config.steps:,} on {run.world.device.type}{processes}; Ctrl-C saves and stops"
    )
    if run.validation is None:
        voice.say("the validation split is empty: nothing will tell when it begins to learn by heart")
    if config.compile:
        voice.say("the first step compiles, which takes a minute")


@contextmanager
def asked_to_stop() -> Iterator[Event]:
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
