"""The native engine beyond the laws of all engines: one result however it is computed, and nothing leaks or breaks, whatever is done."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_engine import RELATED, TINY, assert_equal_logits, needs_native, random_checkpoint, random_ids

from preludio.checkpoint import Checkpoint, ModelConfig
from preludio.compose import Composer, Piece, Request
from preludio.compose.sampling import Filters, TokenSampler
from preludio.engine.native import PRECISIONS, NativeEngine, NativeSession, default_threads, sample_one
from preludio.engine.native.library import library
from preludio.engine.numpy_engine import REWIND, NumpyEngine
from preludio.errors import RequestError

pytestmark = needs_native

# No size is a multiple of anything that the kernels like.
ODD = ModelConfig(d_model=210, n_heads=3, n_layers=2, d_ff=150, window=100, relations=True)
WIDE_HEADS = ModelConfig(d_model=160, n_heads=2, n_layers=1, d_ff=64, window=70, relative_per_head=True)
# Its steps are long enough to do something beside them.
LONG_STEPS = ModelConfig(d_model=256, n_heads=4, n_layers=6, d_ff=1024, window=300, relations=True)
INSTRUCTIONS = ["plain", "avx2", "avx2vnni", "avx512"]

each_precision = pytest.mark.parametrize("precision", PRECISIONS)


def instructions_here() -> list[str]:
    return [name for name in INSTRUCTIONS if library().has_instructions(name.encode())]


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Bytes in use by engines and sessions that this test made; none may be left."""
    gc.collect()
    before = library().memory_used()
    yield lambda: library().memory_used() - before
    gc.collect()
    assert library().memory_used() == before


