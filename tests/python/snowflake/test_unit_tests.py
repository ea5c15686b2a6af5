"""dbt's own unit tests through dbt-snowflake: each holds for Snowflake's SQL, too."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.python.snowflake import emulator
from tests.python.snowflake.lives import Life

HALVES = {"monitoring": ["models/monitoring"], "orders": ["models/staging", "models/streaming", "models/batch"]}


@pytest.mark.snowflake
def test_every_unit_test_holds_on_snowflake(_environment: None, tmp_path: Path) -> None:
    """In halves, each with a Snowflake of its own: there a statement takes as long as its translation."""

    def run(half: str) -> str:
        (tmp_path / half).mkdir()
        server, port = emulator.start(tmp_path / half)
        try:
            there = Life(tmp_path / half, emulator.environment(tmp_path / half, port))
            there.run("dbt", "run-operation", "create_landing_tables")
            there.run("dbt", "seed")
            there.run("dbt", "run", "--empty")
            return there.run("dbt", "test", "--select", *(f"{path},test_type:unit" for path in HALVES[half]))
        finally:
            server.kill()

    with ThreadPoolExecutor() as pool:
        for said in pool.map(run, HALVES):
            assert " ERROR=0 " in said
