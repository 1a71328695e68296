"""Bytes: base64 strings are read as bytes, and bytes are written as the same strings, without copies through pydantic."""

import base64
import json
from typing import Annotated, Any

import enkaku
import pytest
from enkaku import Checked
from enkaku.values.encoder import make_encoder
from enkaku.values.slot import Slot
from pydantic import Base64Bytes, Field, PlainSerializer
from typing_extensions import TypeAliasType

ALL = bytes(range(256))


class Upload(enkaku.Model, extra="forbid"):
    content: bytes
    thumbnail: bytes | None = None
    either: bytes | int | enkaku.Absent | None = enkaku.ABSENT
    parts: list[bytes] | None = None
    named: dict[str, bytes] | None = None
    label: str | None = None


UPLOAD = Slot("upload", Upload)
BYTES = Slot("bytes", bytes)


def fast(slot: Slot[Any]) -> Any:
    """Return the generated encoder of a slot, which fails instead of calling pydantic's serializer."""

    def fail(value: object) -> bytes:
        raise AssertionError(f"pydantic would write {value!r}")

    return make_encoder(slot._codec[0], fail)


@pytest.mark.parametrize("value", [b"", b"\0", b"f", b"fo", b"foo", b"foob", ALL, ALL[::-1] * 3])
def test_bytes_are_base64_strings_in_both_directions(value: bytes) -> None:
    data = json.dumps(base64.b64encode(value).decode()).encode()
    read = BYTES.decode(data)
    assert type(read) is bytes
    assert read == value
    assert BYTES.encode(read) == BYTES._encode(read) == fast(BYTES)(read) == data


@pytest.mark.parametrize(
    "text",
    [
        *("Zg", "Zg=", "Zm8", "Zm9v=", "Zm9v====", "=", "==", "====", "Z", "Z===", "=Zm9v"),
        *("Zh==", "Zm9=", "Zg==Zg==", "Zg=\n=", "Zm9v\n", " Zm9v", "Zm 9v", "Z=g=", "Zg==A"),
        *("-_-_", "Zm9v,", "Zm9\u00e9", "\uff3am9v", "\ud83d\udca9", "\0\0\0\0", "data:;base64,Zg=="),
    ],
)  # fmt: skip
def test_text_that_is_not_canonical_base64_is_rejected(text: str) -> None:
    with pytest.raises(enkaku.DecodeError, match="expected base64 string, got"):
        BYTES.decode(json.dumps(text).encode())


def test_text_that_base64_would_write_otherwise_is_rejected() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for padding in ("", "=", "=="):
        for last in (*alphabet, *"-_= ."):
            text = "Zm9vZm9"[: 7 - len(padding)] + last + padding
            try:
                same = base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
            except ValueError:
                same = False
            try:
                read = BYTES.decode(f'"{text}"'.encode())
            except enkaku.DecodeError:
                assert not same, text
            else:
                assert same, text
                assert read == base64.b64decode(text)


@pytest.mark.parametrize("value", [5, None, True, [], {}, ["Zg=="]])
def test_json_value_that_is_no_string_is_rejected(value: object) -> None:
    with pytest.raises(enkaku.DecodeError, match="expected string, got"):
        BYTES.decode(json.dumps(value).encode())


@pytest.mark.parametrize("value", ["Zg==", bytearray(b"f"), memoryview(b"f"), 5, None, [102]])
def test_python_value_that_is_not_bytes_is_rejected(value: Any) -> None:
    with pytest.raises(enkaku.EncodeError, match="expected bytes, got"):
        BYTES.encode(value)


@pytest.mark.parametrize(
    "value", [bytearray(b"Zg=="), memoryview(b"Zg=="), 5, None, "Zg", ["Zg=="]]
)
def test_model_with_another_object_for_bytes_is_rejected(value: Any) -> None:
    with pytest.raises(
        enkaku.EncodeError, match=r"/content: expected (base64 string|string|JSON value), got"
    ):
        UPLOAD.encode(Upload.model_construct(content=value))


def test_bytes_in_model_are_written_by_generated_encoder() -> None:
    data = (
        b'{"content":"Zg==","thumbnail":"AP8=","either":"Zm8=","parts":["","Zg=="],'
        b'"named":{"a":"Zg=="},"label":"\xc3\xa9"}'
    )
    read = UPLOAD.decode(data)
    assert (read.content, read.thumbnail, read.either) == (b"f", b"\0\xff", b"fo")
    assert (read.parts, read.named) == ([b"", b"f"], {"a": b"f"})
    assert fast(UPLOAD)(read) == UPLOAD.encode(read) == UPLOAD._encode(read) == data
    for other in (b'{"content":"","either":null}', b'{"content":"","either":7}', b'{"content":""}'):
        assert fast(UPLOAD)(UPLOAD.decode(other)) == other


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ('"thumbnail":null', "/thumbnail: expected base64 string|/thumbnail: expected string"),
        ('"thumbnail":"Zh=="', '/thumbnail: expected base64 string, got "Zh=="'),
        ('"either":"no"', "/either: expected base64 string or integer, got"),
        ('"parts":["Zg==","?"]', "/parts/1: expected base64 string"),
        ('"named":{"a":"Zg"}', "/named/a: expected base64 string"),
    ],
)
def test_bytes_in_model_that_are_invalid_are_located(wrong: str, problem: str) -> None:
    with pytest.raises(enkaku.DecodeError, match=problem):
        UPLOAD.decode(f'{{"content":"",{wrong}}}'.encode())


