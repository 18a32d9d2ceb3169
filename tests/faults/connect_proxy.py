"""A real HTTP proxy that takes CONNECT, as companies have them, on a port of this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from typing_extensions import Self

__all__ = ["ConnectProxy"]


class ConnectProxy:
    """A proxy; what it is asked for is in ``wanted`` as ``host:port``, with the credentials in ``credentials``.

    Args:
        code: what it answers: 200 connects, others refuse, 0 never answers.
        destination: where it connects whatever it is asked for; else where it is asked to.
    """

    def __init__(self, code: int = 200, destination: str = "") -> None:
        self.code = code
        self.destination = destination
        self.wanted: list[str] = []
        self.credentials: list[str] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
        for item in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()

    def _kept(self, item: socket.socket) -> socket.socket:
        """Close a socket at the end, or at once after it."""
        with self._lock:
            if not self._over:
                self._sockets.append(item)
                return item
        item.close()
        raise ConnectionAbortedError

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the end
            while True:
                client = self._kept(self._listener.accept()[0])
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, IndexError):  # the client went, perhaps without a word
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096) or b"\r\n\r\n"
            lines = head.decode().split("\r\n")
            self.credentials += [line for line in lines if line.lower().startswith("proxy-authorization")]
            self.wanted.append(lines[0].split()[1])
            if not self.code:
                return  # and the connection stays open
            client.sendall(f"HTTP/1.1 {self.code} Answer\r\n\r\n".encode())
            if self.code != 200:
                client.shutdown(socket.SHUT_RDWR)
                return
            host, _, port = (self.destination or self.wanted[-1]).rpartition(":")
            server = self._kept(socket.create_connection((host.strip("[]"), int(port))))
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
            self._pump(client, server)

    @staticmethod
    def _pump(source: socket.socket, destination: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                destination.sendall(data)
            destination.shutdown(socket.SHUT_RDWR)
