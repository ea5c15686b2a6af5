"""The name of the environment: what a notification is from, and what keeps the incidents of two environments apart.

It is the same text in every process of the project, whether dbt and the warehouse work or not. So it comes from
profiles.yml and the environment alone.
"""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from orchestration.settings import PROJECT_DIR

_PROFILE = "streaming_ops"  # in dbt_project.yml
_HIDDEN = "DBT_ENV_SECRET_"
# Variables that this process has from a secret of AWS; other processes do not have them.
FETCHED: set[str] = set()


def origin() -> str:
    """Target, account, database or file, and schema prefix, such as `snowflake ORG-ACCOUNT STREAMING_OPS STAGING_`.

    Raises nothing, and contains no secret.
    """
    target = _env("DBT_TARGET") or "local"
    output = _output(target)
    if output.get("type", "duckdb" if target == "local" else "snowflake") == "duckdb":
        where = [_file(_rendered(_duckdb_path(output)) or _env("STREAMING_OPS_DUCKDB_PATH") or "warehouse.duckdb")]
    else:
        account = _rendered(output.get("account")) or _env("SNOWFLAKE_ACCOUNT") or _env("SNOWFLAKE_SECRET_ID")
        where = [account, _rendered(output.get("database")) or _env("SNOWFLAKE_DATABASE")]
    parts = filter(None, [target, *where, _env("STREAMING_OPS_SCHEMA_PREFIX")])
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(parts))


def _env(name: str) -> str:
    return "" if name in FETCHED else os.environ.get(name, "")


def _output(target: str) -> dict[str, Any]:
    """The output of profiles.yml as it is written there; empty if it cannot be read."""
    try:
        folder = PROJECT_DIR / os.environ.get("DBT_PROFILES_DIR", "")
        output = yaml.safe_load((folder / "profiles.yml").read_text("utf-8"))[_PROFILE]["outputs"][target]
        return output if isinstance(output, dict) else {}
    except Exception:
        return {}


def _duckdb_path(output: dict[str, Any]) -> Any:
    """Of the file that is attached under the name of the database; else of the database itself."""
    attached = output.get("attach")
    for file in attached if isinstance(attached, list) else ():
        if isinstance(file, dict) and file.get("alias") == output.get("database"):
            return file.get("path")
    return output.get("path")


def _rendered(value: Any) -> str:
    """The text as dbt renders it; empty if it needs more than the environment, such as a block of Prefect."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    known = {name: value for name, value in os.environ.items() if name not in FETCHED and not name.startswith(_HIDDEN)}

    def env_var(name: str, default: str | None = None) -> str:
        return known[name] if default is None else known.get(name, default)

    try:
        return ImmutableSandboxedEnvironment().from_string(value or "").render(env_var=env_var).strip()
    except Exception:
        return ""


def _file(path: str) -> str:
    """The absolute path. An address, such as md:orders?motherduck_token=..., without what may be a secret."""
    if re.match(r"\w*:", path):
        return re.sub(r"//[^/]*@", "//", path.partition("?")[0])
    try:
        return str(Path(PROJECT_DIR, path).resolve())
    except (OSError, ValueError, RuntimeError):
        return path
