"""A server of one file that misbehaves as it is told; everything stays on this machine."""

import contextlib
import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT, each request after the manner at the head of `manners` (default: well)."""

    daemon_threads = True

    def __init__(self, *manners: str):
        super().__init__(("127.0.0.1", 0), Handler)
        self.manners = list(manners)
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data/train.csv"


class Handler(http.server.BaseHTTPRequestHandler):
    """One answer, in the manner whose words it is given: 404, to URL, cut, no-range, odd, endless (no length), slow."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        manner = self.server.manners.pop(0) if self.server.manners else "well"
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if manner.isdigit():
            self.send_error(int(manner))
            return
        if manner.startswith("to "):
            self.send_response(302)
            self.send_header("Location", manner.removeprefix("to "))
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and "no-range" not in manner else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if "endless" not in manner:
            self.send_header("Content-Length", "12 apples" if "odd" in manner else str(len(body)))
        self.end_headers()
        if "slow" in manner:
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        self.wfile.write(body[: len(body) // 2] if "cut" in manner else body)


@contextlib.contextmanager
def serving(monkeypatch) -> Iterator[Callable[..., Server]]:
    """Starts servers, `start(*manners)`, and ends them."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(*manners: str) -> Server:
        servers.append(Server(*manners))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
