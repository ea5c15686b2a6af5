"""dbt with the project parsed, for the fork server alone: it imports this once, and its children begin ready to run.

Nothing here may open DuckDB or start a thread: neither survives a fork.
"""

import gc

from orchestration import steps
from orchestration.runner import Dbt

DBT = Dbt()
DBT._invoke("parse", as_of="2026-03-02T00:00:00Z")
steps.dbt = steps.project = lambda: DBT
# The parsed project is large: no child's collector need look through it again.
gc.collect()
gc.freeze()
