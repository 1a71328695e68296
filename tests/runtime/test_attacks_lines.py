"""Lines that cost their sender little, and the one who reads them much time or memory."""

import time
import tracemalloc
from collections.abc import Callable

import enkaku
import pytest
from enkaku.depth import require_depth
from enkaku.messages import decode_client_message

_MIB = 1024 * 1024
_DEEP = b"[" * 2000
_LONG_ID = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"%b","prm":'


def _escaped_quotes(size: int) -> bytes:
    return b"[]" * 300 + b'"' + b'\\"' * (size // 2)


def _read_depth(line: bytes) -> None:
    require_depth(line, 100)


def _read_message(line: bytes) -> None:
    with pytest.raises(enkaku.InvalidMessage):
        decode_client_message(line)


@pytest.mark.parametrize(
    ("read", "line"),
    [
        pytest.param(_read_depth, _escaped_quotes(8 * _MIB), id="a string without an end"),
        pytest.param(_read_depth, _escaped_quotes(8 * _MIB) + b"\\", id="an escape without an end"),
        pytest.param(_read_depth, b"[]" * 300 + b'"%b"' % (b"a" * 8 * _MIB), id="a long string"),
        pytest.param(_read_message, _LONG_ID % (b"a" * 8 * _MIB) + _DEEP, id="a long id"),
        pytest.param(_read_message, _LONG_ID % (b"\\n" * 4 * _MIB) + _DEEP, id="escapes in an id"),
    ],
)
def test_a_line_costs_no_more_than_a_few_times_its_size(
    read: Callable[[bytes], None], line: bytes
) -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        read(line)
        taken, most = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 5
    assert most < 8 * len(line)
