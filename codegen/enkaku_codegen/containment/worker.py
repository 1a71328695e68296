"""Program of the process that runs the deciders: ``python -m enkaku_codegen.containment.worker``.

It reads questions from standard input, one a line, and writes the answers to standard output. A question names the
seconds of the processor that its answer may take: after them, SIGPROF ends the process, even within a call into Rust.
Others that use the machine do not make it shorter. Memory is limited, too: what exceeds it ends the process.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import BinaryIO, Final, TypeAlias, cast

from enkaku_codegen.json_values import Json, Schema, as_json, read_number

from . import canonical, proof, search
from .difference import without_promised
from .formats import with_patterns
from .pair import Pair, Side
from .process import OUT_OF_MEMORY, Decider

__all__ = ["main"]

_MOST_MEMORY: Final = 2**30
_IN_TIME: Final = 0.8
"""The part of its time that the search takes by itself; it finds out late if a single step takes long."""

_READY: Final = b"true\n"


_Sides: TypeAlias = tuple[Schema, dict[str, Schema], Schema, dict[str, Schema]]
_Question: TypeAlias = tuple[Decider, float, _Sides]


def main(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer questions until there are no more."""
    answers.write(_READY)
    answers.flush()
    for line in questions:
        text = line.decode("utf-8", "surrogatepass")
        question = json.loads(text, parse_float=read_number)
        decider, seconds, (writer, written, reader, read) = cast(_Question, question)
        pair = Pair(Side(writer, written), Side(reader, read))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            answer = _DECIDERS[decider](pair, seconds)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(as_json(answer).encode("utf-8", "surrogatepass") + b"\n")
        answers.flush()


def _canonical(pair: Pair, _: float) -> Json:
    left = without_promised(pair)
    return "unknown" if left.reader.has_string_types else canonical.relation(left)


def _prover(pair: Pair, _: float) -> Json:
    left = without_promised(pair)
    if left.reader.has_string_types:
        return ["the reader enforces a format or an encoding that the writer may not"]
    return [str(each) for each in proof.reasons(left)]


def _search(pair: Pair, seconds: float) -> Json:
    try:
        found = search.find(with_patterns(pair), seconds * _IN_TIME)
    except ValueError as error:
        return {"reason": str(error)}
    return {} if found is None else {"value": found.value, "reason": found.reason}


_DECIDERS: Final[Mapping[Decider, Callable[[Pair, float], Json]]] = {
    "canonical": _canonical,
    "prover": _prover,
    "search": _search,
}


def _limit() -> None:
    """Limit the memory of this process, which leaves no core dump; let the timer end it."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    for limit, most in ((resource.RLIMIT_AS, _MOST_MEMORY), (resource.RLIMIT_CORE, 0)):
        # A system may not support one of them, or have a lower limit already.
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))


if __name__ == "__main__":
    _limit()
    main(sys.stdin.buffer, sys.stdout.buffer)
