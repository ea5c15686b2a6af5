"""Snowflake on loopback, for the tests: fakesnow's HTTP server, and what this project needs that it does not have yet.

`python -m tests.python.snowflake.emulator PORT` serves it until it is killed, all in memory. The gaps are GAPS: each
has a statement that shows it, so that a test can tell when fakesnow has closed it and the gap here has to go.
"""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import sqlglot
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlglot import exp

PROJECT_DIR = Path(__file__).resolve().parents[3]
Rewrite = Callable[[exp.Expression], exp.Expression | None]


@dataclass(frozen=True)
class Gap:
    """What fakesnow lacks. `rewrite` is given every node of a statement, innermost first: another node, or None."""

    name: str
    shown_by: str  # a statement of Snowflake's
    expected: list[tuple[Any, ...]]  # ... and its rows
    rewrite: Rewrite | None = None
    macro: str = ""  # of DuckDB's


def function(name: str, macro: str) -> Rewrite:
    """Calls of Snowflake's function `name` are calls of the macro."""

    def rewrite(node: exp.Expression) -> exp.Expression | None:
        if isinstance(node, exp.Anonymous) and node.name.upper() == name:
            return exp.Anonymous(this=macro, expressions=node.expressions)
        return None

    return rewrite


def typeof_a_variant(node: exp.Expression) -> exp.Expression | None:
    return exp.Anonymous(this="_ops_typeof", expressions=[node.this]) if isinstance(node, exp.Typeof) else None


def array_except(node: exp.Expression) -> exp.Expression | None:
    if isinstance(node, exp.ArrayExcept):
        return exp.Anonymous(this="_ops_array_except", expressions=[node.this, node.expression])
    return None


def trim_of_text(node: exp.Expression) -> exp.Expression | None:
    if isinstance(node, exp.Trim) and not isinstance(node.this, exp.Cast):
        node = node.copy()
        node.set("this", exp.cast(node.this, "varchar"))
        return node
    return None


def max_by_null(node: exp.Expression) -> exp.Expression | None:
    if type(node) is exp.ArgMax and node.expression is not None:
        return exp.Anonymous(this="arg_max_null", expressions=[node.this, node.expression])
    return None


def quoted_text_in_a_format(node: exp.Expression) -> exp.Expression | None:
    if isinstance(node, exp.TimeToStr) and '"' in node.args["format"].name:
        node = node.copy()
        node.set("format", exp.Literal.string(node.args["format"].name.replace('"', "")))
        return node
    return None


def key_in_its_case(node: exp.Expression) -> exp.Expression | None:
    if isinstance(node, exp.PropertyEQ) and isinstance(node.this, exp.Identifier) and not node.this.quoted:
        node = node.copy()
        node.set("this", exp.Literal.string(node.this.name))
        return node
    return None


def text_as_variant(node: exp.Expression) -> exp.Expression | None:
    if isinstance(node, exp.Cast) and node.is_type("variant") and isinstance(node.this, exp.Literal | exp.Column):
        return exp.Anonymous(this="to_json", expressions=[node.this])
    return None


def to_json(node: exp.Expression) -> exp.Expression | None:
    return exp.Anonymous(this="_ops_to_json", expressions=[node.this]) if type(node) is exp.JSONFormat else None


def session_parameter(node: exp.Expression) -> exp.Expression | None:
    """DuckDB does what Snowflake does where this one is true."""
    if isinstance(node, exp.Command) and "TRANSACTION_ABORT_ON_ERROR" in str(node.expression):
        return sqlglot.parse_one("select 'TRANSACTION_ABORT_ON_ERROR' as \"key\", 'true' as \"value\"")
    return None


def qualified_temporary_table(node: exp.Expression) -> exp.Expression | None:
    if isinstance(node, exp.Create) and node.find(exp.TemporaryProperty) and node.find(exp.Table).db:
        node = node.copy()
        node.find(exp.TemporaryProperty).pop()
        return node
    return None


