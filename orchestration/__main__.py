"""The command line: `python -m orchestration --help`."""

import getpass
import locale
import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from orchestration.outcomes import DbtError, Outcome, WarehouseTaken
from orchestration.process import session
from orchestration.settings import (
    Settings,
    as_cron,
    evaluation_interval,
    is_now,
    parse_as_of,
    parse_instant,
    prefect_api,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console() if sys.stdout.isatty() else Console(width=160)
# The demo's two stretches: long enough for a partition to count as stalled, and to be released before.
_FAULT_LASTS, _STREAM_GOES_ON = timedelta(minutes=12), timedelta(minutes=10)
# They report what is wrong with settings themselves.
_REPORTING = {"tick", "monitor", "transform", "nightly", "check"}
AsOf = Annotated[str | None, typer.Option("--as-of", help="The instant to evaluate, ISO 8601 UTC. Default: now.")]


@app.callback()
def main(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show every dbt node.")] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.getLogger("orchestration").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(partial(_is_shown, nodes=verbose, errors=context.invoked_subcommand == "serve"))
    if context.invoked_subcommand not in _REPORTING:
        needs_warehouse = context.invoked_subcommand not in ("serve", "test-alert")
        for problem in Settings().problems:
            if not (problem.blocks_warehouse and needs_warehouse):  # which raises it
                logging.getLogger(__name__).warning("%s", problem)


@app.command()
def tick(as_of: AsOf = None) -> None:
    """Monitors, alerts and transforms, once, and shows the health table."""
    instant = parse_as_of(as_of)
    try:
        _run("tick", "streaming_tick", as_of)
    finally:
        # Also after a fault: the rest was evaluated.
        with suppress(DbtError, WarehouseTaken), session("status", uses="reads") as here:
            here.call("show_health", instant)


@app.command()
def monitor(as_of: AsOf = None) -> None:
    """Only the first half of a tick: collect, evaluate, alert."""
    _run("monitor", "monitor_streaming", as_of)


@app.command()
def transform(as_of: AsOf = None) -> None:
    """Only the second half of a tick: bring FCT_ORDERS up to date, if records are pending."""
    _run("transform", "streaming_dbt_transform", as_of)


@app.command()
def nightly(as_of: AsOf = None) -> None:
    """Rebuilds the closed days that late data touched, and deletes what the retention variables allow."""
    _run("nightly", "nightly_batch", as_of)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", help="Records that arrived from here on, ISO 8601 UTC.")],
    last: Annotated[str, typer.Option("--to", help="... and before this, ISO 8601 UTC.")],
    as_of: AsOf = None,
) -> None:
    """Loads what arrived too late for any run to find, day by day, and says what it changed."""
    parse_as_of(as_of), parse_instant(first, "from"), parse_instant(last, "to")
    rows = 0
    with session(f"backfill of {first} to {last}") as here:
        for day in here.items("backfill", first, last, as_of):
            rows += int(day["records"])
            console.print(
                f"{day['first_at'][:10]}: {day['records']} records found, {day['rejected']} of them rejected; "
                f"{day['orders']} orders changed; {day['marks']} evaluations made again",
                highlight=False,
            )
    console.print(f"{rows} records backfilled." if rows else "Nothing was missing.")


@app.command()
def status(as_of: AsOf = None) -> None:
    """Shows every alert's last measurement. Exit code 1 if one fires or nothing was evaluated."""
    _show("status", "show_health", parse_as_of(as_of))


@app.command()
def check() -> None:
    """Tries every connection, and compares topics and connectors with the seeds. Exit code 1 if one fails."""
    # It takes its turn by itself: the rest is tried also where the warehouse is taken, or cannot be opened.
    _show("check", "show_check", uses="nothing")


@app.command()
def alerts(as_of: AsOf = None) -> None:
    """Shows what is open, since when, and when it was last told. Exit code 1 if anything is."""
    _show("alerts", "show_alerts", parse_as_of(as_of))


@app.command()
def silence(
    comment: Annotated[str, typer.Argument(help="Why.")],
    alert: Annotated[str, typer.Option(help="Alerts to mute; * is any text, and alone all of them.")],
    hours: Annotated[float, typer.Option(min=0.1, max=24 * 31, help="For how long.")] = 2,
    entity: Annotated[str, typer.Option(help="Entities to mute, such as 'orders partition 3 *'.")] = "*",
    start: Annotated[str | None, typer.Option("--from", help="From then on, ISO 8601 UTC. Default: now.")] = None,
    by: Annotated[str | None, typer.Option(help="Who wants it. Default: the user.")] = None,
) -> None:
    """Adds a silence to seeds/silences.csv: the next tick takes it from there. Commit it, so that others see it."""
    from orchestration.seeds import add_row, matches
    from orchestration.settings import PROJECT_DIR

    if not entity:
        raise ValueError("--entity is empty: * is any entity.")
    begin = parse_instant(start or parse_as_of(None), "from")
    with session("silence", uses="nothing") as here:
        names = here.call("alert_names")
    if not any(matches(alert, name) for name in names):
        raise ValueError(f"No alert is called {alert!r}; they are: {', '.join(names)}.")
    times = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (begin, begin + timedelta(hours=hours)))
    row = dict(zip(("starts_at", "ends_at"), times, strict=True)) | {"alert": alert, "entity": entity}
    add_row(PROJECT_DIR, "silences", row | {"created_by": by or getpass.getuser(), "comment": comment})
    console.print("Added to seeds/silences.csv: the next tick takes it from there. Commit it.")


