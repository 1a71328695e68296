"""The wire messages and their one JSON form."""

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from enkaku.errors import InvalidMessage
from enkaku.wire.messages import (
    Abort,
    Credit,
    End,
    Error,
    Event,
    OpenChannel,
    OpenRequest,
    OpenStream,
    Receive,
    Result,
    Send,
    add_metadata,
    decode_client_message,
    decode_server_message,
    encode_abort,
    encode_credit,
    encode_end,
    encode_error,
    encode_event,
    encode_item,
    encode_open,
    encode_result,
    find_ids,
    introduce,
    is_for_caller,
    peek,
    read_head_quickly,
    receive_head,
    require_depth,
    send_head,
    without_properties,
)
from enkaku.wire.tally import tally
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

everything = st.characters(exclude_categories=[])  # lone surrogates as well
ids = st.text(everything, max_size=60)
names = st.text(everything, max_size=60)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(everything),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(everything), inner, max_size=4),
    max_leaves=10,
)


def text_of(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def value_of(raw: Any) -> object:
    return json.loads(bytes(raw))


def one_line(data: bytes) -> bytes:
    assert data.count(b"\n") == 0
    data.decode()
    return data


@given(
    st.sampled_from(["request", "stream", "channel"]),
    st.from_regex(r"[a-z0-9?]{1,20}", fullmatch=True),  # this side gives the ids of its calls
    names,
    st.none() | st.tuples(json_values),
)
def test_opening_round_trips(kind: str, rid: str, prc: str, prm: tuple[object] | None) -> None:
    data = encode_open(kind, rid, prc, None if prm is None else text_of(prm[0]))
    message = decode_client_message(one_line(data)).payload
    expected = {"request": OpenRequest, "stream": OpenStream, "channel": OpenChannel}[kind]
    assert isinstance(message, OpenRequest | OpenStream | OpenChannel)
    assert type(message) is expected
    assert (message.rid, message.prc) == (rid, prc)
    if prm is None:
        assert message.prm is UNSET
    else:
        assert value_of(message.prm) == prm[0]


@given(ids, names, json_values)
def test_item_round_trips(rid: str, prc: str, val: object) -> None:
    message = decode_client_message(
        one_line(encode_item(send_head(prc, rid), text_of(val)))
    ).payload
    assert isinstance(message, Send)
    assert (message.rid, message.prc, value_of(message.val)) == (rid, prc, val)
    answer = decode_server_message(one_line(encode_item(receive_head(rid), text_of(val))))
    assert isinstance(answer, Receive)
    assert (answer.rid, value_of(answer.val)) == (rid, val)


@given(
    ids,
    json_values,
    st.text(everything, min_size=1, max_size=20),
    st.sampled_from(["", ',"x":1', '},"y":{"z":2']),
)
def test_item_large_round_trips_with_later_properties(
    rid: str, val: object, text: str, later: str
) -> None:
    value = [val, text * 5000]
    encoded = text_of(value)
    message = encode_item(receive_head(rid), encoded + later.encode())
    answer = decode_server_message(one_line(message))
    assert isinstance(answer, Receive)
    found = without_properties(bytes(answer.val))
    assert answer.rid == rid
    assert value_of(answer.val if found is None else found) == value


def test_item_large_that_is_no_json_has_no_value() -> None:
    val = b'"%b"x' % (b"a" * 5000)
    answer = decode_server_message(encode_item(receive_head("1"), val))
    assert isinstance(answer, Receive)
    assert without_properties(bytes(answer.val)) is None


@given(ids, st.none() | st.text(everything, max_size=1500))
def test_abort_round_trips_with_cut_reason(rid: str, reason: str | None) -> None:
    message = decode_client_message(one_line(encode_abort(rid, reason))).payload
    assert isinstance(message, Abort)
    assert message.rid == rid
    assert message.rsn == (UNSET if reason is None else reason[:1024])


@given(names, st.none() | st.tuples(json_values))
def test_event_round_trips(prc: str, data: tuple[object] | None) -> None:
    text = None if data is None else text_of(data[0])
    message = decode_client_message(one_line(encode_event(prc, text))).payload
    assert isinstance(message, Event)
    assert message.prc == prc
    assert (message.data is UNSET) if data is None else (value_of(message.data) == data[0])


@given(ids, st.none() | st.tuples(json_values))
def test_result_round_trips(rid: str, val: tuple[object] | None) -> None:
    text = None if val is None else text_of(val[0])
    message = decode_server_message(one_line(encode_result(rid, text)))
    assert isinstance(message, Result)
    assert message.rid == rid
    assert (message.val is UNSET) if val is None else (value_of(message.val) == val[0])


@given(
    ids,
    ids,
    st.text(everything, max_size=5000),
    st.dictionaries(st.text(everything), json_values, max_size=3),
)
def test_error_round_trips_with_cut_message(
    rid: str, code: str, message: str, data: dict[str, object]
) -> None:
    answer = decode_server_message(one_line(encode_error(rid, code, message, text_of(data))))
    assert isinstance(answer, Error)
    assert (answer.rid, answer.code, answer.msg) == (rid, code, message[:4096])
    assert value_of(answer.data) == data


def mutations(text: bytes) -> st.SearchStrategy[bytes]:
    place = st.integers(0, len(text))
    return st.one_of(
        st.tuples(place, st.binary(max_size=6)).map(
            lambda at: text[: at[0]] + at[1] + text[at[0] :]
        ),
        st.tuples(place, place).map(lambda at: text[: min(at)] + text[max(at) :]),
        st.tuples(place, st.integers(0, 255)).map(
            lambda at: text[: at[0]] + bytes([at[1]]) + text[at[0] + 1 :]
        ),
    )


SEEDS = [
    encode_open("request", "1", "p", b'{"a":[1,"\\ud83d"]}')[:-1],
    encode_open("request", "1", "p", b'{"a":[1]}')[:-1],
    encode_item(send_head("p", "1"), b"1")[:-1],
    encode_abort("1", "Close")[:-1],
    encode_event("p", b"null")[:-1],
    encode_error("1", "C", "m")[:-1],
    encode_result("1", b"[]")[:-1],
    (
        b'{"header":{"typ":"JWT","alg":"EdDSA"},'
        b'"payload":{"typ":"request","rid":"1","prc":"p","iss":"x"},"signature":"s","data":"d"}'
    ),
]


@pytest.mark.parametrize("decode", [decode_client_message, decode_server_message])
@given(data=st.one_of(st.binary(), st.text().map(str.encode), *map(mutations, SEEDS)))
@example(data=b"[" * 100_000)
@example(data=b'{"payload":' * 100_000)
@example(data=b"9" * 10_000)
@example(
    data=b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"event","prc":"\\ud800","data":1e999}}'
)
@example(
    data=b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"event","prc":"\\ud800","data":NaN}}'
)
@example(
    data=b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"event","prc":"\\ud800","data":%b}}'
    % (b"9" * 5000)
)
@example(
    data=b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"event","prc":"\\ud800","data":%b}}'
    % (b"[" * 900 + b"]" * 900)
)
def test_decode_any_bytes_raises_only_invalid_message(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    try:
        decode(data)
    except InvalidMessage as error:
        refused = error
    else:
        return
    assert refused.rid is None or isinstance(refused.rid, str)


@given(st.one_of(st.binary(), *map(mutations, SEEDS)))
@example(b'{"header":{},"payload":{' + b" " * 3000)
@example(b'{"header":{},"payload":{"typ":"\x80","rid":"1"')
@example(b'{"header":{},"payload":{' + b'"a":"b"' * 300)
def test_peek_never_raises(data: bytes) -> None:
    typ, rid = peek(data)
    assert (typ is None) == (rid is None)


@given(st.sampled_from(["request", "stream", "channel"]), ids, names)
def test_peek_finds_type_and_id_of_any_message(kind: str, rid: str, prc: str) -> None:
    lone = any("\ud800" <= character <= "\udfff" for character in rid)
    payload = b'{"typ":"%b","rid":%b,"prc":%b,"prm":"xxxxxx' % (
        kind.encode(),
        text_of(rid),
        text_of(prc),
    )
    data = b'{"header":{"typ":"JWT","alg":"none"},"payload":' + payload
    assert peek(data) == ((None, None) if lone else (kind, rid))


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=300), max_size=8), st.integers(1))
def test_peek_and_route_find_call_behind_metadata(meta: dict[str, str], number: int) -> None:
    encoded = text_of(meta)
    for kind in ("request", "stream", "channel"):
        message = introduce(
            add_metadata(encode_open(kind, f"{number}", "a", b'{"meta":{', ttl=5), encoded),
            call=True,
        )
        assert decode_client_message(message[:-11] + b"1}}").header.meta == Raw(encoded)
        assert peek(message[:8000]) == (kind, f"{number}")
        assert is_for_caller(message, at_server=False) is False
        assert is_for_caller(message, at_server=True) is False