GAPS = [
    Gap(
        "is_role_in_session",
        "select is_role_in_session('SYSADMIN'), is_role_in_session('CONNECTOR')",
        [(True, False)],
        function("IS_ROLE_IN_SESSION", "_ops_is_role_in_session"),
        "_ops_is_role_in_session(role) as role = 'SYSADMIN'",
    ),
    Gap("a NULL timestamp comes back as 1970", "select null::timestamp_ntz", [(None,)]),
    Gap(
        "to_timestamp_ntz of a column, within a cast",
        """select cast(case when t like '2%' then to_timestamp_ntz(t) end as timestamp_ntz(6))::varchar
        from (select '2026-03-02 12:00:00' as t)""",
        [("2026-03-02 12:00:00",)],
        function("TO_TIMESTAMP_NTZ", "_ops_timestamp"),
        "_ops_timestamp(value) as cast(value as timestamp)",
    ),
    Gap(
        "try_to_timestamp_ntz of a column",
        """select try_to_timestamp_ntz(t)::varchar
        from (select 'yesterday' as t union all select '2026-03-02T12:00:00') order by 1 nulls first""",
        [(None,), ("2026-03-02 12:00:00",)],
        function("TRY_TO_TIMESTAMP_NTZ", "_ops_try_timestamp"),
        "_ops_try_timestamp(value) as try_cast(value as timestamp)",
    ),
    Gap(
        "try_to_timestamp_tz of a column",
        """select convert_timezone('UTC', try_to_timestamp_tz(t))::varchar
        from (select '2026-03-02T14:00:00+02:00' as t)""",
        [("2026-03-02 12:00:00",)],
        function("TRY_TO_TIMESTAMP_TZ", "_ops_try_timestamptz"),
        "_ops_try_timestamptz(value) as try_cast(value as timestamptz)",
    ),
    Gap(
        "typeof of a VARIANT",
        """select typeof(v['i']), typeof(v['d']), typeof(v['s']), typeof(v['n']), typeof(v['b']), typeof(v['o']),
            typeof(v['none'])
        from (select parse_json('{"i": 1, "d": 1.5, "s": "a", "n": null, "b": true, "o": {}}') as v)""",
        [("INTEGER", "DECIMAL", "VARCHAR", "NULL_VALUE", "BOOLEAN", "OBJECT", None)],
        typeof_a_variant,
        """_ops_typeof(value) as case json_type(cast(value as json))
            when 'UBIGINT' then 'INTEGER' when 'BIGINT' then 'INTEGER' when 'DOUBLE' then 'DECIMAL'
            when 'NULL' then 'NULL_VALUE' else json_type(cast(value as json)) end""",
    ),
    Gap(
        "array_except of what is not a column",
        "select array_to_string(array_except(object_keys(object_construct('b', 1, 'a', 1)), ['b']), ',')",
        [("a",)],
        array_except,
        "_ops_array_except(a, b) as list_filter(a, lambda item: not list_contains(b, item))",
    ),
    Gap(
        "the sum of decimals is one",
        "select sum(x)::varchar from (select 0.1::decimal(18, 2) as x union all select 0.2)",
        [("0.30",)],
    ),
    Gap(
        "rtrim of given characters",
        "select rtrim(x, '; ') from (select 'a; ; ' as x)",
        [("a",)],
        trim_of_text,
    ),
    Gap(
        "max_by of a row whose value is NULL",
        "select max_by(x, y) from (select 'a' as x, 1 as y union all select null, 2)",
        [(None,)],
        max_by_null,
    ),
    Gap(
        "text in quotes in a timestamp's format",
        """select to_char(to_timestamp_ntz(1772452800123, 3), 'YYYY-MM-DD"T"HH24:MI:SS.FF3"Z"')""",
        [("2026-03-02T12:00:00.123Z",)],
        quoted_text_in_a_format,
    ),
    Gap(
        "the case of a key in an object that is written out",
        "select array_to_string(object_keys({'aB': 1}::object), ',')",
        [("aB",)],
        key_in_its_case,
    ),
    Gap(
        "text that becomes a VARIANT stays text",
        "select typeof('not JSON'::variant), typeof('12'::variant)",
        [("VARCHAR", "VARCHAR")],
        text_as_variant,
    ),
    Gap(
        "an object's keys are sorted",
        """select to_json(parse_json('{"b": {"d": 1, "c": null}, "a": 2}')), to_json(object_construct('b', 1, 'a', 2)),
            to_json(parse_json('null')), to_json(null::variant)""",
        [('{"a":2,"b":{"c":null,"d":1}}', '{"a":2,"b":1}', "null", None)],
        to_json,
        """_ops_to_json(value) as coalesce(
            cast(cast(cast(cast(value as json) as variant) as json) as varchar),
            case when value is not null then 'null' end)""",
    ),
    Gap(
        "the session's parameters",
        "show parameters like 'TRANSACTION_ABORT_ON_ERROR' in session",
        [("TRANSACTION_ABORT_ON_ERROR", "true")],
        session_parameter,
    ),
    Gap(
        "when a table was last written to",
        "select system$last_change_commit_time('_FS_GLOBAL._FS_INFORMATION_SCHEMA._FS_COLUMNS_EXT') is not null",
        [(True,)],
        function("SYSTEM$LAST_CHANGE_COMMIT_TIME", "_ops_content"),
        "_ops_content(name) as (select coalesce(sum(hash(t)), 0)::varchar from query_table(name) as t)",
    ),
    Gap(
        "a temporary table with a qualified name",
        "create or replace temporary table STREAMING_OPS.ANALYTICS.T as select 1 as a",
        [("Table T successfully created.",)],
        qualified_temporary_table,
    ),
]


def rewritten(expression: exp.Expression) -> exp.Expression:
    """A statement with all rewrites applied, to the inner nodes before the outer ones."""
    for node in reversed(list(expression.walk())):
        for gap in GAPS:
            new = gap.rewrite(node) if gap.rewrite else None
            if new is not None:
                expression = new if node is expression else expression
                node.replace(new)
                break
    return expression


