"""A model at rest: what is saved is loaded, and whatever else lies in the files gives one line, soon and with little memory."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_safetensors

from preludio import checkpoint
from preludio.checkpoint import CARD_FILE, WEIGHTS_FILE, Arrays, Checkpoint, ModelConfig, array_shapes, load, save
from preludio.errors import CheckpointError, OutputError
from preludio.tokens import VOCABULARY_HASH

TINY = ModelConfig(d_model=8, n_heads=2, n_layers=2, d_ff=12, window=5)
SOON_SECONDS = 1.0
LITTLE_BYTES = 50 << 20

by_law = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_checkpoint(config: ModelConfig = TINY, **about: Any) -> Checkpoint:
    rng = np.random.default_rng(0)
    return Checkpoint(config, {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in array_shapes(config).items()}, about)


@cache
def good_files() -> tuple[bytes, bytes]:
    """The bytes of a sound card and its weights."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save(folder, random_checkpoint(name="good"))
        return Path(folder, CARD_FILE).read_bytes(), Path(folder, WEIGHTS_FILE).read_bytes()


def write(folder: Path, card: bytes | None = None, weights: bytes | None = None) -> Path:
    """A model directory of these bytes; what is not given is sound."""
    good_card, good_weights = good_files()
    (folder / CARD_FILE).write_bytes(good_card if card is None else card)
    (folder / WEIGHTS_FILE).write_bytes(good_weights if weights is None else weights)
    return folder


def card_with(**changes: Any) -> bytes:
    return json.dumps(json.loads(good_files()[0]) | changes).encode()


def card_with_config(**changes: Any) -> bytes:
    return card_with(config=dataclasses.asdict(TINY) | changes)


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """A CheckpointError of one line of readable length with these words, soon, and nothing large in Python's memory."""
    load_once()
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            yield
    finally:
        seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 700, said[:1000]
    for word in words:
        assert word in said
    assert seconds < SOON_SECONDS
    assert peak < LITTLE_BYTES


@cache
def load_once() -> None:
    """Imports done, so that only the loading is timed."""
    with pytest.raises(CheckpointError):
        load("/nowhere")


# What is saved is loaded


@pytest.mark.parametrize("relative_per_head", [False, True])
def test_what_is_saved_in_float32_is_loaded_to_the_bit(tmp_path: Path, relative_per_head: bool) -> None:
    saved = random_checkpoint(dataclasses.replace(TINY, relative_per_head=relative_per_head), name="é", nll=1.9, data=["MAESTRO"])
    save(tmp_path / "new" / "folder", saved)
    loaded = load(tmp_path / "new" / "folder")
    assert loaded.config == saved.config
    assert loaded.about == saved.about
    assert list(loaded.arrays) == list(array_shapes(saved.config))
    for name, array in saved.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == np.float32
        assert loaded.arrays[name].flags.c_contiguous


def test_float16_is_half_as_large_and_close(tmp_path: Path) -> None:
    saved = random_checkpoint()
    save(tmp_path, saved, np.float16)
    assert (tmp_path / WEIGHTS_FILE).stat().st_size < 0.6 * len(good_files()[1]) + 1000
    loaded = load(tmp_path)
    for name, array in saved.arrays.items():
        np.testing.assert_allclose(loaded.arrays[name], array, rtol=2**-11)
        assert loaded.arrays[name].dtype == np.float32


def test_arrays_that_lie_strangely_in_memory_are_saved_as_they_read(tmp_path: Path) -> None:
    saved = random_checkpoint()
    arrays = {name: np.asfortranarray(array)[..., ::-1] for name, array in saved.arrays.items()}
    save(tmp_path, Checkpoint(TINY, arrays, {}))
    loaded = load(str(tmp_path))
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_a_model_of_which_nothing_is_said_loads(tmp_path: Path) -> None:
    card = json.loads(good_files()[0])
    del card["about"]
    assert load(write(tmp_path, json.dumps(card).encode())).about == {}


def test_settings_with_defaults_may_be_missing(tmp_path: Path) -> None:
    config = ModelConfig(d_model=8, n_heads=2, n_layers=1, d_ff=8)
    save(tmp_path, random_checkpoint(config))
    card = json.loads((tmp_path / CARD_FILE).read_bytes())
    del card["config"]["window"], card["config"]["relative_per_head"]
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    assert load(tmp_path).config == config


