"""dbt's own unit tests through dbt-snowflake: each holds for Snowflake's SQL, too."""

from pathlib import Path

import pytest

from tests.python.snowflake import emulator
from tests.python.snowflake.lives import Life

# In halves, for two workers.
HALVES = ("models/monitoring", "models/staging models/streaming models/batch")


@pytest.mark.snowflake
@pytest.mark.parametrize("half", HALVES)
def test_every_unit_test_holds_on_snowflake(half: str, port: int, tmp_path: Path) -> None:
    there = Life(tmp_path, emulator.environment(tmp_path, port))
    there.run("dbt", "run-operation", "create_landing_tables")
    there.run("dbt", "seed", "--empty")
    there.run("dbt", "run", "--empty")
    said = there.run("dbt", "test", "--select", *(f"{path},test_type:unit" for path in half.split()))
    assert " ERROR=0 " in said
