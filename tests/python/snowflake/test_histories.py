"""Random histories of the stream, runs killed among them, end in the tables of one load on Snowflake, too."""

import sys
from pathlib import Path

import pytest

from tests.python.snowflake.lives import Life

# About a minute each; `make soak TARGET=snowflake` tries many more.
HISTORIES = 3


@pytest.mark.snowflake
@pytest.mark.parametrize("seed", [1, 2])
def test_random_histories_end_in_the_tables_of_one_load(seed: int, tmp_path: Path) -> None:
    life = Life(tmp_path, {"STREAMING_OPS_HISTORIES_TARGET": "snowflake", "STREAMING_OPS_HISTORIES": str(HISTORIES)})
    life.environment |= {"STREAMING_OPS_SEED": str(seed), "PYTEST_ADDOPTS": f"--basetemp={tmp_path / 'histories'}"}
    assert "1 passed" in life.run(sys.executable, "-m", "pytest", "-q", "tests/python/exactness")
