"""Bytes in any pieces become the same lines, within a bound."""

import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest
from enkaku.transports.base import HEAD_SIZE, Oversized
from enkaku.transports.lines import Lines
from hypothesis import given
from hypothesis import strategies as st

LIMIT = 50
Split = Callable[[Lines, list[bytes]], list[bytes | Oversized]]
lines = st.lists(st.binary(max_size=80).map(lambda data: data.replace(b"\n", b".")), max_size=12)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def split_all(splitter: Lines, pieces: list[bytes]) -> list[bytes | Oversized]:
    return [found for piece in pieces for found in splitter.split(piece)]


def split_buffers(splitter: Lines, pieces: list[bytes]) -> list[bytes | Oversized]:
    buffer = bytearray(b"\n" * 200_000)  # whatever an earlier read has left there
    found: list[bytes | Oversized] = []
    for piece in pieces:
        buffer[: len(piece)] = piece
        found += splitter.split_buffer(buffer, len(piece))
    return found


each_way = pytest.mark.parametrize("split", [split_all, split_buffers])


@each_way
@given(given_lines=lines, places=st.lists(st.integers(min_value=0), max_size=20))
def test_lines_are_independent_of_chunks(
    split: Split, given_lines: list[bytes], places: list[int]
) -> None:
    data = b"".join(line + b"\n" for line in given_lines)
    found = split(Lines(LIMIT), cut(data, places))
    expected = [line for line in given_lines if len(line) > LIMIT or (line and not line.isspace())]
    assert len(found) == len(expected)
    for got, line in zip(found, expected, strict=True):
        if len(line) > LIMIT:
            assert isinstance(got, Oversized)
            assert line.startswith(got.head[: len(line)])
        else:
            assert got == line


@each_way
@given(
    sizes=st.lists(st.integers(min_value=0, max_value=9_000), max_size=8),
    places=st.lists(st.integers(min_value=0), max_size=6),
)
def test_lines_long_and_short_are_independent_of_chunks(
    split: Split, sizes: list[int], places: list[int]
) -> None:
    given_lines = [str(number).encode() * size for number, size in enumerate(sizes)]
    data = b"".join(line + b"\n" for line in given_lines)
    found = split(Lines(100_000), cut(data, places))
    assert found == [line for line in given_lines if line]


def test_lines_wait_for_newline() -> None:
    splitter = Lines(LIMIT)
    assert splitter.split(b"abc") == []
    assert splitter.split(b"def") == []
    assert splitter.split(b"\nx") == [b"abcdef"]
    assert splitter.split(b"\n") == [b"x"]


def test_lines_blank_are_skipped() -> None:
    assert Lines(LIMIT).split(b"\n\r\n \t\n\n a\r\n") == [b" a\r"]


@each_way
@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_lines_limit_is_exact_for_any_chunks(split: Split, size: int, piece: int) -> None:
    data = b"x" * size + b"\nafter\n"
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
    first, second = split(Lines(LIMIT), pieces)
    assert isinstance(first, Oversized) == (size > LIMIT)
    assert second == b"after"


def test_lines_oversized_is_reported_once_and_at_once() -> None:
    splitter = Lines(LIMIT)
    assert splitter.split(b"x" * (LIMIT + 1)) == [Oversized(b"x" * (LIMIT + 1))]
    assert splitter.split(b"x" * 10) == []
    assert splitter.split(b"\n") == []
    assert splitter.split(b"y\n") == [b"y"]


@pytest.mark.parametrize("pieces", [[b"x" * 9000], [b"x" * 2000, b"x" * 7000], [b"x" * 5] * 1800])
def test_lines_oversized_head_is_short(pieces: list[bytes]) -> None:
    found = split_all(Lines(8500), pieces)
    assert len(found) == 1
    assert isinstance(found[0], Oversized)
    assert 0 < len(found[0].head) <= HEAD_SIZE


def test_lines_of_four_times_the_limit_are_a_violation() -> None:
    splitter = Lines(LIMIT)
    splitter.split(b"x" * LIMIT * 4)
    assert not splitter.violation
    splitter.split(b"x")
    assert "four times" in splitter.violation


def test_lines_long_but_terminated_are_no_violation() -> None:
    splitter = Lines(LIMIT)
    splitter.split(b"x" * LIMIT * 9 + b"\n")
    assert not splitter.violation
    splitter.split(b"x" * LIMIT * 3 + b"\n" + b"y" * LIMIT * 3)
    assert not splitter.violation


def test_lines_memory_stays_within_limit() -> None:
    splitter = Lines(100_000)
    piece = b"x" * 1000
    tracemalloc.start()
    try:
        for _ in range(10_000):
            splitter.split(piece)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10_000
    assert peak < 500_000


def test_lines_many_chunks_take_linear_time() -> None:
    splitter = Lines(10_000_000)
    for _ in range(300_000):
        splitter.split(b"x")
    assert splitter.split(b"\n") == [b"x" * 300_000]


@each_way
@pytest.mark.parametrize("line", [b"1", b"", b"x" * 30])
def test_lines_too_short_for_messages_are_a_violation(split: Split, line: bytes) -> None:
    splitter = Lines(100_000)
    assert split(splitter, [(line + b"\n") * 5_000]) == []
    assert "too short" in splitter.violation


@each_way
def test_lines_short_ones_of_a_small_read_are_kept(split: Split) -> None:
    splitter = Lines(100_000)
    assert len(split(splitter, [b"1\n" * 1_000, b"1\n" * 1_000])) == 2_000
    assert not splitter.violation


@each_way
def test_lines_unfinished_size_is_that_of_current_line(split: Split) -> None:
    splitter = Lines(10_000)
    sizes: list[int] = []
    for piece in (b"x" * 4_000, b"x" * 4_000, b"x" * 4_000, b"\n", b"a\n" + b"y" * 5_000, b"\n"):
        split(splitter, [piece])
        sizes.append(splitter.unfinished)
    assert sizes == [0, 8_000, 12_000, 0, 5_000, 0]