def test_peek_ignores_id_inside_strings() -> None:
    data = encode_open("request", "mine", '"rid":"other', b"[1,2")
    assert peek(data) == ("request", "mine")


@pytest.mark.parametrize("size", [0, 20_000])
def test_find_ids_finds_type_and_id_at_any_size(size: int) -> None:
    prm = text_of("x" * size)
    assert find_ids(encode_open("request", "mine", "a", prm)) == ("request", "mine")
    assert find_ids(encode_event("a", prm)) == ("event", None) if not size else (None, None)
    late = b'{"payload":{"prm":%b,"rid":"late","typ":"request"}}' % prm
    assert find_ids(late) == ("request", "late")
    assert find_ids(late[:-1]) == (None, None)
    assert find_ids(encode_open("request", "mine", "a", prm)[:-1]) == ("request", "mine")


def test_decode_byte_order_mark_is_invalid() -> None:
    line = b"\xef\xbb\xbf" + encode_open("request", "1", "a", None)
    with pytest.raises(InvalidMessage) as caught:
        decode_client_message(line)
    assert (caught.value.typ, caught.value.rid) == ("request", "1")


@pytest.mark.parametrize(
    "raw",
    [
        r'{"header":{"typ":"JWT","alg":"EdDSA"},"payload":{"typ":"request","rid":"1","prc":"\ud800","iss":"x"},"signature":"s"}',
        r'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"1","prc":"a","prm":{"signature":"\ud800"}}}',
        r'{"header":{"typ":"JWT","alg":"EdDSA"},"payload":{"typ":"request","rid":"1","prc":"a","prm":"\ud800"},"signature":"s"}',
    ],
    ids=["signed", "unsigned with a property signature", "signed value"],
)
def test_decode_lone_surrogate_beside_signature(raw: str) -> None:
    payload = decode_client_message(raw.encode()).payload
    assert isinstance(payload, OpenRequest)
    assert payload.rid == "1"


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"header":{"typ":"JWT","alg":"EdDSA"},"payload":{"typ":"request","rid":"1","prc":"\ud800","iss":1},"signature":"s"}',
        rb'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"send","rid":"1","val":"\ud800","extra":1}}',
        b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"stream","rid":"1","prc":"\xff"}}',
        b'\xef\xbb\xbf{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"channel","rid":"1","prc":"\xff"}}',
    ],
)
def test_decode_invalid_message_names_string_rid(raw: bytes) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_client_message(raw)
    assert caught.value.rid == "1"


