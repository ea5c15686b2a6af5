"""The Snowflake on loopback."""

from collections.abc import Iterator

import pytest

from tests.python.snowflake import emulator
from tests.python.snowflake.lives import Lives, live


@pytest.fixture(scope="module")
def port(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, port = emulator.start(tmp_path_factory.mktemp("snowflake"))
    yield port
    server.kill()


@pytest.fixture(scope="session")
def lives(
    request: pytest.FixtureRequest, _environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lives]:
    """A short or a long life of the stream, on DuckDB and on a Snowflake of its own."""
    server, port = emulator.start(tmp_path_factory.mktemp("snowflake"))
    yield live(tmp_path_factory.mktemp(request.param), port, request.param)
    server.kill()