@app.command()
def test_alert() -> None:
    """Sends a test message through each configured receiver, and says what came back. Exit code 1 if one fails."""
    from orchestration.notify import configured
    from orchestration.receivers import send_test

    settings = Settings()
    failed = bool(settings.problems)
    for receiver in configured(settings):
        for answer in send_test(receiver, settings):
            failed = failed or not answer.accepted
            console.print(
                f"{receiver}: {'accepted' if answer.accepted else answer.problem}", highlight=False, markup=False
            )
    if failed:
        raise typer.Exit(1)


@app.command()
def produce(
    until: Annotated[str | None, typer.Option(help="ISO 8601 UTC. Default: now.")] = None,
    days: Annotated[float, typer.Option(min=0.01, help="How far back an empty stream begins.")] = 7,
    orders_per_day: Annotated[int, typer.Option(min=1, max=10_000_000, help="About four events each.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, max=1000, help="The same seed gives the same stream.")] = 1,
    stalled_partition: Annotated[int | None, typer.Option(min=0, help="Lands nothing in this stretch.")] = None,
    failed_task: Annotated[int | None, typer.Option(min=0, help="This connector task has failed.")] = None,
) -> None:
    """Continues an invented order stream in the landing tables, for trying things out."""
    # Nothing lands of the future: it would look lost, or late, until then.
    end = min(parse_as_of(until), parse_as_of(None))
    with session("produce") as here:
        here.call(
            "produce",
            end,
            history_days=days,
            orders_per_day=orders_per_day,
            seed=seed,
            stalled_partition=stalled_partition,
            failed_task=failed_task,
        )


@app.command()
def demo() -> None:
    """A healthy tick, then a stalled partition and a failed task, and the alerts that they raise."""
    from orchestration import runs

    console.print("Loading dbt ...")
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    with session("demo") as here:
        last, faulty_at = here.call("last_collected"), now
        if healthy_at := _healthy_at(last, now):
            _headline(f"1. {'More' if last else 'A week of'} orders arrive, as the Snowflake sink connector lands them")
            here.call("produce", _iso(healthy_at))
            console.print("Loading them into ANALYTICS.FCT_ORDERS ...")
            runs.transform(_iso(healthy_at), here, is_live=False)
            _headline(f"2. A tick at {healthy_at} UTC: monitor, alert, transform")
            runs.tick(_iso(healthy_at), here, is_live=False)
            here.call("show_health", _iso(healthy_at))
            _headline(f"3. For {_minutes(_FAULT_LASTS)} partition 4 lands nothing, and connector task 1 fails")
        else:
            if not here.call("is_monitored"):
                # A first demo was interrupted.
                _headline(f"2. A tick at {last} UTC, where the stream ends: monitor, alert, transform")
                runs.transform(_iso(last), here, is_live=False)
                runs.tick(_iso(last), here, is_live=False)
                here.call("show_health", _iso(last))
            # No record of the future is landed.
            _headline(
                f"The stream reaches to {last} UTC: there is no time for a healthy stretch, and both faults go on"
            )
        here.call("produce", _iso(faulty_at), stalled_partition=4, failed_task=1)
        _headline(f"4. The next tick, at {faulty_at} UTC")
        runs.tick(_iso(faulty_at), here, is_live=False)
        here.call("show_health", _iso(faulty_at))
    console.print(
        "\nWhat next?\n"
        "  make demo                            continues the stream: the partition is released, then stalls again\n"
        "  python -m orchestration produce      lands what has been ordered since; then: make tick\n"
        "  make docs                            models and alerts explained, with lineage: target/static_index.html\n"
        "  vi dbt_project.yml                   the thresholds; SLACK_WEBHOOK_URL=... make tick posts to Slack",
        highlight=False,
    )


@app.command()
def serve() -> None:
    """Runs a tick every `evaluation_interval_minutes`, and the batch every night, by the Prefect server of
    PREFECT_API_URL, or one of its own."""
    prefect_api()  # whose address no retry can correct
    from orchestration.serve import serve_flows

    serve_flows()


@app.command(hidden=True)
def cron() -> None:
    """Prints the interval of ticks as a cron line, for prefect.yaml."""
    typer.echo(as_cron(evaluation_interval()))


def _is_shown(record: logging.LogRecord, nodes: bool, errors: bool) -> bool:
    """Whether this console shows it; the log of a flow run in Prefect has all. How a run failed is printed at its
    end."""
    if record.name == "orchestration.runner.nodes":
        return nodes
    failed = record.name in ("orchestration.outcomes", "orchestration.runs") and record.levelno >= logging.ERROR
    return errors or not (failed or str(record.msg).startswith(("Task run failed with", "Finished in state Failed")))


def _show(what: str, step: str, *args: Any, uses: str = "reads") -> None:
    with session(what, uses=uses) as here:
        if not here.call(step, *args):
            raise typer.Exit(1)


def _run(what: str, flow: str, given: str | None) -> None:
    """Does a run: as a flow of Prefect's where PREFECT_API_URL has a server that answers, without one elsewhere."""
    as_of = parse_as_of(given)
    from orchestration import runs

    problems, url = [], None
    # A server that hangs must not delay a run by hand: Prefect would ask it six times, for a minute each.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "1")
    os.environ.setdefault("PREFECT_API_REQUEST_TIMEOUT", "10")
    try:
        url = prefect_api().url
    except ValueError as error:
        problems.append(Outcome("Prefect API", "api", "error", f"{error} The run goes without Prefect."))
        logging.getLogger(__name__).error("%s", problems[0].message)
    if url:
        import httpx

        from orchestration import flows
        from orchestration.collectors.base import redact, secrets_of

        try:
            for page in ("health", "admin/version"):
                httpx.get(f"{url}/{page}", timeout=5).raise_for_status()
            state = getattr(flows, flow)(given, return_state=True)
        except Exception as error:
            said = redact(f"{type(error).__name__}: {error}".strip(": ").splitlines()[0], secrets_of(Settings()))
            if flows.HAS_BEGUN.is_set():
                raise RuntimeError(f"The run is done, and Prefect did not take how it ended: {said}") from None
            message = f"Prefect's server at PREFECT_API_URL does not answer ({said}): the run goes without it."
            logging.getLogger(__name__).error("%s", message)
            problems.append(Outcome("Prefect API", "api", "error", message))
        else:
            if not state.is_completed():
                raise DbtError(state.message)
            return
    with session(f"{what} {as_of}") as here:
        here.problems = problems
        # If it cannot be opened, the run says why, and reports it.
        with suppress(DbtError):
            here.open()
        getattr(runs, what)(as_of, here, is_live=is_now(given))


def _healthy_at(last: datetime | None, now: datetime) -> datetime | None:
    """When the healthy stretch of a demo ends, if there is time for one between the stream's end and now."""
    healthy_at = now - _FAULT_LASTS
    return healthy_at if last is None or healthy_at - last >= _STREAM_GOES_ON else None


def _minutes(duration: timedelta) -> str:
    return f"{duration / timedelta(minutes=1):.0f} minutes"


def _iso(instant: datetime) -> str:
    return f"{instant.isoformat()}Z"


def _headline(text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]", highlight=False)


def _run_app() -> str:
    """Runs the command line; returns the text of an error that says what to do, for which a traceback is no help."""
    try:
        app()
    except (RuntimeError, ValueError) as error:
        if not type(error).__module__.startswith(("orchestration", "builtins", "pydantic")):
            raise
        return f"{type(error).__name__}: {error}"
    raise AssertionError("the command line ends by SystemExit")


def _as_utf8() -> None:
    """Starts Python again where the locale would have it read and write anything else."""
    if sys.flags.utf8_mode or locale.getencoding().lower() in ("utf-8", "utf8"):
        return
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def _decoded(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        # No UTF-8, so it was typed in a Latin-1 terminal.
        return os.fsencode(word).decode("latin-1")
    return word


if __name__ == "__main__":
    _as_utf8()
    sys.argv = [_decoded(word) for word in sys.argv]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    # The files that a command makes have orders in them.
    os.umask(0o077)
    sys.exit(_run_app())
