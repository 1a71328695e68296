"""A short soak: users, processes that are killed, and nothing that is left; ``make soak`` takes ten minutes."""

import pytest
from soak.report import evaluate, faults, table
from soak.run import Plan, soak


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_soak_restarting_clients_and_servers_leave_nothing() -> None:
    plan = Plan(seconds=4.0, connections=30, clients=2, think=0.1, seed="ci")
    record = await soak(plan)
    rows = evaluate(plan, record)
    wrong = [row for row in rows if row.right is False]
    assert not wrong, "\n".join([*table(rows), *faults(record)])
    assert any(row.right for row in rows)
