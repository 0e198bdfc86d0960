"""A small MNIST, configurations, and a local server that misbehaves on request."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.small_sets import SmallMnist


@pytest.fixture
def small_mnist() -> SmallMnist:
    pixels = np.random.default_rng(0).integers(0, 256, (14, 28, 28), np.uint8)
    return SmallMnist(pixels[:10], pixels[10:])


@dataclass
class Mirror:
    """A local server of `files`; `faults` names what it does wrong, `requests` is what it was asked for."""

    url: str
    files: dict[str, bytes]
    faults: set[str] = field(default_factory=set)
    requests: list[tuple[str, str | None]] = field(default_factory=list)


def _handler(mirror: Mirror, released: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.lstrip("/"), self.headers.get("Range")
            mirror.requests.append((name, wanted))
            content = mirror.files.get(name)
            if "silent" in mirror.faults:
                released.wait(10)
                return
            if content is None:
                self.send_error(404)
                return
            start = 0
            if wanted and "no ranges" not in mirror.faults:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            if "no length" not in mirror.faults:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            rest = content[start:]
            if "cuts off" in mirror.faults:
                self.wfile.write(rest[: len(rest) // 2])
            elif "stalls" in mirror.faults:
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                released.wait(10)
            elif "trickles" in mirror.faults:
                for byte in rest:
                    self.wfile.write(bytes((byte,)))
                    self.wfile.flush()
                    if released.wait(0.02):
                        return
            else:
                self.wfile.write(rest)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that hang up are what is tested


@pytest.fixture
def mirror() -> Iterator[Callable[..., Mirror]]:
    """``mirror(files, *faults)`` starts a server."""
    servers: list[socketserver.BaseServer] = []
    released = threading.Event()

    def start(files: dict[str, bytes], *faults: str) -> Mirror:
        made = Mirror("", files, set(faults))
        server = _QuietServer(("127.0.0.1", 0), _handler(made, released))
        made.url = f"http://127.0.0.1:{server.server_address[1]}/"
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return made

    yield start
    released.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """A configuration of the group `data`, as attributes."""

    def make(name: str, **changes: object) -> SimpleNamespace:
        values: dict[str, object] = {
            "name": name,
            "root": str(tmp_path),
            "mirrors": [],
            "timeout_sec": 5.0,
            "fallback": None,
            "limit": None,
            "validation_count": 2,
        }
        return SimpleNamespace(**(values | changes))

    return make
