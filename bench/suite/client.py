"""A blocking PostgreSQL client: TLS, login (trust or SCRAM) and simple queries, nothing else.

It exists so that the benchmark needs no package beside Python's own, and so that ten thousand idle
clients cost one socket each.
"""

import functools
import socket
import ssl
import struct

from suite import scram


class ServerError(Exception):
    """An ErrorResponse. `is_fatal`: the connection ends with it."""

    def __init__(self, sqlstate, text, is_fatal=False):
        super().__init__(f"{sqlstate}: {text}")
        self.sqlstate = sqlstate
        self.is_fatal = is_fatal


class Client:
    """One logged-in connection. `address` is (host, port) or the path of a unix socket. `tls`: by
    TLS 1.3, whoever the other side is."""

    __slots__ = ("_socket", "_buffer")

    def __init__(self, address, user, database, password=None, timeout=60.0, tls=False):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._buffer = b""
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(address)
            if family == socket.AF_INET:  # as libpq does
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self._secure()
            self._login(user, database, password)
        except BaseException:
            self._socket.close()
            raise

    def query(self, text):
        """Runs one simple query; its rows as lists of text. Raises ServerError, or OSError when the
        connection ends without one."""
        self._send(b"Q", text.encode() + b"\0")
        rows, error = [], None
        while True:
            kind, body = self._receive()
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                error = _error(body)
                if error.is_fatal:
                    raise error
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def close(self):
        try:
            self._send(b"X", b"")
        except OSError:
            pass
        self._socket.close()

    def _secure(self):
        self._socket.sendall(struct.pack("!ii", 8, 80877103))
        if self._socket.recv(1) != b"S":
            raise ConnectionError("the server does not speak TLS")
        self._socket = _tls_context().wrap_socket(self._socket)

    def _login(self, user, database, password):
        # The parameters pgbench sends, so that an idle client weighs what one of pgbench's weighs.
        parameters = {"user": user, "database": database, "client_encoding": "UTF8",
                      "application_name": "pgbench"}
        body = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
        self._socket.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
        exchange = None
        while True:
            kind, body = self._receive()
            if kind == b"E":
                raise _error(body)
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            step = struct.unpack_from("!i", body)[0]
            if step == 10:
                exchange = scram.Exchange(password)
                first = exchange.first
                self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
            elif step == 11:
                self._send(b"p", exchange.final(body[4:]))
            elif step not in (0, 12):
                raise ConnectionError(f"authentication request {step} is not supported here")

    def _send(self, kind, body):
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _receive(self):
        while len(self._buffer) < 5:
            self._fill()
        size = struct.unpack_from("!i", self._buffer, 1)[0] + 1
        while len(self._buffer) < size:
            self._fill()
        message, self._buffer = self._buffer[:size], self._buffer[size:]
        return message[:1], message[5:]

    def _fill(self):
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data


@functools.cache
def _tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _row(body):
    values, at = [], 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return values


def _error(body):
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return ServerError(fields.get(b"C", "?"), fields.get(b"M", "?"),
                       fields.get(b"V", fields.get(b"S")) in ("FATAL", "PANIC"))
