"""Access rules as a program writes them: ``@allow`` at a handler's method, and mistakes in rules that show when a server starts."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import partial, partialmethod
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
    members: dict[int, _Members] = {}
    rules: dict[str, AccessRules[Predicate]] = {}
    for name, route in routes.items():
        holder = _holder_of(route)
        found = members.get(id(holder))
        if found is None:
            found = members[id(holder)] = _Members(holder)
        rule = found.rule_of(route)
        if rule is not None:
            rules[name] = AccessRules[Predicate]({"*": rule})
    _require_used(routes.values(), members)
    return rules


class _Members:
    """The attributes of an object, its classes', and their rules.

    Args:
        holder: The object, or a class.

    Attributes:
        names: Under which names a function is found, by its ``id``.
        rules: The rule of each name: of the nearest attribute that has one.
        nearest: The nearest attribute of each name.
    """

    def __init__(self, holder: object) -> None:
        self.names: Final[dict[int, set[str]]] = {}
        self.rules: Final[dict[str, AccessRule]] = {}
        self.nearest: Final[dict[str, object]] = {}
        for place in _places(holder):
            for name, value in place.items():
                self.nearest.setdefault(name, value)
                layers = _layers(value)
                self.names.setdefault(id(layers[-1]), set()).add(name)
                rule = _marked(layers)
                if rule is not None:
                    self.rules.setdefault(name, rule)

    def names_of(self, method: object) -> Collection[str]:
        """Return under which names a method is found."""
        return self.names.get(id(_layers(method)[-1]), ())

    def rule_of(self, route: Route) -> AccessRule | None:
        """Return the rule of the method of a route, or else of the nearest one that it overrides.

        Raises:
            UsageError: It overrides several, with different rules.
        """
        rule = _marked(_layers(route.method))
        if rule is not None or not self.rules:
            return rule
        names = self.names_of(route.method)
        rules = [self.rules[name] for name in names if name in self.rules]
        if any(each != rules[0] for each in rules):
            raise UsageError(
                f"allow: {route.procedure.name} is served by a method with several names ({', '.join(sorted(names))}), "
                "which overrides methods with different rules; give it a rule of its own"
            )
        return rules[0] if rules else None


def _require_used(routes: Collection[Route], members: Mapping[int, _Members]) -> None:
    """Raise UsageError if a function that is no method serves a procedure, while a method with a rule serves none."""
    used = {id(_layers(route.method)[-1]) for route in routes}
    for route in routes:
        holder = _holder_of(route)
        found = members[id(holder)]
        if found.names_of(route.method) or holder is not route.owner:
            continue
        for name in found.rules:
            layers = _layers(found.nearest[name])
            if _marked(layers) is not None and id(layers[-1]) not in used:
                raise UsageError(
                    f"allow: {type(holder).__name__}.{name} has a rule, but serves no procedure, and {route.procedure.name} is "
                    "served by a function without one; pass the method itself to its route"
                )


def _holder_of(route: Route) -> object:
    """Return whose method serves a route: mostly, that of its handler."""
    bound = (each for each in _layers(route.method) if isinstance(each, MethodType))
    return next((each.__self__ for each in bound), route.owner)


def _places(holder: object) -> list[Mapping[str, object]]:
    """Return where the attributes of an object are, the nearest first."""
    if isinstance(holder, type):
        return [*map(vars, holder.__mro__)]
    return [getattr(holder, "__dict__", {}), *map(vars, type(holder).__mro__)]


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


def _marked(layers: list[object]) -> AccessRule | None:
    """Return the rule that a method itself has."""
    for layer in layers:
        # Not getattr(), which asks some objects that have every attribute.
        rule: object = getattr(layer, "__dict__", {}).get(_RULE)
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
