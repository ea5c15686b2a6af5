"""What was built before, kept in a file: a process that is started for every tick need not make sure of it anew.

dbt's views stay what they are as long as the project does, and so do its contracts and seeds: making them again in each
run is half of what a run sends.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

# What says which warehouse it is, as far as the names of the relations do not.
_WAREHOUSE = ("DBT_TARGET", "STREAMING_OPS_DUCKDB_PATH", "SNOWFLAKE_ACCOUNT")


class Built:
    """By selection the names of the nodes that every run builds, once a first run has built all without a fault; and
    by macro that counts what waits the content_token of when nothing did."""

    def __init__(self, file: Path, fingerprint: str) -> None:
        self._file, self._fingerprint = file, fingerprint
        try:
            kept = json.loads(file.read_text())
        except (OSError, ValueError):
            kept = {}
        kept = kept if kept.get("fingerprint") == fingerprint else {"nodes": {}, "tokens": {}}
        self._nodes: dict[str, list[str]] = kept["nodes"]
        self._tokens: dict[str, str] = kept["tokens"]

    def get(self, select: str) -> list[str] | None:
        return self._nodes.get(select)

    def put(self, select: str, nodes: list[str]) -> None:
        if self._nodes.get(select) != nodes:
            self._nodes[select] = nodes
            self._write()

    def forget(self, *selections: str) -> None:
        """Forgets these, or without any all of them."""
        for select in selections or [*self._nodes]:
            self._nodes.pop(select, None)
        self._tokens.clear()
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
        # Another process may be reading it.
        new = self._file.with_suffix(f".{os.getpid()}")
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps({"fingerprint": self._fingerprint, "nodes": self._nodes, "tokens": self._tokens}))
        new.replace(self._file)


def fingerprint(manifest: Any, project_file: Path) -> str:
    """Differs wherever the parsed project, its variables or the warehouse that it is for do."""
    parts: list[Any] = [project_file.read_text(), [os.environ.get(name) for name in _WAREHOUSE]]
    parts += sorted((file, source.checksum.checksum) for file, source in manifest.files.items())
    parts += sorted(str(node.relation_name) for node in manifest.nodes.values() if node.relation_name)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