def test_bytes_of_one_mebibyte_are_read_and_written() -> None:
    value = ALL * 4096
    data = b'{"content":"' + base64.b64encode(value) + b'"}'
    read = UPLOAD.decode(data)
    assert read.content == value
    assert fast(UPLOAD)(read) == UPLOAD._encode(read) == data
    with pytest.raises(
        enkaku.DecodeError, match="expected base64 string, got string of 1398105 char"
    ):
        UPLOAD.decode(data[:-2] + b'="}')


@pytest.mark.parametrize("text", [r"\ud800", r"Zg==\udfff", r"\ude00m9v"])
def test_lone_surrogate_in_base64_is_rejected(text: str) -> None:
    with pytest.raises(enkaku.DecodeError, match="expected base64 string, got") as caught:
        BYTES.decode(f'"{text}"'.encode())
    assert "\\ud" in str(caught.value)


def test_lone_surrogate_beside_bytes_is_kept() -> None:
    data = rb'{"content":"AP8=","label":"\ud800"}'
    read = UPLOAD.decode(data)
    assert (read.content, read.label) == (b"\0\xff", "\ud800")
    assert UPLOAD.encode(read) == data


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"minLength": 8}, b"foob", b"foo"),
        ({"maxLength": 4}, b"foo", b"foob"),
        ({"pattern": "^Zm"}, b"foo", b"bar"),
        ({"not": {"const": "Zg=="}}, b"fo", b"f"),
    ],
)
def test_keywords_beside_bytes_constrain_the_string(
    schema: dict[str, Any], valid: bytes, invalid: bytes
) -> None:
    slot: Slot[Any] = Slot("slot", Checked(bytes, schema))
    assert slot.decode(slot.encode(valid)) == valid
    with pytest.raises(enkaku.EncodeError):
        slot.encode(invalid)
    with pytest.raises(enkaku.DecodeError):
        slot.decode(BYTES.encode(invalid))


def test_bytes_with_bounds_of_the_program_keep_them() -> None:
    slot: Slot[Any] = Slot("slot", Annotated[bytes, Field(min_length=2, max_length=3)])
    assert slot.encode(slot.decode(b'"Zm8="')) == b'"Zm8="'
    for wrong in (b'"Zg=="', b'"Zm9vYg=="'):
        with pytest.raises(enkaku.DecodeError):
            slot.decode(wrong)
        with pytest.raises(enkaku.EncodeError):
            slot.encode(BYTES.decode(wrong))


def test_bytes_with_serializer_of_the_program_keep_its_form() -> None:
    hexadecimal: Any = Annotated[bytes, PlainSerializer(lambda value: value.hex(), return_type=str)]
    assert Slot[Any]("slot", hexadecimal).encode(b"ab") == b'"6162"'
    pydantic: Slot[Any] = Slot("slot", Base64Bytes)
    assert pydantic.decode(b'"Zm9v"') == b"foo"


Blob = TypeAliasType("Blob", bytes)
Blobs = TypeAliasType("Blobs", "list[Blob | Blobs]")


def test_bytes_in_named_and_recursive_types_are_read() -> None:
    slot: Slot[Any] = Slot("slot", Blobs)
    data = b'["Zg==",["AP8=",[]]]'
    assert slot.decode(data) == [b"f", [b"\0\xff", []]]
    assert slot.encode(slot.decode(data)) == data
    for wrong in (b'["Zg"]', b'[["?"]]'):
        with pytest.raises(enkaku.DecodeError):
            slot.decode(wrong)


@pytest.mark.parametrize("type_", [bytes | str | None, str | bytes | None])
def test_bytes_in_union_with_string_are_written_unchanged(type_: Any) -> None:
    slot: Slot[Any] = Slot("slot", type_)
    for text in ("Zg==", "Zh==", "no base64", ""):
        assert json.loads(slot.encode(slot.decode(json.dumps(text).encode()))) == text
    assert slot.encode(b"f") == fast(slot)(b"f") == b'"Zg=="'


def test_invalid_value_beside_bytes_is_located() -> None:
    class Mixed(enkaku.Model):
        content: bytes
        any: object = enkaku.ABSENT

    with pytest.raises(enkaku.EncodeError, match="/any: expected number"):
        Slot("slot", Mixed).encode(Mixed(content=b"f", any=float("nan")))


def test_absent_slot_of_bytes_is_empty() -> None:
    assert BYTES.decode_absent() == b""
