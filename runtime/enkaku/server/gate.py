"""The gate of a server: who calls, and whether they may.

A call is admitted step by step: who calls, by the signature of its message, by authenticators, and by what the connection proves;
then the access rules; then rate limits and replay protection. After that come the steps of ``admission``: so who may not call a
procedure does not learn whether it exists.

Most steps need no waiting, and a call is rejected before anything is made for it. Authenticators, functions as access rules, and
a shared store of replay protection may wait. Then the call is opened first, and its task waits before the handler begins: so
only this call waits, and its items, its end, its deadline and its limits are those of any call.
"""

import asyncio
import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import isawaitable
from itertools import count
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakValueDictionary

import msgspec
from msgspec.structs import replace as replace_claims

from enkaku._checks import require_mapping
from enkaku.calls.authenticators import Authenticator, Proof
from enkaku.calls.callers import Identity, ids_of
from enkaku.calls.info import Call, ConnectionInfo, StateKey
from enkaku.calls.logins import LOGIN
from enkaku.calls.observers import Observers
from enkaku.errors import AuthenticationFailed, Rejected, UsageError, hide_values
from enkaku.identity.access import AccessRules
from enkaku.identity.capabilities import Delegations
from enkaku.identity.messages import SignedClaims, SignedMessage, Verification
from enkaku.identity.proofs import ACCESS_DENIED, prove, require_opener
from enkaku.identity.rate_limits import RateLimiter
from enkaku.identity.replays import ReplayGuard
from enkaku.identity.tokens import EXPIRED, denied
from enkaku.options import Predicate, RateLimits, ServerOptions
from enkaku.transports.request import HttpRequest
from enkaku.wire.error_codes import ErrorCode
from enkaku.wire.messages import DESCRIBE
from enkaku.wire.metadata import NO_METADATA

from .access import method_rules, require_ids, unused_patterns
from .call import ServerCall
from .handler import Route
from .login import Login
from .post import Post
from .replies import CallRefused

if TYPE_CHECKING:
    from enkaku.identity.keys import KeyPair

__all__ = ["ADMISSION", "Admission", "Gate", "GateStep", "make_gate"]

logger: Final = logging.getLogger("enkaku.server")

ADMISSION: Final = StateKey["Admission"]("admission")
"""The admission of a call of ``enkaku:describe``, in the state of the call."""

_guards: Final = WeakValueDictionary[tuple[int, str], ReplayGuard]()
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
_OURS: Final = frozenset({"did", "tls", "unix"})  # with which the ids of other proofs begin
_SIGNED: Final = "did:key"
_NOT_SIGNED: Final = "Message is not signed"
_TOO_OFTEN: Final = "Too many calls"
_OPEN_TO_ALL: Final = "access: everybody may call %s"
_CALLERS_SHOWN: Final = 300  # characters of their ids, which may be as long as a token
_UNUSED: Final = "access: the handler serves no procedure %r%s"
_UNPROVABLE: Final = "access: no caller can be %s without the option %s"
_NO_RULES: Final = (
    "the server has an identity and no access rules: nobody but its own key, and those to whom it delegates, may call; "
    "allow others with the option access"
)


def make_gate(
    options: ServerOptions, routes: Mapping[str, Route], observers: Observers
) -> "Gate | None":
    """Return the gate of a server; None if everybody who can connect may call, and nobody asks who calls."""
    methods = method_rules(routes)
    asked = ("access", "authenticators", "identity", "rate_limits")
    if not methods and not any(options.get(name) for name in asked):
        return None
    return Gate(options, methods, observers, tuple(routes))


