"""Links that tests can spoil: TCP relays that delay, stall, or lead somewhere else."""

import asyncio
import contextlib
import random
import socket
import threading

from cluster import free_port

CHUNK = 1 << 16
RETRANSMISSION = 0.2  # seconds; what a lost packet costs, as TCP's shortest timeout


class Link:
    """What listens on `port` and leads to `target`, a (host, port). Changes hold at once, also for
    connections that exist. Any thread but the relays' own.

    While it is dark nothing gets through, in either direction, and nothing is lost: as with cables
    that are pulled out, each side believes that the other is slow. Connections are accepted, as the
    kernel of a machine behind a slow link does."""

    def __init__(self, loop, target):
        self._loop, self.target = loop, target
        self.port = free_port()
        self.accepted = 0   # connections that have come
        self.most = 0       # ... that were there at the same time
        self._open = set()  # tasks, one a connection
        self._lit = asyncio.Event()
        self._lit.set()
        self._delay, self._jitter, self._loss = 0.0, 0.0, 0.0
        self._server = None
        self._call(self._start())

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    # --- what tests do to it

    def darken(self):
        self._call(self._set_lit(False))

    def light(self):
        self._call(self._set_lit(True))

    @contextlib.contextmanager
    def dark(self):
        self.darken()
        try:
            yield
        finally:
            self.light()

    def spoil(self, delay=0.0, jitter=0.0, loss=0.0):
        """From now on each piece of data takes `delay` to `delay + jitter` seconds, and with the
        probability `loss` a retransmission more."""
        self._delay, self._jitter, self._loss = delay, jitter, loss

    def lead_to(self, target):
        """As a name or an address that moves: what was connected is reset."""
        self._call(self._move(target))

    def close(self):
        self._call(self._stop())

    # --- on the relays' thread

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _stop(self):
        self._server.close()
        await self._reset()

    async def _set_lit(self, lit):
        if lit:
            self._lit.set()
        else:
            self._lit.clear()

    async def _move(self, target):
        self.target = target
        await self._reset()

    async def _reset(self):
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._open.add(task)
        self.accepted += 1
        self.most = max(self.most, len(self._open))
        writers = [writer]
        try:
            await self._lit.wait()
            there, onward = await asyncio.open_connection(*self.target)
            writers.append(onward)
            for w in writers:
                w.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.gather(self._pass(reader, onward), self._pass(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # the other side is told by a reset
        finally:
            self._open.discard(task)
            for w in writers:
                w.transport.abort()

    async def _pass(self, reader, writer):
        while data := await reader.read(CHUNK):
            await self._travel()
            writer.write(data)
            await writer.drain()
        await self._travel()
        if writer.can_write_eof():
            writer.write_eof()

    async def _travel(self):
        time = self._delay + self._jitter * random.random()
        while random.random() < self._loss:
            time += RETRANSMISSION
        if time:
            await asyncio.sleep(time)
        await self._lit.wait()


class Relays:
    """The thread that links run on. Holds a `with`."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        for link in self._links:
            link.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def link(self, target):
        self._links.append(Link(self._loop, target))
        return self._links[-1]