@pytest.mark.parametrize("name", sorted(checkpoint.SIZES))
def test_the_number_of_parameters_is_the_arrays_numbers(name: str) -> None:
    config = checkpoint.SIZES[name]
    assert config.n_parameters == sum(np.zeros(shape, dtype=np.bool_).size for shape in array_shapes(config).values())


def test_arrays_come_in_the_order_of_the_forward_pass() -> None:
    names = list(array_shapes(TINY))
    assert names[:3] == ["embedding", "layers.0.attention_norm", "layers.0.qkv"]
    assert names[-3:] == ["layers.1.feed_forward_out", "norm", "unembedding"]


# Saving is refused rather than loading


def arrays_with(**changes: Any) -> Arrays:
    return random_checkpoint().arrays | changes


@pytest.mark.parametrize(
    ("arrays", "dtype", "words"),
    [
        (arrays_with(norm=np.full(8, np.nan, np.float32)), np.float32, ["norm", "not finite"]),
        (arrays_with(norm=np.full(8, 7e4, np.float32)), np.float16, ["norm", "not finite"]),  # it was written, and never loaded again
        (arrays_with(norm=np.ones(9, np.float32)), np.float32, ["norm", "(9,)", "(8,)"]),
        (arrays_with(bias=np.ones(8, np.float32)), np.float32, ["bias", "not part"]),
        ({name: array for name, array in arrays_with().items() if name != "norm"}, np.float32, ["norm", "missing"]),
        (arrays_with(), np.float64, ["float64", "float32 or float16"]),  # likewise
        (arrays_with(), np.int8, ["int8", "float32 or float16"]),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, arrays: Arrays, dtype: Any, words: list[str]) -> None:
    with refused("this model", *words):
        save(tmp_path, Checkpoint(TINY, arrays, {}), dtype)
    assert list(tmp_path.iterdir()) == []


def test_words_that_json_lacks_leave_the_old_model_whole(tmp_path: Path) -> None:
    """The weights were written before the card failed: the new weights stood beside the old card."""
    write(tmp_path)
    with pytest.raises(TypeError):
        save(tmp_path, random_checkpoint(nll=np.float32(1.9)))
    assert ((tmp_path / CARD_FILE).read_bytes(), (tmp_path / WEIGHTS_FILE).read_bytes()) == good_files()


def test_a_place_that_cannot_be_written_leaves_the_old_model_whole(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / CARD_FILE).unlink()
    (tmp_path / CARD_FILE).mkdir()
    with pytest.raises(OutputError, match=CARD_FILE):
        save(tmp_path, random_checkpoint())
    assert sorted(path.name for path in tmp_path.iterdir()) == [CARD_FILE, WEIGHTS_FILE]
    assert (tmp_path / WEIGHTS_FILE).read_bytes() == good_files()[1]


# Names and places


@pytest.mark.parametrize("name", ["nonesuch", "", ".", "..", "/nowhere", "n" * 5000, "nul\0l", "a\nb", "~", "\udce9"])
def test_an_unknown_model_names_the_choices(name: str) -> None:
    """A name too long for a file system gave a traceback."""
    with refused("no model", ", ".join(checkpoint.bundled_models()) or "none", CARD_FILE, WEIGHTS_FILE):
        load(name)


def test_a_bundled_name_comes_before_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "BUNDLED", tmp_path / "models")
    save(tmp_path / "models" / "small", random_checkpoint(name="bundled"))
    save(tmp_path / "small", random_checkpoint(name="mine"))
    monkeypatch.chdir(tmp_path)
    assert checkpoint.bundled_models() == ["small"]
    assert load("small").about == load().about == {"name": "bundled"}
    assert load("./small").about == load(Path("small")).about == {"name": "mine"}
    with refused("name a bundled one (small)"):
        load("large")


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).unlink()
    with refused(name, str(tmp_path)):
        load(tmp_path)


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["folder", "pipe", "device"])
def test_neither_a_folder_nor_a_pipe_nor_a_device_is_a_file(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    """A pipe was waited for, and /dev/zero read until the memory was full."""
    write(tmp_path)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with refused(str(tmp_path)):
        load(tmp_path)


# The card


@pytest.mark.parametrize(
    "card",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 900 + b"]" * 900,
        b"\xff\xfe\xfd",
        b"\x80model",
        b"1" * 5000,
        b'"' + b"x" * 5000 + b'"',
        b" " * (1 << 20) + b"{}",
        b"{}",
        pickle.dumps({"format": 1}),
        card_with(format=2),
        card_with(format="1"),
        card_with(format=True),
        card_with(format=None),
        card_with(format=float("nan")),
        card_with(format={"x" * 1000: [1] * 1000}),
        card_with(about=[]),
        card_with(about=None),
        card_with(about="good"),
        card_with(config=None),
        card_with(config=[]),
        card_with(config={}),
        card_with(config="small"),
    ],
    ids=lambda card: repr(card[:25]),
)
def test_a_card_that_is_none(tmp_path: Path, card: bytes) -> None:
    with refused(CARD_FILE):
        load(write(tmp_path, card))


