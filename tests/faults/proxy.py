"""A TCP proxy before any server, whose connections go wrong as a test says, at the moment it says so."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import TypeAlias

from typing_extensions import Self

from faults.http2 import Frame, Splitter

__all__ = ["Behaviour", "Lane", "Proxy", "bytewise", "cut", "forward", "hold", "reset_after", "slow", "twice"]


class Lane:
    """One direction of one connection.

    Args:
        proxy: the proxy.
        link: the connection.
        name: ``"up"`` to the server or ``"down"`` to the client.
        source: where it reads.
        destination: where it writes.
    """

    def __init__(
        self, proxy: Proxy, link: _Link, name: str, source: socket.socket, destination: socket.socket
    ) -> None:
        self.proxy = proxy
        self.name = name
        self._link = link
        self._source = source
        self._destination = destination
        self._lock = threading.Lock()

    @property
    def behaviour(self) -> Behaviour:
        """What happens in this direction now."""
        return self.proxy.behaviours[self.name]

    def send(self, data: bytes) -> None:
        """Write bytes that belong together: a frame that is injected never gets between them."""
        with self._lock:
            self._destination.sendall(data)

    def reset(self) -> None:
        """End the connection in both directions with a RST."""
        self._link.close(reset=True)

    def take(self, unit: Frame | bytes) -> None:
        """Let the behaviour of the moment have a frame."""
        self.behaviour(self, unit)

    def pump(self) -> None:
        """Read until the end."""
        splitter = Splitter(preface=self.name == "up")
        with contextlib.suppress(OSError):
            while data := self._source.recv(65536):
                for unit in splitter.feed(data):
                    self.take(unit)
            if self.name == "down":  # a peer whose bytes are held is not heard hanging up either
                self.proxy.wait_while(lambda: self.behaviour is hold)
        self._link.close()


Behaviour: TypeAlias = "Callable[[Lane, Frame | bytes], None]"
"""What is done with each frame (or the preface) of a direction."""


def encoded(unit: Frame | bytes) -> bytes:
    return unit if isinstance(unit, bytes) else unit.encode()


def forward(lane: Lane, unit: Frame | bytes) -> None:
    """Behave well."""
    lane.send(encoded(unit))


def hold(lane: Lane, unit: Frame | bytes) -> None:
    """Deliver nothing. TCP loses nothing either: what is held is delivered when this ends."""
    lane.proxy.wait_while(lambda: lane.behaviour is hold)
    lane.take(unit)


def bytewise(lane: Lane, unit: Frame | bytes) -> None:
    """Deliver one byte at a time."""
    for byte in encoded(unit):
        lane.send(bytes([byte]))


def slow(seconds: float) -> Behaviour:
    """Let each direction stall once, for this long, before its next frame."""
    stalled: set[str] = set()

    def behaviour(lane: Lane, unit: Frame | bytes) -> None:
        if lane.name not in stalled:
            stalled.add(lane.name)
            lane.proxy.pause(seconds)
        forward(lane, unit)

    return behaviour


def reset_after(count: int) -> Behaviour:
    """Deliver this many bytes more, then reset every connection."""
    left = count

    def behaviour(lane: Lane, unit: Frame | bytes) -> None:
        nonlocal left
        data = encoded(unit)
        if left:
            lane.send(data[:left])
        left = max(left - len(data), 0)
        if not left:
            lane.reset()

    return behaviour


def twice(kind: int) -> Behaviour:
    """Deliver the next frame of this kind twice."""
    return _once(kind, lambda lane, frame: lane.send(frame.encode() * 2))


def cut(kind: int, *, honest: bool) -> Behaviour:
    """Deliver half of the next frame of this kind; see `Frame.cut`."""
    return _once(kind, lambda lane, frame: lane.send(frame.cut(honest=honest).encode()))


def _once(kind: int, damage: Callable[[Lane, Frame], None]) -> Behaviour:
    done = False

    def behaviour(lane: Lane, unit: Frame | bytes) -> None:
        nonlocal done
        if not done and isinstance(unit, Frame) and unit.kind == kind and unit.payload:
            done = True
            damage(lane, unit)
        else:
            forward(lane, unit)

    return behaviour


class _Link:
    """One connection of a client and the one it is passed on to."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._sockets = (client, server)
        self._lock = threading.Lock()
        self._closed = False
        self.up = Lane(proxy, self, "up", client, server)
        self.down = Lane(proxy, self, "down", server, client)

    def start(self) -> None:
        for lane in (self.up, self.down):
            self._proxy.run(lane.pump)

    def close(self, *, reset: bool = False) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for end in self._sockets:
                if reset:
                    # Closing without lingering sends a RST.
                    output_names = "hh" if sys.platform == "win32" else "ii"
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(output_names, 1, 0))
                with contextlib.suppress(
                    OSError
                ):  # wakes the other pump, which would keep the connection open
                    end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                end.close()
        self._proxy.forget(self)