def test_decode_invalid_utf8_in_rid_names_none() -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_client_message(
            b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"\xff","prc":"a"}}'
        )
    assert caught.value.rid is None


def test_encode_is_compact_and_in_protocol_order() -> None:
    head = b'{"header":{"typ":"JWT","alg":"none"},"payload":'
    assert encode_open("stream", "1", "a/b", b"{}") == (
        head + b'{"typ":"stream","rid":"1","prc":"a/b","prm":{}}}'
    )
    assert (
        encode_item(send_head("a/b", "1"), b"2")
        == head + b'{"typ":"send","prc":"a/b","rid":"1","val":2}}'
    )
    assert encode_abort("1", "Close") == head + b'{"typ":"abort","rid":"1","rsn":"Close"}}'
    assert encode_event("p", b'"\xc3\xa9"') == (
        head + b'{"typ":"event","prc":"p","data":"\xc3\xa9"}}'
    )
    assert encode_error("1", "C", "m") == (
        head + b'{"typ":"error","rid":"1","code":"C","data":{},"msg":"m"}}'
    )
    assert encode_item(receive_head("1"), b"3") == head + b'{"typ":"receive","rid":"1","val":3}}'
    assert encode_result("1", None) == head + b'{"typ":"result","rid":"1"}}'


def test_decode_keeps_raw_text_of_value() -> None:
    line = encode_item(send_head("p", "1"), b'{"a": 1.50, "a":1e2}')
    message = decode_client_message(line).payload
    assert isinstance(message, Send)
    assert message.val == Raw(b'{"a": 1.50, "a":1e2}')


