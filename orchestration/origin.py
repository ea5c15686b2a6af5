"""The name of the environment: what a notification is from, and what keeps the incidents of two environments apart.

It is the same text in every process of the project, whether dbt and the warehouse work or not. So it comes from
profiles.yml and the environment alone.
"""

import os
import re
from difflib import get_close_matches
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
    outputs = _outputs()
    target = _target(outputs)
    output = outputs.get(target)
    output = output if isinstance(output, dict) else {}
    if output.get("type", "duckdb" if target == "local" else "snowflake") == "duckdb":
        where = [_file(_rendered(_duckdb_path(output)) or _env("STREAMING_OPS_DUCKDB_PATH") or "warehouse.duckdb")]
    else:
        account = _rendered(output.get("account")) or _env("SNOWFLAKE_ACCOUNT") or _env("SNOWFLAKE_SECRET_ID")
        where = [account, _rendered(output.get("database")) or _env("SNOWFLAKE_DATABASE")]
    prefix = _env("STREAMING_OPS_SCHEMA_PREFIX")
    # Of another prefix no run uses a warehouse; and it may be a token that was pasted there.
    parts = filter(None, [target, *where, prefix if re.fullmatch(r"\w*", prefix) else ""])
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(parts))


def _env(name: str) -> str:
    return "" if name in FETCHED else os.environ.get(name, "")


def _target(outputs: dict[str, Any]) -> str:
    """DBT_TARGET. One that is not there is a typing error, and its fault has the name of the target that is meant."""
    target = _env("DBT_TARGET") or "local"
    if not outputs or target in outputs:
        return target
    return next(iter(get_close_matches(target, outputs, 1, 0.6)), "local")


def _outputs() -> dict[str, Any]:
    """The outputs of profiles.yml as they are written there; empty if it cannot be read."""
    try:
        folder = PROJECT_DIR / os.environ.get("DBT_PROFILES_DIR", "")
        outputs = yaml.safe_load((folder / "profiles.yml").read_text("utf-8"))[_PROFILE]["outputs"]
        return {str(name): output for name, output in outputs.items()}
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
    """The absolute path, or an address such as md:orders?motherduck_token=..., without what may be a secret."""
    from orchestration.collectors.base import redact  # which needs this module

    # A password may have an escaped space or quote in it. No secrets are given: other processes have others.
    path = re.sub("//.*@", "//", re.sub(r"\\.", "_", path), flags=re.DOTALL)
    path = redact(path, ()).partition("?")[0]
    if re.match(r"\w*:", path):
        return path
    try:
        return str(Path(PROJECT_DIR, path).resolve())
    except (OSError, ValueError, RuntimeError):
        return path
