"""HTTP servers on loopback that answer as a test says, and record what they are sent."""

import contextlib
import http.server
import json
import threading
from typing import Any

SECRET = "T000/B000/s3cr3tPart"


class Receiver:
    """A webhook on loopback that answers with each of `answers` in turn: (status, body, headers)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.received: list[dict[str, Any]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status, body, headers = receiver.answers.pop(0) if receiver.answers else (200, "ok", {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"


class Web:
    """Answers with each of `answers` in turn, and the last one again and again: (status, body, headers)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any, dict[str, str]]] = []
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.hangs = threading.Event()
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                web.asked.append((self.path, dict(self.headers), json.loads(body) if body[:1] == b"{" else None))
                status, said, headers = web.answers[0] if len(web.answers) == 1 else web.answers.pop(0)
                if status == 0:
                    web.hangs.wait(20)
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                said = said if isinstance(said, str | bytes) else json.dumps(said)
                with contextlib.suppress(OSError):
                    self.wfile.write(said.encode() if isinstance(said, str) else said)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, body: Any, status: int = 200, **headers: str) -> "Web":
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))
        return self

    def stop(self) -> None:
        self.hangs.set()
        self.server.shutdown()
        self.server.server_close()


def text_of(sent: dict[str, Any]) -> str:
    """What people read of a message of Slack."""
    return "\n".join(block["text"]["text"] for block in sent["blocks"] if "text" in block)