def test_values_nested_as_deep_as_json_goes_are_not_printed_whole(tmp_path: Path) -> None:
    """What is just not too deep to be read may be too deep to be printed."""
    for depth in range(880, 1000, 10):
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        for card in (b'{"format":%s}' % nested, card_with(config={"d_model": "NESTED"}).replace(b'"NESTED"', nested)):
            with refused(CARD_FILE):
                load(write(tmp_path, card))


@pytest.mark.parametrize("other", [None, "", 7, [], VOCABULARY_HASH[:-1], VOCABULARY_HASH.upper()])
def test_a_model_of_another_vocabulary_is_refused(tmp_path: Path, other: object) -> None:
    with refused(CARD_FILE, "another vocabulary", "use the program that trained it"):
        load(write(tmp_path, card_with(vocabulary_hash=other)))


@pytest.mark.parametrize("field", ["d_model", "n_heads", "n_layers", "d_ff", "window"])
@pytest.mark.parametrize("value", [0, -1, 65_537, 10**400, 1.5, 8.0, "8", None, True, [8], {"x" * 1000: 1}, float("nan"), float("inf")])
def test_a_setting_that_is_no_reasonable_number(tmp_path: Path, field: str, value: object) -> None:
    with refused(CARD_FILE, field, "whole number from 1 to 65,536"):
        load(write(tmp_path, card_with_config(**{field: value})))


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_a_switch_that_is_neither_true_nor_false(tmp_path: Path, value: object) -> None:
    with refused(CARD_FILE, "relative_per_head", "true or false"):
        load(write(tmp_path, card_with_config(relative_per_head=value)))


def test_heads_that_do_not_divide_the_width(tmp_path: Path) -> None:
    with refused(CARD_FILE, "d_model (8)", "n_heads (3)"):
        load(write(tmp_path, card_with_config(n_heads=3)))


def test_an_unknown_setting_and_a_missing_one(tmp_path: Path) -> None:
    with refused(CARD_FILE, "does not know", "update preludio"):
        load(write(tmp_path, card_with_config(dropout=0.1)))
    with refused(CARD_FILE, "lacks a model setting"):
        load(write(tmp_path, card_with(config={"d_model": 8})))


@pytest.mark.parametrize(
    "changes",
    [
        {"d_model": 65_536, "window": 65_536},
        {"d_model": 65_536, "n_heads": 65_536, "n_layers": 65_536, "d_ff": 65_536, "window": 65_536},
        {"d_model": 1, "n_heads": 1, "n_layers": 65_536, "d_ff": 1, "window": 1},
        {"n_layers": 3},
        {"window": 6},
    ],
)
def test_settings_of_a_larger_model_than_the_file_holds(tmp_path: Path, changes: dict[str, int]) -> None:
    """The list of a hundred thousand arrays was made, and gigabytes read, before the file's length was asked."""
    with refused(str(tmp_path)):
        load(write(tmp_path, card_with_config(**changes)))


# The weights