class Gate:
    """Admits the calls of a server.

    Args:
        options: Those of the server.
        methods: The rules at the methods of the handler.
        observers: Are told why a call is rejected.
        procedures: The names of the procedures that the handler serves.

    Attributes:
        clock: Returns the time, in seconds since the epoch.
        key: The server's key; None if messages need not be signed.
        waits: Whether a call may have to wait for a function of the program.

    Raises:
        UsageError: An option is not valid.
    """

    def __init__(
        self,
        options: ServerOptions,
        methods: Mapping[str, AccessRules[Predicate]],
        observers: Observers,
        procedures: Collection[str],
    ) -> None:
        self.key: Final = options.get("identity")
        self.observers: Final = observers
        self._accepts_unsigned: Final = options.get("unsigned", "refused") == "if identified"
        self._by_name: Final = AccessRules[Predicate](options.get("access") or {})
        self._at_method: Final = methods
        self._procedures: Final = procedures
        # Without a rule of its own, everybody may ask, and learns of what static rules allow.
        has_rule = self._by_name.pattern_of(DESCRIBE) is not None
        self._describes_open: Final = bool(options.get("describe")) and not has_rule
        for rules in (self._by_name, *methods.values()):
            require_ids(rules)
        authenticators = options.get("authenticators") or {}
        require_mapping("authenticators", authenticators, "names to authenticators")
        self._authenticators: Final = tuple(authenticators.items())
        for name, authenticator in self._authenticators:
            _require_authenticator(name, authenticator)
        limits = options.get("rate_limits") or RateLimits()
        self._by_identity: Final = _limiter(limits.per_identity)
        self._by_connection: Final = _limiter(limits.per_connection)
        self._replays: Final = (
            None if self.key is None else options.get("replays") or _guard_of(self.key)
        )
        clock = time.time if self._replays is None else self._replays.now
        self.clock: Final = clock
        self._delegations: Final = Delegations(clock=clock)
        self._named: Final = self._by_name.named.union(
            *(rules.named for rules in methods.values()),
            () if self.key is None else (self.key.did,),
        )
        self._numbers: Final = map(str, count())
        shared = self._replays is not None and self._replays.shared
        asks = self._by_name.asks or any(rules.asks for rules in methods.values())
        self.waits: Final = bool(self._authenticators or shared or asks)

    def report(self) -> None:
        """Log what is probably not meant."""
        for pattern in self._by_name.open_patterns:
            logger.warning(_OPEN_TO_ALL, pattern)
        for pattern, near in unused_patterns(self._by_name, self._procedures).items():
            logger.warning(_UNUSED, pattern, f": did you mean {near!r}?" if near else "")
        for identity, option in self._unprovable():
            logger.warning(_UNPROVABLE, identity, option)
        if self.key is not None and self._by_name.empty and not self._at_method:
            logger.warning(_NO_RULES)

    def _unprovable(self) -> Iterator[tuple[str, str]]:
        """Yield an identity of each kind that the rules name and nothing can prove here, and the option that is missing."""
        rules = (self._by_name, *self._at_method.values())
        found = {id_.partition(":")[0]: id_ for each in rules for id_ in each.identities}
        proven = {"tls", "unix", *(name for name, _ in self._authenticators)}
        for kind in sorted(found.keys() - proven):
            if kind != "did":
                yield found[kind], f"authenticators={{{kind!r}: ...}}"
            elif self.key is None:
                yield found[kind], "identity"

    @property
    def authenticates(self) -> bool:
        """Whether it has authenticators, so that clients can log in."""
        return bool(self._authenticators)

    def next_bucket(self) -> str:
        """Return a name for a new connection: what is remembered of it must not keep it in memory."""
        return next(self._numbers)

    def begin_verification(self, raw: bytes, *, values: int) -> Verification:
        """Begin to check who signed a message.

        Args:
            raw: The encoded message.
            values: How many JSON values it may have.
        """
        return Verification(raw, self.clock(), values=values)

    def verify(self, raw: bytes, verification: Verification) -> SignedMessage | None:
        """Finish to check who signed a message, and decode what was signed.

        Args:
            raw: The encoded message.
            verification: Its verification.

        Returns:
            None for a message without a signature, if another proof may stand for one.

        Raises:
            InvalidMessage: It is not a message.
            Rejected: It is not signed, its signature is not valid, or it has expired.
        """
        try:
            return verification.finish()
        except Rejected:
            if self._accepts_unsigned and _is_unsigned(raw):
                return None
            raise

    def begin(
        self,
        procedure: str,
        signed: SignedClaims | None,
        metadata: Mapping[str, str],
        connection: ConnectionInfo,
        bucket: str,
        login: Login | None = None,
        post: Post | None = None,
    ) -> "Admission":
        """Begin to admit a call, or an event, by what needs no waiting. A login is not admitted: ``log_in`` goes on with it.

        Args:
            procedure: The name of the procedure, which need not exist.
            signed: Its message, if it is signed.
            metadata: Its metadata.
            connection: The connection that carries it.
            bucket: A name of the connection.
            login: Its login; None if the server has no authenticators.
            post: The POST that carries it; None over other transports.

        Raises:
            Rejected: The caller may not call.
        """
        _take(self._by_connection, bucket)
        admission = Admission(self, procedure, signed, metadata, connection, bucket, login, post)
        if signed is not None and self.key is not None:
            # A login is by the key itself, in whoever's name its calls are: it needs no capability.
            is_login = procedure == LOGIN and login is not None
            caller = prove(
                replace_claims(signed.claims, sub=msgspec.UNSET) if is_login else signed.claims,
                procedure=procedure,
                server=self.key.did,
                delegations=self._delegations,
            )
            claims = msgspec.to_builtins(signed.claims)
            identity = Identity(caller.id, _SIGNED, MappingProxyType(claims), caller.subject)
            admission.proven = (identity,)
            admission.unrestricted = caller.unrestricted
        if self._authenticators:
            return admission
        self.require_access(admission)
        replays = None if signed is None else self._replays
        if admission.asks or (replays is not None and replays.shared):
            return admission
        self._count(admission)
        if signed is not None and replays is not None:
            try:
                known = self._knows(admission.proven[0])
                replays.admit_here(signed, admission.origin, known=known)
            except Rejected:
                self._uncount(admission)
                raise
        admission.granted = True
        return admission

    def require_access(self, admission: "Admission") -> None:
        """Apply the access rules that need no waiting; set ``asks`` if functions have to be asked.

        Raises:
            Rejected: They do not allow the call, or the login of the connection has expired.
        """
        admission.require_login()
        identities = admission.identities
        if self.key is not None and admission.signed is None and not identities:
            raise denied(_NOT_SIGNED)
        if admission.unrestricted:
            return
        allowed = self._allows(admission.procedure, identities)
        if False in allowed:
            raise self._refusal(admission, by_name=allowed[0] is False)
        admission.asks = None in allowed

    def _allows(
        self, procedure: str, identities: Sequence[Identity]
    ) -> tuple[bool | None, bool | None]:
        """Return whether the rules allow a call: that of its name, and those at its method; None if a function decides."""
        if procedure == DESCRIBE and self._describes_open:
            return True, True
        ids, at_method = ids_of(identities), self._at_method.get(procedure)
        if not self._by_name.empty:
            named = self._by_name.allows(procedure, ids)
        else:
            # A rule at some method denies what has none; so does an identity of the server.
            named = at_method is not None or not (self._at_method or self.key)
        return named, True if at_method is None else at_method.allows(procedure, ids)

    def may_call(self, call: ServerCall) -> frozenset[str]:
        """Return which procedures the caller of a call may call, as far as that depends on no param.

        Functions are not asked, since they may need a param. What they decide about is left out, unless ``enkaku:describe`` has a
        rule of its own, which has allowed the call.
        """
        admission = call.state[ADMISSION]
        return frozenset(each for each in self._procedures if self._may_call(each, admission))

    def _may_call(self, procedure: str, admission: "Admission") -> bool:
        signed, key = admission.signed, self.key
        if signed is not None and key is not None:
            try:
                caller = prove(
                    signed.claims,
                    procedure=procedure,
                    server=key.did,
                    delegations=self._delegations,
                )
            except Rejected:
                return False  # it was delegated other procedures
            if caller.unrestricted:
                return True
        allowed = self._allows(procedure, admission.identities)
        return False not in allowed and (None not in allowed or not self._describes_open)

    async def finish(self, admission: "Admission", call: ServerCall) -> None:
        """Admit a call by what may need waiting.

        Raises:
            Rejected: The caller may not call.
        """
        if self._authenticators:
            admission.proven = (*admission.proven, *await self._authenticate_all(admission.proof))
            call.proven = admission.proven
            self.require_access(admission)
        if admission.asks:
            for rules in (self._by_name, self._at_method.get(admission.procedure)):
                predicate = None if rules is None else rules.predicate_of(admission.procedure)
                if predicate is not None and not await self._ask(predicate, call):
                    raise self._refusal(admission, by_name=rules is self._by_name)
        await self._admit_last(admission)
        call.needs_login = self._needs_login(admission)

    async def log_in(self, admission: "Admission") -> Identity:
        """Return who logs in: the first identity that an authenticator has found.

        Raises:
            Rejected: There is no valid proof, or it came too often.
        """
        found = await self._authenticate_all(admission.proof)
        if not found:
            raise denied(ACCESS_DENIED)
        admission.proven = (*admission.proven, *found)
        await self._admit_last(admission)
        return found[0]

    async def _admit_last(self, admission: "Admission") -> None:
        self._count(admission)
        if admission.signed is not None and self._replays is not None:
            try:
                known = self._knows(admission.proven[0])
                await self._replays.admit(admission.signed, admission.origin, known=known)
            except Rejected:
                self._uncount(admission)
                raise

    async def bearer_of(self, request: HttpRequest, connection: ConnectionInfo) -> str:
        """Return whom the headers of a POST prove, whatever it carries; ``""`` if they prove nobody.

        Raises:
            Rejected: They have a proof that is not valid.
        """
        if not self._authenticators or not request.proofs:
            return ""
        found = await self._authenticate_all(Proof(NO_METADATA, connection, request))
        return found[0].id if found else ""

    def _needs_login(self, admission: "Admission") -> bool:
        """Return whether an admitted call would not be admitted without the login of its connection, which may have expired meanwhile.

        Raises:
            Rejected: It has expired.
        """
        identity = admission.require_login()
        if identity is None or not admission.proven:
            return identity is not None
        others = [each for each in admission.identities if each is not identity]
        return not admission.unrestricted and False in self._allows(admission.procedure, others)

    def admit_later(
        self, typ: str, signed: SignedClaims | None, call: ServerCall, origin: str
    ) -> None:
        """Check a later message of a call: it must come from who opened the call, and for the first time.

        Args:
            typ: The type of the message.
            signed: The message, if it is signed.
            call: The call.
            origin: See ``Admission``.

        Raises:
            Rejected: It does not. The error must not end the call.
        """
        if self.key is None:
            return
        opener = call.proven[0] if call.proven else None
        if signed is None:
            if opener is not None and opener.method == _SIGNED:
                raise denied(_NOT_SIGNED)
            return
        name = "" if opener is None else opener.id
        known = opener is not None and self._knows(opener)
        require_opener(signed.claims, typ, opener=name, server=self.key.did)
        if self._replays is not None:
            self._replays.admit_here(signed, origin, known=known)

    def _knows(self, identity: Identity) -> bool:
        """Return whether an access rule names who signed, so that nobody else takes its room for replays."""
        return not self._named.isdisjoint((identity.id, identity.subject))

    async def _authenticate_all(self, proof: Proof) -> Sequence[Identity]:
        """Return who calls, by each authenticator that recognizes a proof."""
        found: list[Identity] = []
        for name, authenticator in self._authenticators:
            identity = await self._authenticate(name, authenticator, proof)
            if identity is not None:
                found.append(identity)
        return found

    async def _authenticate(
        self, name: str, authenticator: Authenticator, proof: Proof
    ) -> Identity | None:
        try:
            identity = await authenticator.authenticate(proof)
            _require_own(name, identity)
        except AuthenticationFailed as error:
            raise Rejected(ErrorCode.ACCESS_DENIED.value, error.public) from error
        except (Exception, asyncio.CancelledError) as error:
            _raise_if_cancelled(error)
            self._log(f"authenticator {name!r}", error)
            raise denied(ACCESS_DENIED) from error
        if identity is None:
            return None
        if identity.expires is not None and not identity.expires >= self.clock():
            raise denied(EXPIRED)
        return identity if identity.method == name else replace(identity, method=name)

    def _refusal(self, admission: "Admission", *, by_name: bool) -> Rejected:
        """Return the error of a call that a rule does not allow. Its cause is the reason, which the caller does not learn."""
        pattern = self._by_name.pattern_of(admission.procedure) if by_name else None
        if not by_name:
            rule = "the rule at its method does not allow"
        elif pattern is None:
            rule = "no access rule allows"
        else:
            rule = f"the rule of {pattern!r} does not allow"
        callers = ", ".join(each.id for each in admission.identities)[:_CALLERS_SHOWN]
        error = denied(ACCESS_DENIED)
        error.__cause__ = denied(f"{rule} {callers or 'a caller without an identity'}")
        return error

    async def _ask(self, predicate: Predicate, call: ServerCall) -> bool:
        try:
            answer: object = predicate(call)
            if isawaitable(answer):
                answer = await answer
        except (Exception, asyncio.CancelledError) as error:
            _raise_if_cancelled(error)
            self._log(f"access: the rule of {call.procedure.name!r}", error)
            raise denied(ACCESS_DENIED) from error
        return answer is True

    def _count(self, admission: "Admission") -> None:
        identity = next(iter(admission.identities), None)
        if identity is not None:
            _take(self._by_identity, identity.id)

    def _uncount(self, admission: "Admission") -> None:
        """Do not count a replay against the rate limit of who has signed it: it may come from anybody."""
        identity = next(iter(admission.identities), None)
        if identity is not None and self._by_identity is not None:
            self._by_identity.give_back(identity.id)

    def _log(self, what: str, error: BaseException) -> None:
        hide_values(error)
        self.observers.log.log(
            logger, logging.ERROR, f"{what} failed", "%s failed", what, error=error
        )


