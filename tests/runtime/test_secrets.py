"""Secrets: values that no error, representation or log line contains, on either side."""

import logging
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

import enkaku
import pytest
from enkaku import Checked, Slot
from pydantic import Field, RootModel, ValidationError
from support import WITHIN, Connect
from typing_extensions import TypeAliasType, TypedDict

SECRET = "S3cretPw!"

Marked: TypeAlias = Annotated[str, Field(json_schema_extra={"writeOnly": True})]
Late = TypeAliasType("Late", "dict[str, Marked] | int")


class Login(enkaku.Model):
    user: str
    password: Annotated[str, Field(repr=False, min_length=3, alias="passWord")]
    old: Annotated[str | None, Field(json_schema_extra={"x-secret": True})] = None


class Closed(enkaku.Model, extra="forbid"):
    token: str = Field(repr=False)


class Whole(enkaku.Model):
    login: dict[str, object] = Field(repr=False)


class Team(enkaku.Model):
    logins: list[Login]
    by_name: dict[str, Login | int] = Field(default_factory=dict)


class Typed(TypedDict):
    token: Marked


@dataclass
class Data:
    token: str = field(repr=False)


def _problem(type_form: Any, data: str) -> str:
    with pytest.raises(enkaku.DecodeError) as caught:
        Slot("login param", type_form).decode(data.replace("SECRET", SECRET).encode())
    assert SECRET not in str(caught.value) + repr(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("type_form", "data", "reason"),
    [
        (
            Login,
            '{"user": "ada", "passWord": 12}',
            "/passWord: expected string, got secret value",
        ),
        (
            Login,
            '{"user": "SECRET", "passWord": 1234567890, "old": {"a": "SECRET"}}',
            "/passWord: expected string, got secret value; /old: expected string, got secret value",
        ),
        (
            Team,
            '{"logins": [{"user": "ada", "passWord": "x"}]}',
            "/logins/0/passWord: expected string of at least 3 characters, got secret value",
        ),
        (
            Team,
            '{"logins": [], "by_name": {"a": {"user": "ada", "passWord": 1}}}',
            "/by_name/a/passWord: expected string, got secret value",
        ),
        (
            Closed,
            '{"token": "a", "tokn": "SECRET"}',
            '/tokn: expected no property "tokn", got secret value',
        ),
        (Whole, '{"login": "SECRET"}', "/login: expected object, got secret value"),
        (Marked, "1234567890", "expected string, got secret value"),
        (list[Marked], '["a", 1234567890]', "/1: expected string, got secret value"),
        (tuple[int, Marked], "[1, 1234567890]", "/1: expected string, got secret value"),
        (int | Marked, "1.5", "expected integer or string, got secret value"),
        (Late, '{"SECRET": {}}'.replace("SECRET", "a"), "/a: expected string, got secret value"),
        (Typed, '{"token": 1234567890}', "/token: expected string, got secret value"),
        (Data, '{"token": 1234567890}', "/token: expected string, got secret value"),
        (Literal["a", "b"] | Marked, "5", 'expected "a" or "b" or string, got secret value'),
    ],
)
def test_problem_of_secret_has_no_value(type_form: Any, data: str, reason: str) -> None:
    assert _problem(type_form, data) == reason


_LOGIN = {
    "type": "object",
    "properties": {
        "password": {"$ref": "#/$defs/Password"},
        "pins": {"items": {"x-secret": True, "type": "integer"}},
        "codes": {"prefixItems": [{"type": "integer", "writeOnly": True}]},
        "data": {"x-secret": True, "additionalProperties": {"type": "integer"}},
        "other": {"anyOf": [{"type": "integer"}, {"const": "a", "writeOnly": True}]},
        "plain": {"type": "integer"},
        "own": {"$ref": "#/properties/codes/prefixItems/0"},
        "nested": {"$ref": "#"},
    },
    "additionalProperties": {"type": "integer", "x-secret": True},
}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"password": "SECRET"}', "/password: expected integer, got secret value"),
        ('{"pins": ["SECRET"]}', "/pins/0: expected integer, got secret value"),
        ('{"codes": ["SECRET"]}', "/codes/0: expected integer, got secret value"),
        ('{"data": {"SECRET": "SECRET"}}', "/data: expected valid value, got secret value"),
        ('{"other": "SECRET"}', '/other: expected integer or "a", got secret value'),
        ('{"xyz": "SECRET"}', "/xyz: expected integer, got secret value"),
        ('{"own": "SECRET"}', "/own: expected integer, got secret value"),
        ('{"nested": {"xy": "SECRET"}}', "/nested/xy: expected integer, got secret value"),
        ('{"plain": "tea"}', '/plain: expected integer, got "tea"'),
    ],
)
def test_problem_of_secret_in_schema_has_no_value(data: str, reason: str) -> None:
    definitions = {"Password": {"type": "integer", "writeOnly": True}}
    with pytest.raises(enkaku.DecodeError) as caught:
        Slot[Any]("login param", Checked(object, _LOGIN, definitions)).decode(
            data.replace("SECRET", SECRET).encode()
        )
    assert caught.value.reason == reason


