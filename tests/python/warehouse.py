"""The warehouse of the tests: a DuckDB file with generated orders, and the project on it."""

import gc
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

PROJECT_DIR = Path(__file__).resolve().parents[2]
# The first healthy tick; every test goes on from here.
T0 = "2026-03-02T12:00:00Z"
T0_MS = round(datetime.fromisoformat(T0).timestamp() * 1000)


class Warehouse:
    """A copy of the base warehouse, and the project on it."""

    def __init__(self, file: Path, built: Path | None = None) -> None:
        from orchestration import runs, steps

        if not steps.project.cache_info().currsize:
            steps.project()
            # The collector need not look through the parsed project again and again: a tenth of the time.
            gc.collect()
            gc.freeze()
        self.file, self.runs = file, runs
        self.dbt = steps.project()
        # Another file, in which another process has built what its file `built` says.
        self.dbt.built.forget()
        kept = json.loads(built.read_text())["nodes"] if built and built.exists() else {}
        for select, nodes in kept.items():
            self.dbt.built.put(select, nodes)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements straight in DuckDB, as the outside world would; returns the last one's rows."""
        self.dbt.close()
        with duckdb.connect(self.file) as connection:
            connection.execute("set timezone = 'UTC'; set disabled_optimizers = 'statistics_propagation'")
            for statement in statements:
                rows = connection.execute(statement)
            return rows.fetchall()

    def produce(self, until: str, **options: Any) -> None:
        self.dbt.run_operation("generate_stream", until, **({"orders_per_day": 6000} | options))

    def transform(self, as_of: str) -> None:
        self.runs.transform(as_of)

    def monitor(self, as_of: str) -> dict[str, str]:
        """Builds tag:monitoring and returns the status of every alert and of whatever else was not well."""
        outcomes = self.dbt.build("tag:monitoring", as_of)
        return {o.name: o.status for o in outcomes if o.is_alert or o.is_problem}

    def firing(self, as_of: str) -> dict[str, str]:
        return {name: status for name, status in self.monitor(as_of).items() if status != "pass"}


def copy_again(base: Path, folder: Path) -> Path:
    """A copy of the warehouse in place of the one that an earlier test left in the folder, perhaps by a kill."""
    from orchestration import steps

    if steps.dbt.cache_info().currsize:
        steps.dbt().close()
    for left in folder.glob(f"{base.name}*"):
        left.unlink()
    return Path(shutil.copy(base, folder))


def literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def land(warehouse: Warehouse, *records: tuple[dict[str, Any] | None, dict[str, Any] | None]) -> None:
    for record in records:
        values = [f"{literal(part)}::variant" if part else "null" for part in record]
        warehouse.sql(f"insert into STREAMING.ORDER_EVENTS values ({', '.join(values)})")


def record(
    offset: int, event_type: str, event_ts: str, *, order_id: str = "X1", pushed_ms: int = T0_MS + 1000, **content: Any
):
    metadata = {
        "topic": "orders",
        "partition": 9,
        "offset": offset,
        "CreateTime": pushed_ms - 500,
        "SnowflakeConnectorPushTime": pushed_ms,
    }
    payload = {"event_id": f"x{offset}", "event_type": event_type, "event_ts": event_ts, "order_id": order_id}
    return metadata, payload | {"customer_id": "C1", "amount": 12.5, "currency": "EUR"} | content