@dataclass(slots=True)
class Admission:
    """How far a call, or an event, has come through the gate.

    Attributes:
        gate: Where it is.
        procedure: The name of the procedure.
        signed: Its message, if it is signed.
        metadata: Its metadata.
        connection: The connection that carries it.
        bucket: A name of the connection, for what is remembered of it after its end.
        login: Its login; None if the server has no authenticators.
        post: The POST that carries it; None over other transports.
        proven: Who calls, by what came with the message.
        unrestricted: Whether access rules do not apply.
        asks: Whether functions of the program have to be asked.
        granted: Whether it may begin; else its task waits for ``finish``.
    """

    gate: Gate
    procedure: str
    signed: SignedClaims | None
    metadata: Mapping[str, str]
    connection: ConnectionInfo
    bucket: str
    login: Login | None
    post: Post | None
    proven: tuple[Identity, ...] = ()
    unrestricted: bool = False
    asks: bool = False
    granted: bool = False

    @property
    def identities(self) -> Sequence[Identity]:
        """Who calls, by each proof."""
        return (*self.proven, *self.connection.identities)

    @property
    def proof(self) -> Proof:
        """What came with the message."""
        request = None if self.post is None else self.post.request
        return Proof(self.metadata, self.connection, request)

    def require_login(self) -> Identity | None:
        """Return who has logged in on the connection.

        Raises:
            Rejected: The login has expired, and the call has no proof of its own; or another key has signed the login.
        """
        login = self.login
        if login is None:
            return None
        signer = None if self.signed is None else self.signed.claims.iss
        login.require(signer, proven=bool(self.proven))
        return login.identity

    @property
    def origin(self) -> str:
        """A name of what the message came on: the connection, or the POST, since nothing proves that two POSTs have one sender."""
        return self.bucket if self.post is None else self.post.name

    async def finish(self, call: ServerCall) -> None:
        """Wait until the call is admitted.

        Raises:
            CallRefused: It is not: what the caller gets.
        """
        try:
            await self.gate.finish(self, call)
        except Rejected as error:
            self.gate.observers.access_denied(self.connection, self.procedure, reason_of(error))
            if self.post is not None and not call.answered:
                self.post.refusal = error
            raise CallRefused(error.code, error.message, error.data) from None
        self.granted = True


