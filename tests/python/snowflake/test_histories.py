"""Random histories of the stream, runs killed among them, end in the tables of one load on Snowflake, too."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.python.snowflake.lives import Life

# Of each of two processes, about a minute a history; `make soak TARGET=snowflake` tries many more.
HISTORIES = 3


@pytest.mark.snowflake
def test_random_histories_end_in_the_tables_of_one_load(_environment: None, tmp_path: Path) -> None:
    def replay(seed: int) -> str:
        life = Life(tmp_path, {"STREAMING_OPS_HISTORIES_TARGET": "snowflake", "STREAMING_OPS_SEED": str(seed)})
        life.environment |= {"STREAMING_OPS_HISTORIES": str(HISTORIES)}
        life.environment |= {"PYTEST_ADDOPTS": f"--basetemp={tmp_path / str(seed)}"}
        return life.run(sys.executable, "-m", "pytest", "-q", "tests/python/exactness")

    with ThreadPoolExecutor() as pool:
        for said in pool.map(replay, (1, 2)):
            assert "1 passed" in said
