"""Runs programs: the first byte configures the run, each other byte is a step."""

import asyncio

from .loop import SteppedLoop
from .machine import Machine
from .settle import settle
from .stage import stage
from .steps import STEPS
from .wire import Mistake
from .world import World

__all__ = ["run"]


def run(loop: SteppedLoop, program: bytes, mistake: Mistake | None = None) -> World:
    """Run a program, whose first byte is its fate, and then bring everything to its end.

    Args:
        mistake: What one side does wrong on the wire; None for nothing.

    Raises:
        Broken: Something was not as it must be.
    """
    done: list[str] = []
    with stage(loop) as worlds:

        async def drive() -> None:
            worlds.append(World(loop, mistake))
            machine = Machine(worlds[0], program[0])
            for byte in program[1:]:
                if await machine.do(STEPS[byte]):
                    done.append(str(STEPS[byte]))
                    worlds[0].check()
            done.append("and then everything ends")
            await settle(worlds[0])

        try:
            loop.run_until_complete(drive())
        except BaseException as error:
            error.add_note(f"after: {' '.join(done)}\nprogram: {program.hex()}")
            loop.run_until_complete(_clear_away(worlds[0]))
            raise
    return worlds[0]


async def _clear_away(world: World) -> None:
    """End what a broken run has left, so that it troubles nobody later."""
    for served in world.serving.served.values():
        served.stubborn = False
    for _ in range(10):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