class Proxy:
    """Pass connections on to a server, well or badly. A context manager; use it from any thread.

    Args:
        url: ``host:port`` of the server; may be set while it runs, for new connections.
    """

    def __init__(self, url: str) -> None:
        self.server = url
        self.behaviours: dict[str, Behaviour] = {"up": forward, "down": forward}
        self.accepted = 0
        """How many connections there were."""
        self._changed = threading.Condition()
        self._links: set[_Link] = set()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._listening = False
        self._listener = self._bind(0)
        self.port: int = self._listener.getsockname()[1]
        """Where it listens."""
        self.url = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._close_listener()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} is stuck"

    # --- faults

    def behave(self, *, up: Behaviour | None = None, down: Behaviour | None = None) -> None:
        """Change what happens in a direction, from the next frame on."""
        with self._changed:
            self.behaviours.update({"up": up} if up else {}, **({"down": down} if down else {}))
            self._changed.notify_all()

    def black_hole(self) -> None:
        """Accept connections and deliver nothing, in either direction."""
        self.behave(up=hold, down=hold)

    def refuse(self) -> None:
        """Refuse new connections and reset those that are."""
        self._close_listener()
        self._listener = self._bind(self.port)  # without listening: the port stays ours and refuses
        self.hang_up(reset=True)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close all connections, or reset them."""
        with self._changed:
            links = tuple(self._links)
        for link in links:
            link.close(reset=reset)

    def inject(self, data: bytes) -> None:
        """Send this to every client, between two frames."""
        with self._changed:
            links = tuple(self._links)
        for link in links:
            with contextlib.suppress(OSError):  # of a connection that the client has just left
                link.down.send(data)

    def heal(self) -> None:
        """Take every fault away; what was held is delivered."""
        self.behave(up=forward, down=forward)
        if not self._listening:
            self._listen()

    # --- for lanes and links

    def wait_while(self, condition: Callable[[], bool]) -> None:
        """Wait until a change of behaviour ends the condition; raise OSError if the proxy stops first."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not condition())
            if self._stopped:
                raise OSError("the proxy has stopped")

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the proxy lives."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def run(self, work: Callable[[], None]) -> None:
        """Do this in a thread that `__exit__` waits for."""
        thread = threading.Thread(target=work, name="faults.proxy", daemon=True)
        with self._changed:
            self._threads = [thread, *(item for item in self._threads if item.is_alive())]
            thread.start()

    def forget(self, link: _Link) -> None:
        """Forget a connection that is closed."""
        with self._changed:
            self._links.discard(link)

    # --- listening

    def _bind(self, port: int) -> socket.socket:
        listener = socket.socket()
        if sys.platform != "win32":  # where it would let others steal the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def _listen(self) -> None:
        self._listener.listen(128)
        self._listener.settimeout(0.05)  # not every system wakes a thread whose listener is closed
        self._listening = True
        listener = self._listener
        self.run(lambda: self._accept(listener))

    def _close_listener(self) -> None:
        self._listening = False
        with contextlib.suppress(OSError):  # refuses at once on Linux, even while a thread waits in accept
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        host, _, port = self.server.rpartition(":")
        try:
            server = socket.create_connection((host, int(port)), 5)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(self, client, server)
        with self._changed:
            self.accepted += 1
            self._links.add(link)
        link.start()
