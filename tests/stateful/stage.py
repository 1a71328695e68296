"""Where a program runs: the runtime reads the loop's clock, and its tables of states are watched."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Generator
from typing import Any
from unittest import mock

from enkaku import call as server_call
from enkaku import expiries, facts, streams
from enkaku.states import Step, after

from .calls import step_of
from .loop import SteppedLoop
from .world import World

__all__ = ["stage"]


@contextlib.contextmanager
def stage(loop: SteppedLoop) -> Generator[list[World]]:
    """Run the runtime on the loop's clock, and note each step of a state that its tables take.

    What is given is where the world goes, once it is made.
    """
    worlds: list[World] = []

    def noted(table: Any, state: Any, step: Step) -> Any:
        world = worlds[0]
        side = "client" if type(state).__name__ == "ClientState" else "server"
        if side == "server" and step is Step.CLOSE and world.stop_wanted is not None:
            world.take_stop()
        following = after(table, state, step)
        name = None if following is None else following.name
        expected = step_of(state.name, step.name)
        if name != expected:
            world.model.fault(
                f"{step.name} leads from {state.name} to {name}, and not to {expected}"
            )
        if name is not None:
            world.transitions[side][state.name, name] += 1
        return following

    logging.disable(logging.CRITICAL)
    try:
        with (
            # Not by attributes: the package has a function of that name.
            mock.patch.object(sys.modules["enkaku.deadline"], "time", loop.clock),
            mock.patch.object(facts, "time", loop.clock),
            mock.patch.object(expiries, "time", loop.clock),
            mock.patch.object(streams, "after", noted),
            mock.patch.object(server_call, "after", noted),
        ):
            yield worlds
    finally:
        logging.disable(logging.NOTSET)
        asyncio.set_event_loop(None)