def as_error(call: Callable[..., Any]) -> Callable[..., Any]:
    """What fakesnow stumbles over is an error of the statement: the connector would repeat an HTTP 500 for minutes."""
    from snowflake.connector.errors import Error, ProgrammingError

    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Error:
            raise
        except Exception as error:
            raise ProgrammingError(msg=f"{type(error).__name__}: {error}", errno=9999, sqlstate="99999") from error

    return called


def fill_gaps() -> None:
    import pyarrow
    import pyarrow.compute
    from fakesnow import arrow, conn, cursor
    from fakesnow.server import parse_one

    to_struct, creation_sql = arrow.timestamp_to_sf_struct, conn.macros.creation_sql
    transform, execute = cursor.FakeSnowflakeCursor._transform, cursor.FakeSnowflakeCursor.execute

    def timestamp_to_sf_struct(timestamps: Any) -> Any:
        if isinstance(timestamps, pyarrow.ChunkedArray):
            timestamps = timestamps.combine_chunks()
        found = to_struct(timestamps)
        fields = [pyarrow.compute.fill_null(found.field(number), 0) for number in range(found.type.num_fields)]
        return pyarrow.StructArray.from_arrays(fields, fields=list(found.type), mask=timestamps.is_null())

    arrow.timestamp_to_sf_struct = timestamp_to_sf_struct
    cursor.FakeSnowflakeCursor._transform = lambda self, expression, params: transform(
        self, rewritten(expression), params
    )
    cursor.transforms.numeric_agg_implicit_cast = lambda expression: expression
    cursor.FakeSnowflakeCursor.execute = as_error(execute)
    sys.modules["fakesnow.server"].parse_one = as_error(parse_one)
    conn.macros.creation_sql = lambda catalog: (
        creation_sql(catalog) + "".join(f"create or replace macro {catalog}.{gap.macro};" for gap in GAPS if gap.macro)
    )


def start(directory: Path, *options: str) -> tuple[subprocess.Popen[bytes], int]:
    """A server in a process of its own, and its port; `directory` gets its log. Whoever starts it kills it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "tests.python.snowflake.emulator", str(port), *options]
    with (directory / "emulator.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=PROJECT_DIR, stdout=log, stderr=subprocess.STDOUT)
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return server, port
        assert server.poll() is None, (directory / "emulator.log").read_text()
        time.sleep(0.1)
    raise TimeoutError("the Snowflake on loopback did not start within a minute")


def environment(directory: Path, port: int) -> dict[str, str]:
    """The environment of the target `snowflake`. All that its profile, in `directory`, adds to ours is where it is."""
    profile = (PROJECT_DIR / "profiles.example.yml").read_text().rstrip()
    (directory / "profiles.yml").write_text(
        f"{profile}\n      host: 127.0.0.1\n      port: {port}\n      protocol: http\n"
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key.p8").write_bytes(key.private_bytes(*pem))
    return {
        "DBT_TARGET": "snowflake",
        "DBT_PROFILES_DIR": str(directory),
        "SNOWFLAKE_PORT": str(port),
        "SNOWFLAKE_ACCOUNT": "fakesnow",
        "SNOWFLAKE_USER": "streaming_ops_monitor",
        "SNOWFLAKE_DATABASE": "STREAMING_OPS",
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(directory / "key.p8"),
    }


def connect(port: int) -> Any:
    """A connection for the test's own statements: it takes any credentials."""
    import snowflake.connector

    return snowflake.connector.connect(
        account="fakesnow", user="test", password="test", host="127.0.0.1", port=port, protocol="http",
        database="STREAMING_OPS", schema="ANALYTICS",
    )  # fmt: skip


def rows(port: int, statement: str) -> list[tuple[Any, ...]]:
    with connect(port) as connection:
        return connection.cursor().execute(statement).fetchall()


def abort(port: int) -> None:
    """Ends all sessions, as Snowflake does with those whose client is gone: what they did not commit is undone."""
    httpx.post(f"http://127.0.0.1:{port}/abort").raise_for_status()


def serve(port: int, with_gaps: bool = False) -> None:
    import uvicorn
    from starlette.responses import Response
    from starlette.routing import Route

    if not with_gaps:
        fill_gaps()
    from fakesnow.server import app, sessions

    def end_all_sessions(_request: Any) -> Response:
        while sessions:
            _, session = sessions.popitem()
            while not session.is_closed():
                session._duck_conn.interrupt()
                # Refused until the statement has noticed.
                with contextlib.suppress(duckdb.ResourceInUseException):
                    session.close()
        return Response()

    app.router.routes.append(Route("/abort", end_all_sessions, methods=["POST"]))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    serve(int(sys.argv[1]), *[arg == "--with-gaps" for arg in sys.argv[2:]])