def safetensors(header: object, data: bytes = b"", said: int | None = None) -> bytes:
    """A file of that header (JSON, or bytes as they are), said to be so long, padded or cut to the sound file's length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if said is None else said
    return length.to_bytes(8, "little") + text + data


def good_header() -> tuple[dict[str, Any], bytes]:
    weights = good_files()[1]
    length = int.from_bytes(weights[:8], "little")
    header: dict[str, Any] = json.loads(weights[8 : 8 + length])
    return header, weights[8 + length :]


def with_entry(name: str, **changes: Any) -> bytes:
    header, data = good_header()
    return safetensors(header | {name: header.get(name, header["norm"]) | changes}, data)


def test_a_file_cut_anywhere(tmp_path: Path) -> None:
    weights = good_files()[1]
    for length in [*range(20), 100, 500, 1000, *range(len(weights) // 2, len(weights), 999), len(weights) - 1]:
        with refused(WEIGHTS_FILE, "fetch or train the model again"):
            load(write(tmp_path, weights=weights[:length]))


def test_a_file_with_more_behind_it(tmp_path: Path) -> None:
    with refused(WEIGHTS_FILE):
        load(write(tmp_path, weights=good_files()[1] + b"\0"))


@pytest.mark.parametrize("said", [0, 1, 7, 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1])
def test_a_header_of_any_length(tmp_path: Path, said: int) -> None:
    with refused(WEIGHTS_FILE, "damaged"):
        load(write(tmp_path, weights=said.to_bytes(8, "little") + good_files()[1][8:]))


@pytest.mark.parametrize(
    "header", [b"[" * 1000, b'{"a":' * 500, b"\xff" * 1000, b"null", [], {}, {"norm": 1}, {"__metadata__": 1}, " " * 999]
)
def test_a_header_that_is_none(tmp_path: Path, header: object) -> None:
    with refused(WEIGHTS_FILE):
        load(write(tmp_path, weights=safetensors(header, good_header()[1])))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": [4]}, []),
        ({"shape": [-8]}, []),
        ({"shape": [2**64]}, []),
        ({"shape": [2**63, 2]}, []),
        ({"shape": [2**32, 2**32]}, []),
        ({"shape": [8.0]}, []),
        ({"shape": ["8"]}, []),
        ({"shape": 8}, []),
        ({"shape": None}, []),
        ({"shape": [8, 1]}, ["norm", "(8, 1)"]),
        ({"shape": [1] * 500 + [8]}, []),
        ({"shape": [8, 0]}, []),
        ({"dtype": "F64"}, []),
        ({"dtype": "F64", "shape": [4]}, ["norm", "float64"]),
        ({"dtype": "I32"}, ["norm", "int32", "float32 or float16"]),
        ({"dtype": "BF16", "shape": [16]}, []),
        ({"dtype": "F16", "shape": [16]}, ["norm", "float16"]),
        ({"dtype": "BOOL", "shape": [32]}, ["norm", "bool"]),
        ({"dtype": "F8_E4M3", "shape": [32]}, []),
        ({"dtype": "C64", "shape": [4]}, []),
        ({"dtype": "pickle"}, []),
        ({"dtype": 1}, []),
        ({"data_offsets": [0, 32]}, []),
        ({"data_offsets": [32, 0]}, []),
        ({"data_offsets": [-32, 0]}, []),
        ({"data_offsets": [2**63, 2**63 + 32]}, []),
        ({"data_offsets": [0]}, []),
        ({"data_offsets": "0"}, []),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_entry_that_lies(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with refused(WEIGHTS_FILE, "fetch or train the model again", *words):
        load(write(tmp_path, weights=with_entry("norm", **changes)))


def test_two_arrays_in_one_place(tmp_path: Path) -> None:
    header, data = good_header()
    header["layers.0.attention_norm"] = header["norm"]
    with refused(WEIGHTS_FILE):
        load(write(tmp_path, weights=safetensors(header, data)))


@pytest.mark.parametrize("name", ["bias", "", "\n", "x" * 3000, "layers.2.qkv", "../norm", "\x00"])
def test_an_array_too_many_or_too_few(tmp_path: Path, name: str) -> None:
    arrays = dict(random_checkpoint().arrays)
    arrays[name] = arrays.pop("norm")
    with refused(str(tmp_path)):
        load(write(tmp_path, weights=save_safetensors(arrays)))


def test_a_header_as_long_as_a_model_is_not_parsed(tmp_path: Path) -> None:
    """In place of the second half of the numbers, fifty thousand arrays without any: a file of a length that it might have."""
    config = ModelConfig(d_model=512, n_heads=2, n_layers=1, d_ff=512, window=8)
    empty = {f"{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(50_000)}
    weights = safetensors(empty, bytes(2 * config.n_parameters - 1000))
    assert len(weights) < 4 * config.n_parameters
    folder = write(tmp_path, card_with(config=dataclasses.asdict(config)), weights)
    with refused(WEIGHTS_FILE, "its length is not what its header says"):
        load(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_numbers_that_are_not_finite(tmp_path: Path, value: float, dtype: Any) -> None:
    arrays = {name: array.astype(dtype) for name, array in random_checkpoint().arrays.items()}
    arrays["layers.1.qkv"][3, 3] = value
    with refused(str(tmp_path), "layers.1.qkv", "not finite"):
        load(write(tmp_path, weights=save_safetensors(arrays)))


class Pickled:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    numbers = 4 * TINY.n_parameters
    for weights in (pickle.dumps(Pickled()).ljust(numbers, b"\0"), b"\x93NUMPY".ljust(numbers, b"\0"), b"PK\3\4".ljust(numbers, b"\0")):
        with refused(WEIGHTS_FILE):
            load(write(tmp_path, card=None, weights=weights))
        with refused(CARD_FILE):
            load(write(tmp_path, card=weights))


# Whatever the bytes


def loads_or_is_refused(folder: Path) -> None:
    try:
        loaded = load(folder)
    except CheckpointError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 700
    else:
        assert {name: array.shape for name, array in loaded.arrays.items()} == array_shapes(loaded.config)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([8, 2**63, 2**64, -1, "F32", "F64"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.sampled_from(["dtype", "shape"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.data())
@by_law
def test_mutated_bytes_load_or_are_refused(tmp_path: Path, data: st.DataObject) -> None:
    which = data.draw(st.sampled_from([0, 1]))
    mutated = bytearray(good_files()[which])
    head = min(len(mutated), 1500)  # beyond, a weight is a weight
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, head - 1), st.integers(0, 255)), min_size=1, max_size=4)):
        mutated[place] = byte
    loads_or_is_refused(write(tmp_path, **{["card", "weights"][which]: bytes(mutated)}))


@given(st.sampled_from(["format", "vocabulary_hash", "config", "about", "other"]), json_values)
@by_law
def test_any_value_of_a_card_loads_or_is_refused(tmp_path: Path, field: str, value: object) -> None:
    loads_or_is_refused(write(tmp_path, card_with(**{field: value})))


@given(st.sampled_from(["d_model", "n_heads", "n_layers", "d_ff", "window", "relative_per_head", "other"]), json_values)
@by_law
def test_any_value_of_a_setting_loads_or_is_refused(tmp_path: Path, field: str, value: object) -> None:
    loads_or_is_refused(write(tmp_path, card_with_config(**{field: value})))


@given(
    st.sampled_from(["embedding", "norm", "__metadata__", "other"]), st.sampled_from(["dtype", "shape", "data_offsets", ""]), json_values
)
@by_law
def test_any_value_of_the_weights_header_loads_or_is_refused(tmp_path: Path, name: str, field: str, value: object) -> None:
    header, data = good_header()
    entry = header.get(name, {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}) | {field: value} if field else value
    loads_or_is_refused(write(tmp_path, weights=safetensors(header | {name: entry}, data)))


SPARSE = """
import resource, sys
from preludio.checkpoint import load
from preludio.errors import CheckpointError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load(sys.argv[1])
except CheckpointError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10)
"""


def test_a_file_of_gigabytes_is_not_read_for_a_small_model(tmp_path: Path) -> None:
    write(tmp_path)
    os.truncate(tmp_path / WEIGHTS_FILE, 3 << 30)  # sparse: it takes no room
    ran = subprocess.run([sys.executable, "-c", SPARSE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    said, little = ran.stdout.splitlines()
    assert WEIGHTS_FILE in said
    assert little == "True"
