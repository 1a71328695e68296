"""``@allow``: an access rule at the method that serves a procedure."""

import re
from collections import ChainMap
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import partial, partialmethod
from inspect import getattr_static
from types import FunctionType, MethodType
from typing import Final, ParamSpec, Protocol, TypeVar, cast

from enkaku.errors import UsageError
from enkaku.identity.access import AccessRules, require_rule
from enkaku.options import AccessRule, Predicate

from .handler import Route

__all__ = ["allow", "method_rules", "require_ids", "unused_patterns"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_RULE: Final = "__enkaku_allow__"
_FORMS: Final = {
    "unix:": (re.compile(r"unix:[0-9]+"), "the number of a user, such as 'unix:1000'"),
    "tls:": (
        re.compile(r"tls:sha256:[0-9a-f]{64}"),
        "'tls:sha256:' and 64 hexadecimal digits, in lower case and without colons",
    ),
    "did:": (re.compile(r"did:key:z\w+"), "the name of a key, such as 'did:key:z6Mk...'"),
}


class _Bound(Protocol):
    """A method of an object or a class, or a static one."""

    __func__: object


class _Partial(Protocol):
    """A function of which some arguments are given."""

    func: object


def allow(
    who: AccessRule,
) -> Callable[[Callable[_P, Awaitable[_T]]], Callable[_P, Awaitable[_T]]]:
    """Say at a handler's method who may call it; the option ``access`` of the server says the same by name.

    Where both have a rule for a procedure, both must allow the call. A method that overrides this one without a rule of its own
    keeps this rule.

    Args:
        who: A rule, as for the option ``access``.

    Raises:
        UsageError: It is not a rule.
    """
    if isinstance(who, FunctionType) and who.__code__.co_varnames[:1] == ("self",):
        raise UsageError(
            f"@allow needs a rule, such as @allow('identified'); got the method {who.__name__}"
        )
    require_rule("@allow: the rule", who)

    def mark(method: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
        if isinstance(method, type | MethodType):
            raise UsageError(f"allow: put it at a method in the class of a handler; got {method!r}")
        setattr(_layers(method)[-1], _RULE, who)  # of a static method, it is what a route gets
        return method

    return mark


def method_rules(routes: Mapping[str, Route]) -> dict[str, AccessRules[Predicate]]:
    """Return the rules at the methods of a handler, by the names of their procedures.

    Raises:
        UsageError: A rule would protect nothing, or a method would have two.
    """
    found = {name: _rule_of(route) for name, route in routes.items()}
    _require_used(list(routes.values()))
    return {
        name: AccessRules[Predicate]({"*": rule})
        for name, rule in found.items()
        if rule is not None
    }


def _rule_of(route: Route) -> AccessRule | None:
    """Return the rule of the method of a route, or else of the nearest one that it overrides."""
    rule = _marked(route.method)
    if rule is not None:
        return rule
    places = _places(getattr(route.method, "__self__", route.owner))
    names = _names_of(route.method, places)
    rules: list[AccessRule] = []
    for name in names:
        overridden = (_marked(each[name]) for each in places if name in each)
        rules += [each for each in overridden if each is not None][:1]
    if any(each != rules[0] for each in rules):
        raise UsageError(
            f"allow: {route.procedure.name} is served by a method with several names ({', '.join(sorted(names))}), "
            "which overrides methods with different rules; give it a rule of its own"
        )
    return rules[0] if rules else None


def _require_used(routes: Collection[Route]) -> None:
    """Raise UsageError if a function that is no method serves a procedure, while a method with a rule serves none."""
    used = {id(layer) for route in routes for layer in _layers(route.method)}
    for route in routes:
        places = _places(route.owner)
        if _names_of(route.method, places) or hasattr(route.method, "__self__"):
            continue
        for name, value in ChainMap(*map(dict, places)).items():
            if _marked(value) is not None and id(_layers(value)[-1]) not in used:
                raise UsageError(
                    f"allow: {type(route.owner).__name__}.{name} has a rule, but serves no procedure, and {route.procedure.name} is "
                    "served by a function without one; pass the method itself to its route"
                )


def _places(holder: object) -> list[Mapping[str, object]]:
    """Return where the attributes of an object are, the nearest first."""
    if isinstance(holder, type):
        return [*map(vars, holder.__mro__)]
    return [getattr(holder, "__dict__", {}), *map(vars, type(holder).__mro__)]


def _names_of(method: object, places: Iterable[Mapping[str, object]]) -> set[str]:
    """Return under which names a method is found."""
    function = _layers(method)[-1]
    return {
        name for each in places for name, value in each.items() if _layers(value)[-1] is function
    }


def _layers(method: object) -> list[object]:
    """Return a method, and the functions inside it if it is bound, static, of a class, or partial; the innermost is the last."""
    layers = [method]
    while True:
        outer = layers[-1]
        if isinstance(outer, MethodType | staticmethod | classmethod):
            layers.append(cast(_Bound, outer).__func__)
        elif isinstance(outer, partial | partialmethod):
            layers.append(cast(_Partial, outer).func)
        else:
            return layers


def _marked(method: object) -> AccessRule | None:
    """Return the rule that a method itself has."""
    for layer in _layers(method):
        rule: object = getattr_static(layer, _RULE, None)
        if rule is not None:
            return cast(AccessRule, rule)
    return None


def require_ids(rules: AccessRules[Predicate]) -> None:
    """Raise UsageError if rules name an identity that no caller can prove."""
    for each in rules.identities:
        kind = each.partition(":")[0] + ":"
        form, says = _FORMS.get(kind, (None, ""))
        if form is not None and form.fullmatch(each) is None:
            raise UsageError(f"access: an identity with '{kind}' must be {says}; got {each!r}")
        if ":" not in each:
            raise UsageError(
                "access: an identity must begin with its proof, such as 'unix:1000' or 'jwt:<issuer>#<sub>'; "
                f"got {each!r}"
            )


def unused_patterns(rules: AccessRules[Predicate], procedures: Iterable[str]) -> dict[str, str]:
    """Return the patterns that match no procedure, with the most similar procedure, or ``""``.

    Patterns of Enkaku's own procedures are left out.
    """
    names = tuple(procedures)
    matched = {"*", *names}
    for name in names:
        parts = name.split("/")
        matched.update("/".join([*parts[:end], "*"]) for end in range(1, len(parts) + 1))
    return {
        pattern: next(iter(get_close_matches(pattern, names, 1)), "")
        for pattern in rules.patterns
        if pattern not in matched and not pattern.startswith("enkaku:")
    }
