"""Environment of a program: the runtime reads the simulated clock, and its state transitions are recorded."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Generator
from typing import Any
from unittest import mock

import enkaku.server.server  # noqa: F401 # so that all modules that use "after" are loaded
from enkaku.calls.states import SERVER, ServerState, Step, after
from enkaku.server import runner
from enkaku.server.call import ServerCall

from .calls import step_of
from .loop import SteppedLoop
from .world import World

__all__ = ["stage"]


@contextlib.contextmanager
def stage(loop: SteppedLoop) -> Generator[list[World]]:
    """Run the runtime on the simulated clock, and record each of its state transitions.

    The yielded list must receive the world.
    """
    worlds: list[World] = []

    def recorded(table: Any, state: Any, step: Step) -> Any:
        world = worlds[0]
        side = "client" if type(state).__name__ == "ClientState" else "server"
        if side == "server" and step is Step.STOP and world.stop_wanted is not None:
            world.begin_stop()
        following = after(table, state, step)
        if step is Step.SUCCEED:  # one step, recorded as the two transitions of the model
            if following is not None:
                last = recorded(table, recorded(table, state, Step.FINISH), Step.RELEASE)
                if last is not following:
                    world.model.fault(f"SUCCEED: expected {last}, got {following}")
            return following
        name = None if following is None else following.name
        expected = step_of(state.name, step.name)
        if name != expected:
            world.model.fault(f"{step.name} from {state.name}: expected {expected}, got {name}")
        if name is not None:
            world.transitions[side][state.name, name] += 1
        return following

    logging.disable(logging.CRITICAL)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(time, "monotonic", loop.clock.monotonic))
            for module, name in _USES:
                stack.enter_context(mock.patch.object(module, name, recorded))
            # The usual end of a request takes one step, without after().
            reply_result = runner.Runner._reply_result

            def recorded_reply(self: runner.Runner, call: ServerCall, val: bytes | None) -> None:
                before = call.phase
                reply_result(self, call, val)
                if call.phase is ServerState.RELEASED:
                    recorded(SERVER, before, Step.SUCCEED)

            stack.enter_context(mock.patch.object(runner.Runner, "_reply_result", recorded_reply))
            yield worlds
    finally:
        logging.disable(logging.NOTSET)
        asyncio.set_event_loop(None)


def _uses() -> list[tuple[Any, str]]:
    """Return the modules of the runtime that use ``after``, with its name in each."""
    modules = [module for name, module in sys.modules.items() if name.startswith("enkaku.")]
    return [
        (module, name)
        for module in modules
        for name, value in vars(module).items()
        if value is after
    ]


_USES = _uses()