class GateStep:
    """An interceptor, before all others: lets a call wait until it is admitted."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call: Final = call

    async def __aenter__(self) -> None:
        call = self._call
        if not isinstance(call, ServerCall) or call.admission is None:
            return
        await call.admission(call)
        call.admission = None
        if call.on_admitted is not None:
            call.on_admitted()
        if call.cancelled:  # just now, or a function of the program has suppressed it
            raise asyncio.CancelledError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        return False


def reason_of(error: Rejected) -> str:
    """Return why a call was rejected, for observers: more than the caller gets."""
    cause = error.__cause__
    if isinstance(cause, AuthenticationFailed):
        return str(cause)
    return cause.message if isinstance(cause, Rejected) else error.message


class _Header(msgspec.Struct):
    alg: str


class _Unsigned(msgspec.Struct):
    header: _Header


_unsigned: Final = msgspec.json.Decoder(_Unsigned)


def _is_unsigned(raw: bytes) -> bool:
    """Return whether a message says that it has no signature."""
    try:
        return _unsigned.decode(raw).header.alg == "none"
    except (msgspec.MsgspecError, ValueError):
        return False


def _raise_if_cancelled(error: BaseException) -> None:
    """Raise a cancellation of the call itself, and not one that a function of the program has met."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
        raise error


