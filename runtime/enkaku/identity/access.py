"""Access rules: which identities may call which procedures.

Of all patterns that match a procedure, only the most specific one is asked. As soon as there is a rule, a procedure without one may
not be called. The ping is no procedure and has no rule: the server answers it before it asks here.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from enkaku._checks import require_mapping, require_text
from enkaku.errors import UsageError

from .patterns import covers, require_pattern, specificity

__all__ = ["AccessRule", "AccessRules", "require_rule"]

Predicate = TypeVar("Predicate", bound=Callable[..., object])

_KEYWORDS: Final = ("everybody", "identified")


AccessRule: TypeAlias = Literal["everybody", "identified"] | Collection[str] | Predicate
"""Who may call: everybody, everybody who proves an identity, these identities, or whom a function accepts."""


class AccessRules(Generic[Predicate]):
    """The access rules of a server.

    Args:
        rules: Who may call, by patterns of procedures such as ``"math/*"``.

    Raises:
        UsageError: A pattern or a rule is not valid.
    """

    def __init__(self, rules: Mapping[str, AccessRule[Predicate]]) -> None:
        require_mapping("access", rules, "patterns of procedures to rules")
        checked = [(pattern, _checked(pattern, rule)) for pattern, rule in rules.items()]
        self._rules: Final = sorted(checked, key=lambda each: specificity(each[0]), reverse=True)

    def rule_of(self, procedure: str) -> AccessRule[Predicate] | None:
        """Return the rule of a procedure: that of the most specific pattern; None if no pattern matches it."""
        return next((rule for pattern, rule in self._rules if covers(pattern, procedure)), None)

    def pattern_of(self, procedure: str) -> str | None:
        """Return the most specific pattern that matches a procedure; None if none does."""
        return next((pattern for pattern, _ in self._rules if covers(pattern, procedure)), None)

    def predicate_of(self, procedure: str) -> Predicate | None:
        """Return the function that decides about a procedure; None if its rule is no function."""
        rule = self.rule_of(procedure)
        return rule if callable(rule) else None

    def allows(self, procedure: str, identities: Collection[str]) -> bool | None:
        """Return whether a caller may call a procedure.

        Args:
            procedure: The procedure, which need not exist.
            identities: The ids that the caller has proven, and its proven subject; empty if it has proven none.

        Returns:
            None, which is false, if a function of the program has to be asked: ``predicate_of``.
        """
        if not self._rules:
            return True
        rule = self.rule_of(procedure)
        if rule is None:
            return False
        if callable(rule):
            return None
        if isinstance(rule, str):
            return rule == "everybody" or bool(identities)
        return not set(identities).isdisjoint(rule)

    @property
    def empty(self) -> bool:
        """Whether there is no rule."""
        return not self._rules

    @property
    def named(self) -> frozenset[str]:
        """The identities that rules name."""
        rules = (
            rule for _, rule in self._rules if not callable(rule) and not isinstance(rule, str)
        )
        return frozenset(identity for rule in rules for identity in rule)

    @property
    def asks(self) -> bool:
        """Whether a rule is a function."""
        return any(callable(rule) for _, rule in self._rules)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of the rules."""
        return tuple(pattern for pattern, _ in self._rules)

    @property
    def identities(self) -> tuple[str, ...]:
        """The identities that the rules name."""
        return tuple(
            each
            for _, rule in self._rules
            if not callable(rule) and not isinstance(rule, str)
            for each in rule
        )

    @property
    def open_patterns(self) -> tuple[str, ...]:
        """The patterns whose procedures everybody may call, for a warning when the server starts."""
        return tuple(pattern for pattern, rule in self._rules if rule == "everybody")


def _checked(pattern: str, rule: AccessRule[Predicate]) -> AccessRule[Predicate]:
    """Return a rule, if it and its pattern are valid."""
    require_text("access: a pattern", pattern)
    try:
        require_pattern(pattern, strict=False)
    except ValueError as error:
        raise UsageError(f"access: {error}") from None
    return require_rule(f"access: the rule of {pattern!r}", rule)


def require_rule(name: str, rule: AccessRule[Predicate]) -> AccessRule[Predicate]:
    """Return a rule, if it is valid; a set is copied, so that it can't change.

    Raises:
        UsageError: It is not valid; ``name`` says which it is.
    """
    if callable(rule) or (isinstance(rule, str) and rule in _KEYWORDS):
        return rule
    if isinstance(rule, str) or not _is_collection(rule):
        hint = f": write {{{rule!r}}}" if isinstance(rule, str) and ":" in rule else ""
        raise UsageError(
            f"{name} must be 'everybody', 'identified', a set of identities or a function; got {rule!r}{hint}"
        )
    for each in rule:
        require_text(f"{name}: an identity", each)
    return frozenset(rule)


def _is_collection(value: object) -> bool:
    return isinstance(value, Collection)
