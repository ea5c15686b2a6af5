"""However records come and runs end: the tables are those of one load of every distinct record.

A few fixed histories here; `make soak` tries many random ones.
"""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings

from tests.python.exactness.histories import History, histories
from tests.python.exactness.replay import Replay
from tests.python.snowflake import emulator

# Read before the tests' environment is made.
HISTORIES = int(os.environ.get("STREAMING_OPS_HISTORIES", "0"))
SEED = int(os.environ.get("STREAMING_OPS_SEED", "1"))
SHRINK = bool(os.environ.get("STREAMING_OPS_SHRINK"))
TARGET = os.environ.get("STREAMING_OPS_HISTORIES_TARGET", "local")
FIXED = 3


@pytest.fixture(scope="module")
def target(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if TARGET == "local":
        yield
        return
    directory = tmp_path_factory.mktemp("snowflake")
    server, port = emulator.start(directory)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment(directory, port).items():
            patch.setenv(name, value)
        yield
    server.kill()


@pytest.fixture(scope="module")
def replay(target: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    replay = Replay(tmp_path_factory.mktemp("histories"))
    yield replay
    _say(f"seed {SEED}: {replay.counts}")


def _say(text: str) -> None:
    if HISTORIES:
        print(text, file=sys.__stderr__, flush=True)


@settings(
    max_examples=HISTORIES or FIXED,
    derandomize=not HISTORIES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,),
)
@given(history=histories())
def test_every_history_ends_in_the_tables_of_one_load(replay: Replay, history: History) -> None:
    # Hypothesis would begin with a tenth that is empty; every replay begins with a tick over nothing anyway.
    assume(history.records)
    replay.check(history)
    if replay.counts.histories % 10 == 0:
        _say(f"seed {SEED}: {replay.counts}")


if HISTORIES:
    test_every_history_ends_in_the_tables_of_one_load = seed(SEED)(test_every_history_ends_in_the_tables_of_one_load)