def _require_own(name: str, identity: object) -> None:
    """Raise UsageError unless what an authenticator has returned is an identity that it may return, or None."""
    if identity is None:
        return
    if not isinstance(identity, Identity):
        raise UsageError(
            f"authenticate() must return an Identity or None; got a {type(identity).__name__}"
        )
    if not all(each.startswith(f"{name}:") for each in (identity.id, identity.subject)):
        raise UsageError(
            f"the identity, and its subject, must begin with '{name}:', the name under which the authenticator is registered"
        )


def _require_authenticator(name: str, authenticator: object) -> None:
    if _NAME.fullmatch(name) is None or name in _OURS:
        raise UsageError(
            f"authenticators: a name must be of lower-case letters, digits, '-' and '_', and none of "
            f"{', '.join(sorted(_OURS))}; got {name!r}"
        )
    if not isinstance(authenticator, Authenticator):
        raise UsageError(
            f"authenticators: {name!r} must have a method authenticate(proof); got {authenticator!r}"
        )


def _guard_of(key: "KeyPair") -> ReplayGuard:
    """Return what the servers of a key share that are in one event loop, so that a message is accepted by one of them."""
    name = (id(asyncio.get_running_loop()), key.did)
    guard = _guards.get(name)
    if guard is None:
        guard = _guards[name] = ReplayGuard()
    return guard


def _limiter(limit: tuple[float, int] | None) -> RateLimiter | None:
    return None if limit is None else RateLimiter(*limit)


def _take(limiter: RateLimiter | None, name: str) -> None:
    wait = 0.0 if limiter is None else limiter.take(name)
    if wait:
        data = {"retry_after": round(wait, 3)}
        raise Rejected(ErrorCode.TOO_OFTEN.value, _TOO_OFTEN, data)
