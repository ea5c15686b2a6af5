"""The command line: `python -m orchestration --help`."""

import csv
import getpass
import logging
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console() if sys.stdout.isatty() else Console(width=160)
AsOf = Annotated[str | None, typer.Option("--as-of", help="The instant to evaluate, ISO 8601 UTC. Default: now.")]


@app.callback()
def main(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show every dbt node.")] = False) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.getLogger("orchestration").setLevel(logging.INFO)
    logging.getLogger("orchestration.runner.nodes").setLevel(logging.INFO if verbose else logging.CRITICAL)


@app.command()
def tick(as_of: AsOf = None) -> None:
    """Monitors, alerts and transforms, once, and shows the health table."""
    from orchestration.flows import project
    from orchestration.health import show_health
    from orchestration.settings import parse_as_of

    as_of = parse_as_of(as_of)
    _run("streaming_tick", as_of)
    show_health(project(), as_of, console)


@app.command()
def monitor(as_of: AsOf = None) -> None:
    """Only the first half of a tick: collect, evaluate, alert."""
    _run("monitor_streaming", as_of)


@app.command()
def transform(as_of: AsOf = None) -> None:
    """Only the second half of a tick: bring FCT_ORDERS up to date, if records are pending."""
    _run("streaming_dbt_transform", as_of)


@app.command()
def nightly(as_of: AsOf = None) -> None:
    """Rebuilds the closed days that late data touched, and deletes what the retention variables allow."""
    _run("nightly_batch", as_of)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", help="Records that arrived from here on, ISO 8601 UTC.")],
    last: Annotated[str, typer.Option("--to", help="... and before this, ISO 8601 UTC.")],
    as_of: AsOf = None,
) -> None:
    """Loads what arrived too late for any run to find, day by day, and says what it changed."""
    from orchestration.flows import backfill

    rows = 0
    for day in backfill(first, last, as_of):
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
    from orchestration.health import show_health
    from orchestration.runner import Dbt
    from orchestration.settings import parse_as_of

    if not show_health(Dbt(), parse_as_of(as_of), console):
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """Tries every connection, and compares topics and connectors with the seeds. Exit code 1 if one fails."""
    from orchestration.check import show_check

    if not show_check(console):
        raise typer.Exit(1)


@app.command()
def alerts(as_of: AsOf = None) -> None:
    """Shows what is open, since when, and when it was last told. Exit code 1 if anything is."""
    from orchestration.health import show_alerts
    from orchestration.runner import Dbt
    from orchestration.settings import parse_as_of

    if not show_alerts(Dbt(), parse_as_of(as_of), console):
        raise typer.Exit(1)


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
    from orchestration.runner import Dbt
    from orchestration.settings import PROJECT_DIR, parse_as_of, parse_instant

    pattern = ".*".join(re.escape(part) for part in alert.split("*"))
    names = Dbt().alerts()
    if not entity:
        raise ValueError("--entity is empty: * is any entity.")
    if not any(re.fullmatch(pattern, name) for name in names):
        raise ValueError(f"No alert is called {alert!r}; they are: {', '.join(sorted(names))}.")
    begin = parse_instant(start, "from") if start else parse_instant(parse_as_of(None), "from")
    times = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (begin, begin + timedelta(hours=hours)))
    seed = PROJECT_DIR / "seeds" / "silences.csv"
    ends_line = seed.read_text().endswith("\n")
    with seed.open("a", newline="") as file:
        # Not every editor ends the last line.
        file.write("" if ends_line else "\n")
        csv.writer(file, lineterminator="\n").writerow([alert, entity, *times, by or getpass.getuser(), comment])
    console.print("Added to seeds/silences.csv: the next tick takes it from there. Commit it.")


@app.command()
def test_alert() -> None:
    """Sends a test message through each configured receiver, and says what came back. Exit code 1 if one fails."""
    from orchestration.notify import configured
    from orchestration.receivers import send_test
    from orchestration.settings import Settings

    settings, failed = Settings(), False
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
    from orchestration.flows import project
    from orchestration.settings import parse_as_of

    end = parse_as_of(until)
    project().run_operation(
        "generate_stream",
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
    console.print("Loading dbt and Prefect ...")
    from orchestration.flows import project, streaming_dbt_transform, streaming_tick
    from orchestration.health import show_health

    dbt = project()
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    reached = "select max(collected_at) as at from {{ source('streaming', 'kafka_offsets') }}"
    last = dbt.query(reached, _iso(now))[0]["at"]
    healthy_at = max(now - timedelta(minutes=12), last + timedelta(minutes=10)) if last else now - timedelta(minutes=12)
    faulty_at = healthy_at + timedelta(minutes=12)

    _headline(f"1. {'More' if last else 'A week of'} orders arrive, as the Snowflake sink connector lands them")
    dbt.run_operation("generate_stream", _iso(healthy_at))
    console.print("Loading them into ANALYTICS.FCT_ORDERS ...")
    streaming_dbt_transform.fn(_iso(healthy_at))
    _headline(f"2. A tick at {healthy_at} UTC: monitor, alert, transform")
    streaming_tick.fn(_iso(healthy_at))
    show_health(dbt, _iso(healthy_at), console)

    _headline("3. For twelve minutes partition 4 lands nothing, and connector task 1 fails")
    dbt.run_operation("generate_stream", _iso(faulty_at), stalled_partition=4, failed_task=1)
    _headline(f"4. The next tick, at {faulty_at} UTC")
    streaming_tick.fn(_iso(faulty_at))
    show_health(dbt, _iso(faulty_at), console)
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
    """Runs a tick every five minutes, and the batch every night, under the Prefect API of PREFECT_API_URL."""
    from orchestration.flows import serve_flows

    serve_flows()


def _run(flow: str, as_of: str | None) -> None:
    """Runs a flow under Prefect's API, if one is configured; a laptop needs no server for a tick."""
    from prefect.settings import get_current_settings

    from orchestration import flows

    run = getattr(flows, flow)
    (run if get_current_settings().api.url else run.fn)(as_of)


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


if __name__ == "__main__":
    sys.exit(_run_app())
