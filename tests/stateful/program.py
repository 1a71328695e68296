"""Runs programs: the first byte configures the run, each other byte is a step."""

import asyncio

from .finish import finish
from .loop import SteppedLoop
from .machine import Machine
from .stage import stage
from .steps import STEPS
from .wire import Mistake
from .world import World

__all__ = ["run"]


def run(loop: SteppedLoop, program: bytes, mistake: Mistake | None = None) -> World:
    """Run a program, whose first byte configures the run, and then end everything.

    Args:
        mistake: A mutation of one side's messages; None for none.

    Raises:
        Broken: The client or the server differs from the model.
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
            done.append("then everything ends")
            await finish(worlds[0])

        try:
            loop.run_until_complete(drive())
        except BaseException as error:
            error.add_note(f"after: {' '.join(done)}\nprogram: {program.hex()}")
            loop.run_until_complete(_clean_up(worlds[0]))
            raise
    return worlds[0]


async def _clean_up(world: World) -> None:
    """Cancel the tasks of a failed run, so that they do not affect later ones."""
    for served in world.serving.served.values():
        served.stubborn = False
    for _ in range(10):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