@pytest.mark.parametrize("typ", ["request", "stream", "channel", "send"])
def test_decode_invalid_message_keeps_id_where_reply_is_expected(typ: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_client_message(b'{"payload":{"typ":"%b","rid":"a"}}' % typ.encode())
    assert caught.value.rid == "a"


@pytest.mark.parametrize("typ", ["abort", "event", "result", "error", "receive", "x"])
def test_decode_invalid_message_of_other_type_has_no_id(typ: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_client_message(b'{"payload":{"typ":"%b","rid":"a"}}' % typ.encode())
    assert caught.value.rid is None


@pytest.mark.parametrize("val", [b"NaN", b"[Infinity]", b'{"a":-Infinity}', b"01", b"'x'", b"[1,]"])
def test_decode_invalid_json_value_raises_invalid_message(val: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_client_message(encode_event("p", val)[:-1])
    with pytest.raises(InvalidMessage):
        decode_server_message(encode_result("\ud800", val)[:-1])


def count_all(value: object) -> int:
    """Count values as ``tally`` does: commas, arrays and objects."""
    if isinstance(value, list):
        return 4 + max(len(value) - 1, 0) + sum(map(count_all, value))
    if isinstance(value, dict):
        return 8 + max(len(value) - 1, 0) + sum(map(count_all, value.values()))
    return 0


tricky = st.text(st.sampled_from('[]{},"\\:a\u00e9'), max_size=8)


@given(
    st.recursive(
        st.none() | st.integers(-(10**20), 10**20) | tricky,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(tricky, inner, max_size=4),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_values_outside_of_strings_are_counted(value: object, ascii_only: bool) -> None:
    text = b"[%b%b]" % (json.dumps(value, ensure_ascii=ascii_only).encode(), b",1" * 100)
    found = count_all(value) + 104
    assert tally(text, found) is not None
    assert tally(text, found - 1) is None


@pytest.mark.parametrize(
    ("text", "lone"),
    [
        (rb"\ud83d", 1),
        (rb"\uDE00", 1),
        (rb"\ude00\ud83d", 2),
        (rb"\ud83d\ud83d\ude00", 1),
        (rb"\ud83d\ude00\ude00", 1),
        (rb"\ud83d\"\ude00", 2),
        (rb"\ud83d\\\ude00", 2),
        (rb"\ud83d\ude00", 0),
        (rb"\uD83D\uDE00", 0),
        (rb"\ud558\ub2e4", 0),
        (rb"C:\\ude00", 0),
    ],
)
def test_values_include_escapes_of_lone_surrogates(text: bytes, lone: int) -> None:
    string = b'"%b"' % b" ".join([text] * 10)
    assert sum(map(len, find_all(json.loads(string)))) == 10 * lone
    assert tally(b"[%b]" % string, 80 * lone + 30) is not None
    counted = tally(b"[%b]" % string, 1_000)
    assert counted is not None
    assert counted.surrogates == 10 * lone


def find_all(text: str) -> list[str]:
    """Return the lone surrogates of a string."""
    return [char for char in text if "\ud800" <= char <= "\udfff"]


def test_ordinary_text_with_escapes_has_few_values() -> None:
    for text in ("\ud558\uad6c\ub2e4 ", "\U0001f600 ", "C:\\ude ", '"[{,'):
        assert tally(json.dumps(text * 20_000).encode(), 50_000) is not None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (rb'"\ud83d \ude00 \uD83D \uDE00"', 32),
        (b"[1e5,1.5E-7,0e0,true,false]", 8 + 6),
        (b"[%b,%b]" % (b"9" * 24, b"1." + b"9" * 46), 5 + 5 + 10),
        (b"[0.12345678901234567,1234567890123456789]", 5),
        (b'["1e5","%b"]' % (b"9" * 100), 5),
    ],
)
def test_tally_counts_costly_characters_as_values(text: bytes, count: int) -> None:
    counted = tally(text, count)
    assert counted is not None
    assert counted.values == count
    assert tally(text, count - 1) is None


def test_tally_rejects_much_white_space() -> None:
    assert tally(b"[1,%b1]" % (b" " * 400), 6) is not None
    assert tally(b"[1,%b1]" % (b" " * 480), 6) is None


@pytest.mark.parametrize(("escape", "count"), [(rb"\n", 60), (rb"\u00e9", 30)])
def test_tally_bounds_escapes_by_values(escape: bytes, count: int) -> None:
    text = rb'"%b"' % (escape * count)
    assert tally(text, 10) is not None
    assert tally(text, 9) is None


@given(st.integers(0, 2**53), st.integers(1, 10**9))
def test_opening_window_and_deadline_round_trip(win: int, ttl: int) -> None:
    header = decode_client_message(
        one_line(encode_open("stream", "1", "p", None, win=win, ttl=ttl))
    ).header
    assert (header.win, header.ttl) == (win, ttl)


@pytest.mark.parametrize("name", ["win", "ttl"])
@pytest.mark.parametrize("value", [b"-1", b'"1"', b"null", b"true", b"1e999", b"[]"])
def test_decode_invalid_window_or_deadline_is_rejected(name: str, value: bytes) -> None:
    line = b'{"header":{"typ":"JWT","alg":"none","%b":%b},"payload":%b}' % (
        name.encode(),
        value,
        b'{"typ":"stream","rid":"a","prc":"p"}',
    )
    with pytest.raises(InvalidMessage) as caught:
        decode_client_message(line)
    assert caught.value.rid == "a"


def test_decode_signed_opening_with_window() -> None:
    line = (
        b'{"header":{"typ":"JWT","alg":"EdDSA","win":5},"payload":{"typ":"stream","rid":"a",'
        b'"prc":"p","iss":"did:key:x"},"signature":"s"}'
    )
    assert decode_client_message(line).header.win == 5


def test_credit_and_end_round_trip() -> None:
    assert decode_client_message(one_line(encode_credit("a", 7))).payload == Credit("a", 7)
    assert decode_server_message(one_line(encode_credit("a", 7))) == Credit("a", 7)
    assert decode_client_message(one_line(encode_end("a"))).payload == End("a")


MIB = 1024 * 1024
DEEP = b"[" * 2000
LONG_ID = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"%b","prm":'


def escaped_quotes() -> bytes:
    return b"[]" * 300 + b'"' + b'\\"' * 4 * MIB


def read_depth(line: bytes) -> None:
    require_depth(line, 100)


def read_message(line: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_client_message(line)


@pytest.mark.parametrize(
    ("read", "make"),
    [
        pytest.param(read_depth, escaped_quotes, id="a string without an end"),
        pytest.param(read_depth, lambda: escaped_quotes() + b"\\", id="an escape without an end"),
        pytest.param(
            read_depth, lambda: b"[]" * 300 + b'"%b"' % (b"a" * 8 * MIB), id="a long string"
        ),
        pytest.param(read_message, lambda: LONG_ID % (b"a" * 8 * MIB) + DEEP, id="a long id"),
        pytest.param(
            read_message, lambda: LONG_ID % (b"\\n" * 4 * MIB) + DEEP, id="escapes in an id"
        ),
    ],
)
def test_decode_any_line_takes_time_and_memory_by_its_size(
    read: Callable[[bytes], None], make: Callable[[], bytes]
) -> None:
    line = make()
    tracemalloc.start()
    began = time.process_time()
    try:
        read(line)
        taken, most = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 5
    assert most < 8 * len(line)


def test_large_item_with_lone_surrogates_has_no_later_properties() -> None:
    val = b'["\\ud83d",{"a":"%b"}]' % (b"x" * 5_000)
    item = decode_server_message(receive_head("1") + val + b',"jti":"2"},"later":{}}')
    assert isinstance(item, Receive)
    found = without_properties(bytes(item.val))
    assert found is not None
    assert json.loads(found) == json.loads(val)
    assert without_properties(b'["\\ud83d",{"a":"%b"}' % (b"x" * 5_000)) is None


@pytest.mark.parametrize("size", [2, 2000])
@pytest.mark.parametrize(
    ("typ", "rid", "at_server", "mine"),
    [
        ("result", "1", True, True),
        ("send", "1", True, False),
        ("credit", "s:1", True, True),
        ("credit", "1", True, False),
        ("credit", "1", False, True),
    ],
)
def test_route_is_the_same_however_large_the_header(
    typ: str, rid: str, *, at_server: bool, mine: bool, size: int
) -> None:
    raw = text_of({"header": {"x": "a" * size}, "payload": {"typ": typ, "rid": rid}})
    assert is_for_caller(raw, at_server=at_server) is mine


def test_route_of_huge_header_takes_no_longer_than_reading() -> None:
    raw = text_of({"header": {"x": '"' * 2_000_000}, "payload": {"typ": "result", "rid": "s:1"}})

    def best(work: Callable[[], object]) -> float:
        times: list[float] = []
        for _ in range(5):
            began = time.thread_time()
            work()
            times.append(time.thread_time() - began)
        return min(times)

    reading = best(lambda: read_head_quickly(raw))
    assert best(lambda: is_for_caller(raw, at_server=True)) < 3 * reading
