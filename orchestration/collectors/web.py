"""JSON over HTTP: asked again where that can help, bounded in time, and never led to another host."""

import asyncio
import json
import zlib
from collections.abc import Coroutine
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from orchestration.collectors.base import SECONDS, CollectorError

T = TypeVar("T")
_TRIES, _TIMEOUT, _LONGEST_PAUSE = 3, 10, 15
_MOST = 50_000_000  # bytes of an answer, unpacked
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}


def address(given: str | None, setting: str, instead: str) -> str:
    """`given`, if it is an address that can be asked. Says nothing of it: there may be a password in it."""
    try:
        url = httpx.URL(given or "")
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise CollectorError(f"{setting} is not an address: write it like https://host:8083, with http:// or https://")
    if url.userinfo:
        raise CollectorError(f"{setting} must not hold credentials: give {instead}")
    return str(url)


def client(base_url: str, user: str | None, password: str | None) -> httpx.AsyncClient:
    """A client that sends the credentials, if there are any, to this address only: it follows no redirect."""
    auth = httpx.BasicAuth(user, password or "") if user else None
    packed = {"Accept-Encoding": "gzip"}
    return httpx.AsyncClient(base_url=base_url, auth=auth, headers=packed, timeout=_TIMEOUT, follow_redirects=False)


def run(work: Coroutine[Any, Any, T], what: str) -> T:
    """Runs `work` to its end, or breaks it off: an answer that drips has no timeout of its own."""

    async def bounded() -> T:
        async with asyncio.timeout(SECONDS):
            return await work

    try:
        return asyncio.run(bounded())
    except TimeoutError:
        raise CollectorError(
            f"{what} did not finish answering within {SECONDS} s: look at it, and at the network"
        ) from None


async def ask(http: httpx.AsyncClient, what: str, advice: dict[int, str], method: str, url: str, **request: Any) -> Any:
    """The answer's JSON. Raises CollectorError, which begins with `what`; `advice` is by status, 0 is for others."""
    for left in reversed(range(_TRIES)):
        pause = 0.5 * 2 ** (_TRIES - left)
        try:
            async with http.stream(method, url, **request) as answer:
                body = await _body(answer)
        except OverflowError:
            raise CollectorError(f"{what}: the answer has more than {_MOST // 10**6} MB: {advice[0]}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = f"no answer within {_TIMEOUT} s" if isinstance(error, httpx.TimeoutException) else str(error)
            problem = f"{what}: {type(error).__name__}: {said}: {advice[0]}"
        else:
            if answer.is_success:
                return _json(body, what, advice)
            problem = f"{what}: {_status(answer, body)}: {advice.get(answer.status_code, advice[0])}"
            pause = max(pause, retry_after(answer))
            if answer.status_code not in PASSING or pause > _LONGEST_PAUSE:
                break
        if left:
            await asyncio.sleep(pause)
    raise CollectorError(problem)


async def _body(answer: httpx.Response) -> bytes:
    """What is answered, unpacked by no more than may be kept. Raises OverflowError for more."""
    unpack = zlib.decompressobj(31) if answer.headers.get("content-encoding") == "gzip" else None
    body = bytearray()
    async for chunk in answer.aiter_raw():
        try:
            body += unpack.decompress(chunk, _MOST + 1 - len(body)) if unpack else chunk
        except zlib.error:
            return b""  # which is no JSON either
        if len(body) > _MOST:
            raise OverflowError
    return bytes(body)


def _json(body: bytes, what: str, advice: dict[int, str]) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise CollectorError(f"{what}: the answer is not JSON: {advice[0]}") from None


def _status(answer: httpx.Response, body: bytes) -> str:
    """The status, and what the answer says of it, or where it leads to."""
    text = f"{answer.status_code} {answer.reason_phrase}"
    if answer.has_redirect_location:
        return f"{text} to {answer.headers['location'][:200]}, where nothing is sent: give the address that answers"
    try:
        said = json.loads(body)
        said = said.get("message") or said["errors"][0].get("detail")
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
        said = None
    return f"{text} ({said[:200]})" if isinstance(said, str) else text


def retry_after(answer: httpx.Response) -> float:
    """Seconds that the answer asks to wait: a number, or a date of HTTP."""
    given = answer.headers.get("retry-after", "0")
    if given.isdecimal():
        return float(given)
    try:
        return (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
