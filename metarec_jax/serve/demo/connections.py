"""The connections of the page's server: whom it listens to, from when on, and how long it waits for anybody."""

import io
import socket
import socketserver
import time
from collections.abc import Callable
from typing import Any
from wsgiref import simple_server

SECONDS = 20  # for a request to come whole, and as long for its answer to be taken


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """One thread a connection: a browser opens some that it does not use."""

    daemon_threads = True
    request_queue_size = 128  # connections that wait to be taken; a page opens several at once, and so does each tab

    def listen(self, app: Callable) -> None:
        """From now on connections are taken, which `serve_forever` answers by the application.

        Raises:
          ValueError: another program has begun to listen on the port since `bind`.
        """
        self.set_app(app)
        try:
            self.server_activate()
        except OSError as error:
            raise _taken(self.server_port, error) from error


class Handler(simple_server.WSGIRequestHandler):
    """Says nothing of requests, and waits for none longer than its time."""

    def setup(self) -> None:
        """Read and write against the clock."""
        self.connection = self.request
        self.rfile, self.wfile = io.BufferedReader(_Request(self.connection)), _Reply(self.connection)

    def handle(self) -> None:
        """Answer the request; one whose head does not come is nobody's, and is left."""
        try:
            super().handle()
        except (TimeoutError, ConnectionError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class _Request(io.RawIOBase):
    """What comes within the time of a request, however it is spread over it. Reading on raises TimeoutError."""

    def __init__(self, connection: socket.socket):
        super().__init__()
        self._connection, self._end = connection, time.monotonic() + SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Reply(io.BufferedIOBase):
    """Where an answer goes. Somebody who does not take it in time counts as gone, of which wsgiref makes no fuss."""

    def __init__(self, connection: socket.socket):
        super().__init__()
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._connection.settimeout(SECONDS)
        try:
            self._connection.sendall(content)
        except TimeoutError as error:
            raise ConnectionAbortedError from error
        return memoryview(content).nbytes


def bind(port: int) -> Server:
    """A server that has the port of 127.0.0.1; 0 is any that is free. It listens when it has an application
    (`Server.listen`): until then who asks is told at once that nobody is there.

    Raises:
      ValueError: the port cannot be had.
    """
    server = Server(("127.0.0.1", port), Handler, bind_and_activate=False)
    try:
        server.server_bind()
    except OSError as error:
        server.server_close()
        raise _taken(port, error) from error
    return server


def _taken(port: int, error: OSError) -> ValueError:
    return ValueError(f"port {port} cannot be had ({error.strerror}); choose another --port.")
