"""``@allow``: an access rule at the method that serves a procedure."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, ParamSpec, TypeVar, cast

from enkaku.identity.access import AccessRules
from enkaku.options import AccessRule, Predicate

from .handler import Route

__all__ = ["allow", "method_rules"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_RULE: Final = "__enkaku_allow__"


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
    AccessRules[Predicate]({"*": who})  # which checks it

    def mark(method: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
        setattr(method, _RULE, who)
        return method

    return mark


def method_rules(routes: Mapping[str, Route]) -> dict[str, AccessRules[Predicate]]:
    """Return the rules at the methods of a handler, by the names of their procedures."""
    found = {name: _rule_at(route.method) for name, route in routes.items()}
    return {
        name: AccessRules[Predicate]({"*": rule})
        for name, rule in found.items()
        if rule is not None
    }


def _rule_at(method: object) -> AccessRule | None:
    """Return the rule of a method, or else of the nearest one that it overrides."""
    rule: object = getattr(method, _RULE, None)
    if rule is None:
        name = getattr(method, "__name__", "")
        for each in type(getattr(method, "__self__", None)).__mro__:
            rule = rule or getattr(vars(each).get(name), _RULE, None)
    return cast("AccessRule | None", rule)