def test_secret_pattern_property_hides_all_properties() -> None:
    schema = {
        "properties": {"plain": {"type": "integer"}},
        "patternProperties": {"^x": {"type": "integer", "x-secret": True}},
    }
    for name in ("plain", "xy"):
        reason = _problem(Checked(object, schema), f'{{"{name}": "SECRET"}}')
        assert reason == f"/{name}: expected integer, got secret value"


@pytest.mark.parametrize(
    ("root", "data"),
    [
        (Login, '{"user": "ada", "passWord": ["SECRET"]}'),
        (list[Login], '[{"user": "ada", "passWord": ["SECRET"]}]'),
        (Marked, '["SECRET"]'),
        (Late, '{"name": ["SECRET"]}'),
    ],
)
def test_problem_of_secret_in_root_model_has_no_value(root: Any, data: str) -> None:
    assert "secret value" in _problem(RootModel[root], data)


def test_problem_next_to_secret_has_value() -> None:
    plain = {"properties": {"plain": {"type": "integer"}, "secret": {"x-secret": True}}}
    for type_form in (Checked(object, plain), Login):
        with pytest.raises(enkaku.DecodeError) as caught:
            Slot[Any]("login param", type_form).decode(
                b'{"user": 5, "passWord": "abc", "plain": "tea"}'
            )
        assert caught.value.problems[0].found in {"5", '"tea"'}


def test_error_keeps_only_problems_that_it_shows() -> None:
    properties = {f"a{number}": {"x-secret": True, "type": "integer"} for number in range(30)}
    with pytest.raises(enkaku.DecodeError) as caught:
        Slot[Any]("login param", Checked(object, {"properties": properties})).decode(
            enkaku.Slot("any", object).encode(dict.fromkeys(properties, SECRET))
        )
    assert (len(caught.value.problems), caught.value.more) == (10, 20)
    assert SECRET not in repr(caught.value)


def test_secret_with_lone_surrogate_is_not_shown() -> None:
    reason = _problem(Login, r'{"user": "\ud800", "passWord": 12}')
    assert reason == "/passWord: expected string, got secret value"


def test_encode_error_has_no_secret() -> None:
    unfit = Login.model_construct(user="ada", password=1234567890)  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(enkaku.EncodeError) as caught:
        Slot("login param", Login).encode(unfit)
    assert caught.value.reason == "/passWord: expected string, got secret value"
    with pytest.raises(enkaku.EncodeError) as caught:
        Slot[Any]("login param", Whole).encode(Whole.model_construct(login={"a": 1j}))
    assert caught.value.reason == "/login: expected valid value, got secret value"


def test_model_repr_has_no_secret_nor_additional_properties() -> None:
    login = Login(user="ada", password=SECRET, old=SECRET, extra=SECRET)  # type: ignore[call-arg] # additional
    assert repr(login) == "Login(user='ada')"
    assert str(login) == "user='ada'"
    assert SECRET not in repr(Team(logins=[login], by_name={"ada": login}))
    assert repr(Team(logins=[], extra=1)) == "Team(logins=[], by_name={}, extra=1)"  # type: ignore[call-arg] # additional


def test_constructor_error_has_no_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        Login(user=1, password=SECRET)  # type: ignore[arg-type] # wrong on purpose
    assert "user" in str(caught.value)
    assert SECRET not in str(caught.value)


LOGIN = enkaku.Request[Login, Closed]("login", param=Login, result=Closed)
LOOSE = enkaku.Request[object, object]("login", param=object, result=object)


class _Serving(enkaku.Handler):
    def __init__(self, result: object) -> None:
        self._result = result

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(LOGIN, self.login),)

    async def login(self, param: Login) -> Any:
        return self._result


class _Seen(enkaku.Observer):
    def __init__(self) -> None:
        self.problems: list[str] = []

    def invalid_message(self, connection: enkaku.ConnectionInfo, problem: str) -> None:
        self.problems.append(problem)


async def test_server_shows_secret_to_no_one(
    connect_anyhow: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = _Seen()
    result = Closed.model_construct(token=int("9" * 12))  # type: ignore[arg-type] # wrong on purpose
    options: dict[str, Any] = {"explain_refusals": True, "observers": [seen]}
    async with connect_anyhow(_Serving(result), **options) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(LOOSE, {"user": 5, "passWord": [SECRET]}, timeout=WITHIN)
        assert "/passWord: expected string, got secret value" in str(caught.value)
        with pytest.raises(enkaku.CallError):
            await connection.request(LOGIN, Login(user="ada", password=SECRET), timeout=WITHIN)
    assert "login result: /token: expected string, got secret value" in caplog.text
    for text in (caplog.text, str(caught.value), *seen.problems):
        assert SECRET not in text
        assert "9" * 12 not in text


async def test_client_shows_no_secret_of_result(
    connect_anyhow: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    class Loose(_Serving):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(LOOSE, self.login),)

    caplog.set_level(logging.DEBUG)
    async with connect_anyhow(Loose({"token": [SECRET], "tokn": SECRET})) as connection:
        with pytest.raises(enkaku.DecodeError) as caught:
            await connection.request(LOGIN, Login(user="ada", password=SECRET), timeout=WITHIN)
    assert "/token: expected string, got secret value" in str(caught.value)
    assert SECRET not in caplog.text + str(caught.value) + repr(caught.value)
