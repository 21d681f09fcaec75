"""A web server on the loopback: for the files of a folder, or with a handler of the test's."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Log nothing."""


def serving(folder: Path, port: int = 0) -> AbstractContextManager[str]:
    """Serve `folder` at `port`, or at a free one; the block gets the URL."""
    return running(functools.partial(_Quiet, directory=str(folder)), port)


@contextmanager
def running(handler: Callable[..., BaseRequestHandler], port: int = 0) -> Iterator[str]:
    """Serve with `handler` at `port`, or at a free one; yield the URL."""
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