def side_by_side(n: int, play: Callable[[int], None]) -> None:
    """Calls it with 0 ... n - 1, each in a thread of its own."""
    threads = [threading.Thread(target=play, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hammered_by_two(call: Callable[[int], object]) -> int:
    """How many of 600 calls from the threads 0 and 1 were answered; all others were refused, since the session was at work in the other."""
    answered, refused = [], []

    def hammer(thread: int) -> None:
        for _ in range(300):
            try:
                answered.append(call(thread))
            except AssertionError as error:
                refused.append(str(error))

    side_by_side(2, hammer)
    assert len(answered) + len(refused) == 600
    assert set(refused) <= {"the session is at work in another thread"}
    return len(answered)


@pytest.mark.parametrize("config", [ODD, WIDE_HEADS])
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_every_instruction_set_gives_the_reference_for_odd_sizes(config: ModelConfig, instructions: str) -> None:
    if instructions not in instructions_here():
        pytest.skip(f"this processor has no {instructions}")
    checkpoint, ids = random_checkpoint(config), random_ids(2, 330)
    session = NativeEngine(checkpoint, "float32", 2, instructions).session(2)
    ours = np.concatenate([session.feed_all(ids[:, :301]), *(session.step(ids[:, t])[:, None] for t in range(301, 330))], axis=1)
    assert_equal_logits(ours, NumpyEngine(checkpoint).session(2).feed_all(ids))


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("relations", [False, True])
@pytest.mark.parametrize(("precision", "worst"), [("bfloat16", 0.02), ("int8", 0.06)])
def test_smaller_numbers_come_near(precision: str, worst: float, relations: bool, instructions: str) -> None:
    """Root mean square error, as a share of the logits' spread, for weights of the size that training starts from."""
    if instructions not in instructions_here():
        pytest.skip(f"this processor has no {instructions}")
    config = ModelConfig(d_model=128, n_heads=2, n_layers=3, d_ff=512, window=100, relations=relations)
    plain = random_checkpoint(config)
    arrays = {name: array * np.float32(0.25 if array.ndim > 1 else 1) for name, array in plain.arrays.items()}
    checkpoint = Checkpoint(config, arrays, {})
    ids = random_ids(1, 250)
    ours = NativeEngine(checkpoint, precision, 1, instructions).session().feed_all(ids)
    exact = NumpyEngine(checkpoint).session().feed_all(ids)
    assert np.sqrt(np.mean((ours - exact) ** 2)) < worst * np.std(exact)


@each_precision
@pytest.mark.parametrize("config", [ODD, dataclasses.replace(TINY, relative_per_head=True)])
def test_the_same_bits_for_any_threads_batch_and_blocks(precision: str, config: ModelConfig) -> None:
    checkpoint, ids = random_checkpoint(config), random_ids(5, 300)
    together = NativeEngine(checkpoint, precision, threads=1).session(5).feed_all(ids)
    for threads in (2, 3, 7):
        session = NativeEngine(checkpoint, precision, threads).session()
        alone = [session.feed_all(ids[3:4, :97]), *(session.step(ids[3:4, t])[:, None] for t in range(97, 300))]
        assert np.array_equal(np.concatenate(alone, axis=1)[0], together[3])


def following(session: NativeSession, ids: np.ndarray) -> None:
    """Has the session draw ids (batch, n), each in the step that the one before began; the last one's is under way."""
    session.begin_step(ids[:, 0].tolist())
    for column in ids[:, 1:].T.tolist():
        assert session.draw([TokenSampler(Filters(), allowed=1 << token, uniform=0.5) for token in column]) == column


@each_precision
@pytest.mark.parametrize("config", [ODD, dataclasses.replace(TINY, relative_per_head=True)])
def test_the_same_bits_whoever_leads_a_step(precision: str, config: ModelConfig) -> None:
    checkpoint, ids = random_checkpoint(config), random_ids(5, 200)
    stepped = NativeEngine(checkpoint, precision, threads=1).session(5)
    stepped.feed(ids[:, :-1])
    logits = stepped.step(ids[:, -1])
    for threads in (1, 2, 3, 7):
        session = NativeEngine(checkpoint, precision, threads).session(5)
        following(session, ids[:, :-1])
        fork = session.fork([3])  # of a step that is under way
        assert np.array_equal(session.step(ids[:, -1]), logits)
        assert np.array_equal(fork.step(ids[3:4, -1]), logits[3:4])


def test_one_seed_is_one_piece_for_any_threads() -> None:
    checkpoint = random_checkpoint(ODD)
    pieces = [Composer(NativeEngine(checkpoint, "int8", threads)).takes(Request(seconds=4, variations=3)) for threads in (1, 2, 3, 7)]
    assert all(piece == pieces[0] for piece in pieces)


@each_precision
@pytest.mark.parametrize("config", [TINY, RELATED])
def test_more_sequences_than_go_through_at_once(precision: str, config: ModelConfig) -> None:
    engine, ids = NativeEngine(random_checkpoint(config), precision, 2), random_ids(300, 4)
    many = engine.session(300).feed_all(ids)
    assert np.array_equal(many[[0, 255, 256, 299]], engine.session(4).feed_all(ids[[0, 255, 256, 299]]))


@each_precision
def test_forks_share_and_part(precision: str, memory: Callable[[], int]) -> None:
    """Ten continuations of a prompt of 700: the prompt is there once, but for the last page of each."""
    engine, prompt = NativeEngine(random_checkpoint(dataclasses.replace(TINY, window=2048)), precision, 2), random_ids(1, 700)
    session = engine.session()
    session.feed(prompt)
    one = memory()
    forks = session.fork([0] * 10)
    assert memory() - one < 10_000
    more = random_ids(10, 5, seed=3)
    branched = forks.feed_all(more)
    assert memory() - one < 10 * one
    del forks
    for row in (0, 9):
        fork = session.fork([0])
        assert np.array_equal(fork.feed_all(more[row : row + 1])[0], branched[row])
    assert np.array_equal(session.step(more[4:5, 0]), branched[4:5, 0])


@each_precision
@pytest.mark.parametrize("config", [TINY, RELATED])
def test_what_forks_share_is_read_together_and_gives_the_same_bits(precision: str, config: ModelConfig) -> None:
    """Neighbours that share all pages, some, or none; alone, each reads its own."""
    engine = NativeEngine(random_checkpoint(dataclasses.replace(config, window=700)), precision, 2)
    session, rows = engine.session(2), [0, 1, 1, 0, 0, 0, 0, 1, 0]
    session.feed(random_ids(2, 600))
    forks, more = session.fork(rows), random_ids(len(rows), 300, seed=3)
    together = np.stack([forks.step(more[:, t]) for t in range(300)], axis=1)
    for row in (0, 2, 5, 8):
        assert np.array_equal(session.fork([rows[row]]).feed_all(more[row : row + 1])[0], together[row])


@pytest.mark.parametrize("config", [TINY, RELATED])
def test_memory_is_flat_however_long_a_piece_gets(config: ModelConfig, memory: Callable[[], int]) -> None:
    engine = NativeEngine(random_checkpoint(config), "int8", 2)
    session = engine.session(2)
    session.feed(random_ids(2, 2000))
    full = memory()
    for turn in range(30):
        session.feed(random_ids(2, 1000, seed=turn))
        session.fork([1, 0, 1]).step(np.zeros(3, dtype=np.int64))
        session.rewind(REWIND)
    assert memory() <= full + 3 * 10**6  # the pages of the last forks, kept for the next
    again = memory()
    for turn in range(30):
        session.feed(random_ids(2, 1000, seed=turn))
        session.fork([1, 0, 1]).step(np.zeros(3, dtype=np.int64))
        session.rewind(REWIND)
    assert memory() == again


def test_a_session_outlives_the_name_of_its_engine(memory: Callable[[], int]) -> None:
    session = NativeEngine(random_checkpoint(TINY), "float32", 2).session()
    gc.collect()
    assert session.feed(random_ids(1, 10)).shape == (1, 391)
    assert memory() > 0


def test_composers_side_by_side_do_not_disturb_each_other(memory: Callable[[], int]) -> None:
    """Four threads on two engines, which share one pool: each gets what it gets alone."""
    engines = [NativeEngine(random_checkpoint(ODD, seed), "int8", 3) for seed in range(2)]
    ids = random_ids(4, 400)
    alone = [engines[row % 2].session().feed_all(ids[row : row + 1]) for row in range(4)]
    found: dict[int, np.ndarray] = {}

    def play(row: int) -> None:
        session = engines[row % 2].session()
        found[row] = np.stack([session.step(ids[row : row + 1, t]) for t in range(400)], axis=1)

    side_by_side(4, play)
    assert all(np.array_equal(found[row], alone[row]) for row in range(4))
    assert memory() > 0


def test_a_session_at_work_in_another_thread_is_not_touched() -> None:
    """Two threads that step one session: each step is whole, or refused."""
    session = NativeEngine(random_checkpoint(ODD), "float32", 2).session()
    stepped = hammered_by_two(lambda _: session.step(np.zeros(1, dtype=np.int64)))
    assert session.position == stepped


def test_composers_side_by_side_compose_what_they_compose_alone(memory: Callable[[], int]) -> None:
    """Their steps are under way at once, and one of them has the pool."""
    engines = [NativeEngine(random_checkpoint(ODD, seed), "int8", 3) for seed in range(2)]
    requests = [Request(seconds=3, seed=seed, variations=1 + seed % 2) for seed in range(4)]
    alone = [Composer(engines[seed % 2]).takes(request) for seed, request in enumerate(requests)]
    found: dict[int, list[Piece]] = {}

    def play(seed: int) -> None:
        found[seed] = Composer(engines[seed % 2]).takes(requests[seed])

    side_by_side(4, play)
    assert [found[seed] for seed in range(4)] == alone
    assert memory() > 0


def test_a_step_may_be_begun_in_one_thread_and_drawn_from_in_others() -> None:
    """Two at once, each of which allows an id of its own: each draw is whole, or refused.

    ThreadSanitizer saw that a thread wrote how to draw where the other one's call was reading it.
    """
    session = NativeEngine(random_checkpoint(ODD), "float32", 2).session()
    draws = [TokenSampler(Filters(), allowed=1 << thread, uniform=0.5) for thread in range(2)]
    session.begin_step([7])
    drawn: set[tuple[int, int]] = set()
    n_drawn = hammered_by_two(lambda thread: drawn.add((thread, session.draw([draws[thread]])[0])))
    assert session.position == n_drawn + 1
    assert drawn <= {(0, 0), (1, 1)}


def test_whatever_is_done_beside_a_step_that_is_under_way(memory: Callable[[], int]) -> None:
    """Asked, forked, fed, taken back, dropped at any moment of it: what it touches is there until it is done."""
    engine, ids = NativeEngine(random_checkpoint(LONG_STEPS), "int8", 3), random_ids(2, 12)
    quiet = engine.session(2)
    quiet.feed(ids[:, :-1])
    expected = quiet.step(ids[:, -1])
    for turn in range(60):
        session = engine.session(2)
        session.feed(ids[:, :10])
        session.begin_step(ids[:, 10].tolist())
        time.sleep(turn % 10 / 10_000)
        if turn % 6 == 0:
            assert session.position == 11
        elif turn % 6 == 1:
            assert session.rewindable == 11
            session.rewind(1)
            session.begin_step(ids[:, 10].tolist())
        elif turn % 6 == 2:
            session = session.fork([0, 1])
        elif turn % 6 == 3:
            other = engine.session(2)
            other.begin_step(ids[:, 0].tolist())
        elif turn % 6 == 4:
            session.begin_step(ids[:, 11].tolist())
            session.rewind(1)
        else:
            del session
            gc.collect()
            continue
        assert np.array_equal(session.step(ids[:, 11]), expected)
    assert memory() > 0


def _logits_in_a_child(session: NativeSession, ids: np.ndarray, send: multiprocessing.connection.Connection) -> None:
    send.send(session.feed_all(ids))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    """Threads do not follow into a forked process: a step there once waited for them for ever."""
    session, ids = NativeEngine(random_checkpoint(ODD), "int8", 3).session(), random_ids(1, 50)
    session.feed(ids)
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_logits_in_a_child, args=(session, ids, send))
    child.start()
    here = session.feed_all(ids)
    assert receive.poll(60), "the child hangs"
    assert np.array_equal(receive.recv(), here)
    child.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_that_forks_beside_a_step_has_it_whole_on_both_sides() -> None:
    session, ids = NativeEngine(random_checkpoint(LONG_STEPS), "int8", 3).session(), random_ids(1, 50)
    context = multiprocessing.get_context("fork")
    for turn in range(8):
        session.begin_step(ids[:, turn].tolist())
        receive, send = context.Pipe(duplex=False)
        child = context.Process(target=_logits_in_a_child, args=(session, ids[:, turn + 1 :], send))
        child.start()
        assert receive.poll(60), "the child hangs"
        assert np.array_equal(receive.recv(), session.fork([0]).feed_all(ids[:, turn + 1 :]))
        child.join()


def test_a_closed_stream_leaves_nothing(memory: Callable[[], int]) -> None:
    engine = NativeEngine(random_checkpoint(TINY), "int8", 2)
    stream = Composer(engine).stream(Request(seconds=600, variations=3))
    idle = memory()
    next(stream)
    assert memory() > idle
    del stream
    gc.collect()
    kept = memory()  # scratch and pages that the engine keeps for the next
    for seed in range(3):
        stream = Composer(engine).stream(Request(seconds=600, variations=3, seed=seed))
        next(stream)
        del stream
        gc.collect()
        assert memory() <= kept + 10**6


INTERRUPTED = """
import numpy as np
from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.engine.native import NativeEngine
from preludio.engine.native.library import library
config = ModelConfig(d_model=128, n_heads=2, n_layers=3, d_ff=512)
arrays = {name: np.full(shape, 0.01, np.float32) for name, shape in array_shapes(config).items()}
session = NativeEngine(Checkpoint(config, arrays, {}), "int8", 2).session()
try:
    print("working", flush=True)
    while True:
        session.feed(np.zeros((1, 5000), dtype=np.int64))
except KeyboardInterrupt:
    session.feed(np.zeros((1, 3), dtype=np.int64))  # it is as good as ever
del session
print(library().memory_used(), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_is_heard_in_the_middle_of_a_prompt_and_leaks_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "working\n"
        program.send_signal(signal.SIGINT)
        assert program.stdout.read() == "0\n"
    assert program.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_is_heard_while_a_piece_is_composed_and_leaks_nothing() -> None:
    program_text = INTERRUPTED.replace("session.feed(np.zeros((1, 5000), dtype=np.int64))", "session.begin_step([0])")
    with subprocess.Popen([sys.executable, "-c", program_text], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "working\n"
        time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        assert program.stdout.read() == "0\n"
    assert program.returncode == 0


def test_a_program_may_end_beside_a_step() -> None:
    program_text = INTERRUPTED.partition("try:")[0] + "session.begin_step([0])\nprint('done')\n"
    done = subprocess.run([sys.executable, "-c", program_text], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_weights_that_are_not_finite_or_misshapen_are_refused(memory: Callable[[], int]) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        layers = ["layers.1.relative", "layers.0.feed_forward_out", "layers.1.attention_norm"]
        for name in ("embedding", *layers, "norm", "unembedding", "relations", "input_relations"):
            checkpoint = random_checkpoint(RELATED)
            checkpoint.arrays[name].flat[-1] = bad
            with pytest.raises(AssertionError, match="not finite"):
                NativeEngine(checkpoint)
    misshapen: list[Any] = [np.zeros((3, 3), np.float32), np.zeros((48, 16)), np.zeros((16, 48), np.float32)]
    for array in misshapen:
        checkpoint = random_checkpoint(TINY)
        checkpoint.arrays["layers.0.qkv"] = array
        with pytest.raises(AssertionError, match=r"layers\.0\.qkv is"):
            NativeEngine(checkpoint)
    assert memory() == 0


def test_arrays_in_any_memory_order_are_read_right() -> None:
    checkpoint, ids = random_checkpoint(TINY), random_ids(1, 20)
    turned = Checkpoint(TINY, {name: np.asfortranarray(array) for name, array in checkpoint.arrays.items()}, {})
    straight, again = (NativeEngine(one).session().feed_all(ids) for one in (checkpoint, turned))
    assert np.array_equal(straight, again)


def test_wrong_use_is_an_error_and_not_a_crash(memory: Callable[[], int]) -> None:
    session = NativeEngine(random_checkpoint(TINY)).session(2)
    for ids in ([[0], [391]], [[0], [-1]], [[0], [2**31 - 1]]):
        with pytest.raises(AssertionError, match="outside the vocabulary"):
            session.feed(np.array(ids))
    for wrong in (np.zeros((3, 1), np.int64), np.zeros((2, 0), np.int64), np.zeros(2, np.int64)):
        with pytest.raises(AssertionError, match="shape"):
            session.feed(wrong)
    for rows in ([], [2], [-1]):
        with pytest.raises(AssertionError, match="rows"):
            session.fork(rows)
    with pytest.raises(AssertionError, match="cannot take back"):
        session.rewind(1)
    draw = TokenSampler(Filters(), allowed=1, uniform=0.5)
    for two, wrong_part in (([0], "1 ids"), ([0, 391], "outside")):
        with pytest.raises(AssertionError, match=wrong_part):
            session.begin_step(two)
    with pytest.raises(AssertionError, match="no step has begun"):
        session.draw([draw, draw])
    assert session.position == 0
    session.begin_step([0, 0])
    with pytest.raises(AssertionError, match="1 draws"):
        session.draw([draw])
    with pytest.raises(AssertionError, match="no id is allowed"):
        session.draw([draw, TokenSampler(Filters(), allowed=0, uniform=0.5)])
    assert session.draw([draw, draw]) == [0, 0]
    assert session.position == 2
    session.rewind(1)
    with pytest.raises(AssertionError, match="no step has begun"):
        session.draw([draw, draw])
    with pytest.raises(AssertionError, match="no id is allowed"):
        sample_one(np.zeros(391, dtype=np.float32), TokenSampler(Filters(), allowed=0, uniform=0.5))
    assert memory() > 0


WRONG_USES = """
import numpy as np
from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.compose.sampling import Filters, TokenSampler
from preludio.engine.native import MemoryReader, NativeEngine
config = ModelConfig(d_model=16, n_heads=2, n_layers=1, d_ff=32, window=24)
arrays = {name: np.ones(shape, np.float32) for name, shape in array_shapes(config).items()}
engine = NativeEngine(Checkpoint(config, arrays, {}))
session, draw = engine.session(2), TokenSampler(Filters(), allowed=1, uniform=0.5)
short = Checkpoint(config, arrays | {"layers.0.qkv": np.ones((1, 16), np.float32)}, {})
uses = [
    lambda: NativeEngine(short), lambda: engine.session(0), lambda: engine.session(2**32 + 1),
    lambda: MemoryReader(0), lambda: MemoryReader(-1),
    lambda: session.feed(np.zeros((1, 1), int)), lambda: session.feed_all(np.zeros((3, 1), int)),
    lambda: session.feed(np.zeros((2, 0), int)),
    lambda: session.step(np.zeros(1, int)), lambda: session.step(np.zeros(3, int)), lambda: session.begin_step([0, 0, 0]),
    lambda: session.fork([]), lambda: session.fork([-1]), lambda: session.fork([2]), lambda: session.fork([[0]]), lambda: session.rewind(1),
    lambda: session.draw([draw]), lambda: session.draw([draw] * 3),
]
assert False, "the interpreter keeps its asserts: this tests nothing"
for use in uses:
    try:
        use()
    except AssertionError:
        print("refused")
    else:
        print("accepted")
"""


def test_wrong_lengths_are_refused_where_python_drops_its_asserts() -> None:
    """Under `python -O` a batch of three once read ids and wrote logits beyond the arrays of a session of two."""
    done = subprocess.run([sys.executable, "-O", "-c", WRONG_USES], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["refused"] * 18
    assert done.stderr == ""


def test_wrong_wishes_name_the_choices() -> None:
    checkpoint = random_checkpoint(TINY)
    with pytest.raises(RequestError, match="bfloat16"):
        NativeEngine(checkpoint, "int4")
    with pytest.raises(RequestError, match="64"):
        NativeEngine(checkpoint, threads=0)
    with pytest.raises(RequestError, match="neon9"):
        NativeEngine(checkpoint, instructions="neon9")


def test_a_step_must_read_weights_keys_values_and_distances() -> None:
    """base at 2,000: 18.9 M weights, 2 x 6 layers x 2,000 x 512 keys and values, 6 tables x 2,000 x 64."""
    from preludio.checkpoint import SIZES, array_shapes

    config = dataclasses.replace(SIZES["base"], n_layers=1, relations=True)
    checkpoint = Checkpoint(config, {name: np.zeros(shape, np.float32) for name, shape in array_shapes(config).items()}, {})
    weights, cached, distances = 12 * 512 * 512 + (391 + 1076) * 512, 2 * 2000 * 512, 2000 * 64
    scales = 5 * 512 + 2048 + 391 + 1076 + 2000 * (2 * 8 + 1)  # of rows; of each position's keys and values, by head, and of each distance
    assert NativeEngine(checkpoint, "int8").step_bytes(2000) == weights + distances + cached + 4 * scales
    eight = 7 * (cached + 4 * 2000 * 2 * 8)
    assert NativeEngine(checkpoint, "int8").step_bytes(2000, 8) == weights + distances + cached + 4 * scales + eight
    assert NativeEngine(checkpoint, "bfloat16").step_bytes(2000) == 2 * (weights + distances + cached)
    assert NativeEngine(checkpoint, "float32").step_bytes(5000) == 4 * (weights + (distances + cached) * 2048 // 2000)


def test_threads_by_default_are_no_more_than_help() -> None:
    assert 1 <= default_threads() <= 4
