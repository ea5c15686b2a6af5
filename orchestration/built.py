"""What was built before, kept in a file: a process that is started for every tick need not make sure of it anew.

dbt's views stay what they are as long as the project does, and so do its contracts and seeds: making them again in each
run is a third of what a run sends. It is a memory, not a promise: any fault makes it forget, and so does an hour, for
somebody else may have made a view or a seed otherwise.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

KEPT_SECONDS = 3600
# What says which warehouse it is, as far as the profile and the names of the relations do not.
_WAREHOUSE = ("DBT_TARGET", "STREAMING_OPS_DUCKDB_PATH", "SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_ROLE")


class Built:
    """By selection the names of the nodes that every run builds, once a first run has built all without a fault; and
    by macro that counts what waits the content_token of when nothing did."""

    def __init__(self, file: Path, fingerprint: str) -> None:
        self._file, self._fingerprint = file, fingerprint
        self.forget(write=False)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(file.read_text("utf-8"))
            if kept["fingerprint"] == fingerprint:
                self._since, self._nodes, self._tokens = kept["since"], kept["nodes"], kept["tokens"]

    def get(self, select: str) -> list[str] | None:
        if not 0 <= time.time() - self._since < KEPT_SECONDS:
            self.forget(write=False)
        return self._nodes.get(select)

    def put(self, select: str, nodes: list[str]) -> None:
        if self._nodes.get(select) != nodes:
            self._nodes[select] = nodes
            self._write()

    def forget(self, write: bool = True) -> None:
        self._since: float = time.time()
        self._nodes: dict[str, list[str]] = {}
        self._tokens: dict[str, str] = {}
        if write:
            self._write()

    def token(self, waiting: str) -> str | None:
        """Of the tables that the macro `waiting` counts from, when it last found nothing."""
        return self._tokens.get(waiting)

    def settle(self, waiting: str, token: str | None) -> None:
        """None where something waits."""
        if self._tokens.get(waiting) != token:
            self._tokens.pop(waiting, None)
            if token:
                self._tokens[waiting] = token
            self._write()

    def _write(self) -> None:
        """All or nothing, for another process may be reading it; where nothing can be written, nothing is kept."""
        kept = {"fingerprint": self._fingerprint, "since": self._since, "nodes": self._nodes, "tokens": self._tokens}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._file.parent, delete=False) as new:
                new.write(json.dumps(kept))
            Path(new.name).replace(self._file)


def fingerprint(manifest: Any, project_dir: Path, profile: str) -> str:
    """Differs wherever the parsed project, its variables, the profile or the warehouse that they are for do."""
    parts: list[Any] = [(project_dir / "dbt_project.yml").read_text("utf-8"), profile]
    parts += [os.environ.get(name) for name in _WAREHOUSE]
    parts += sorted((file, source.checksum.checksum) for file, source in manifest.files.items())
    # Of a large seed dbt has no checksum.
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((project_dir / "seeds").glob("*.csv"))]
    parts += sorted(str(node.relation_name) for node in manifest.nodes.values() if node.relation_name)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
