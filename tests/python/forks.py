"""Processes that begin with dbt imported and the project parsed, and that a test may kill."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.python.warm"])
