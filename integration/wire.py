"""A raw client of the PostgreSQL protocol: sends any bytes, sees every frame."""

import os
import socket
import struct
import time
from typing import NamedTuple

from scram import ScramClient, md5_response

PROTOCOL_3_0 = 196608
PROTOCOL_3_2 = 196610
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)
HANG = float(os.environ.get("PGWEIR_HANG", "30"))  # seconds after which no answer is taken to come


class Frame(NamedTuple):
    type: str
    body: bytes

    def __repr__(self):
        if self.type in "EN":
            return f"{self.type}{fields(self)}"
        shown = self.body if len(self.body) <= 80 else self.body[:80] + b"..."
        return f"{self.type}{shown!r}"


class Closed(Exception):
    """The peer closed (or reset) the connection."""


# --- messages ------------------------------------------------------------------------------------


def message(kind, body=b""):
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def cstr(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def startup(params, protocol=PROTOCOL_3_0):
    pairs = params.items() if isinstance(params, dict) else params
    body = struct.pack("!i", protocol) + b"".join(cstr(k) + cstr(v) for k, v in pairs) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def query(sql):
    return message("Q", cstr(sql))


def parse(sql, name="", types=()):
    oids = struct.pack(f"!h{len(types)}i", len(types), *types)
    return message("P", cstr(name) + cstr(sql) + oids)


def bind(values=(), statement="", portal="", result_format=0, formats=()):
    body = cstr(portal) + cstr(statement)
    body += struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            raw = value if isinstance(value, bytes) else str(value).encode()
            body += struct.pack("!i", len(raw)) + raw
    return message("B", body + struct.pack("!hh", 1, result_format))


def describe(kind="P", name=""):
    return message("D", kind.encode() + cstr(name))


def execute(portal="", rows=0):
    return message("E", cstr(portal) + struct.pack("!i", rows))


def close(kind="S", name=""):
    return message("C", kind.encode() + cstr(name))


def function_call(oid, *args):
    body = struct.pack("!ihh", oid, 0, len(args))
    for arg in args:
        body += struct.pack("!i", len(arg)) + arg
    return message("F", body + struct.pack("!h", 0))


def copy_data(data):
    return message("d", data)


SYNC = message("S")
FLUSH = message("H")
COPY_DONE = message("c")
COPY_FAIL = message("f", cstr("client gave up"))
TERMINATE = message("X")


# --- answers -------------------------------------------------------------------------------------


def fields(frame):
    """The fields of an ErrorResponse or NoticeResponse: {"C": "57014", "M": ...}."""
    found = {}
    for part in frame.body.split(b"\0"):
        if part:
            found[chr(part[0])] = part[1:].decode("utf-8", "replace")
    return found


def sqlstates(frames):
    return [fields(f)["C"] for f in frames if f.type == "E"]


def told(frames):
    """(SQLSTATEs, the status that ReadyForQuery tells; "": the connection ended)."""
    return sqlstates(frames), frames[-1].body.decode() if frames[-1].type == "Z" else ""


def row_values(frame):
    count, at, values = struct.unpack("!h", frame.body[:2])[0], 2, []
    for _ in range(count):
        (size,) = struct.unpack("!i", frame.body[at : at + 4])
        at += 4
        values.append(None if size < 0 else frame.body[at : at + size].decode())
        at += max(size, 0)
    return values


def rows(frames):
    return [row_values(f) for f in frames if f.type == "D"]


def types(frames):
    return "".join(f.type for f in frames)


class Wire:
    """One connection. Every read gives up after HANG seconds."""

    def __init__(self, address, timeout=HANG, receive_buffer=None, source=None, segment=None):
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.address = address
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if segment:  # small ones make both kernels buffer little
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        self.sock.settimeout(timeout)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect(address)
        self.buffer = bytearray()
        self.parameters = {}
        self.key = b""          # BackendKeyData's body
        self.welcome = []       # every frame from the startup message to the first ReadyForQuery

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Leaves with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, *parts):
        try:
            self.sock.sendall(b"".join(parts))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error
        return self

    def _fill(self):
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("end of stream")
        self.buffer += data

    def read_bytes(self, count):
        while len(self.buffer) < count:
            self._fill()
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    def read(self):
        head = self.read_bytes(5)
        (size,) = struct.unpack("!i", head[1:])
        return Frame(chr(head[0]), self.read_bytes(size - 4))

    def read_until(self, *stops):
        frames = []
        while not frames or frames[-1].type not in stops:
            frames.append(self.read())
        return frames

    def read_ready(self, count=1):
        """All frames up to the count-th ReadyForQuery."""
        frames = []
        for _ in range(count):
            frames += self.read_until("Z")
        return frames

    def outcome(self):
        """All frames up to a ReadyForQuery, or to the end if the peer closes instead."""
        frames = []
        try:
            while not frames or frames[-1].type != "Z":
                frames.append(self.read())
        except Closed:
            pass
        return frames

    def drain(self):
        """All frames until the peer closes."""
        frames = []
        try:
            while True:
                frames.append(self.read())
        except Closed:
            return frames

    def raw_until_closed(self):
        try:
            while True:
                self._fill()
        except Closed:
            return bytes(self.buffer)

    def closed_within(self, seconds):
        """Does the peer close within so many seconds? What it sends before is kept."""
        deadline = time.monotonic() + seconds
        self.sock.settimeout(seconds)
        try:
            while time.monotonic() < deadline:
                self._fill()
        except Closed:
            return True
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(HANG)
        return False

    def silent_for(self, seconds):
        """Nothing arrives, and the connection stays."""
        if self.buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        except ConnectionResetError:
            pass
        finally:
            self.sock.settimeout(HANG)
        return False

    # --- login ---

    def login(self, user, database, password=None, protocol=PROTOCOL_3_0, **params):
        """Starts up and authenticates by whatever is asked for, up to the first ReadyForQuery.

        Stops early at an ErrorResponse; `welcome` then ends with it."""
        self.send(startup({"user": user, "database": database, **params}, protocol))
        return self.authenticate(user, password)

    def authenticate(self, user, password):
        self.welcome, scram = [], None
        while True:
            frame = self.read()
            self.welcome.append(frame)
            if frame.type == "R":
                (kind,) = struct.unpack("!i", frame.body[:4])
                if kind == 3:
                    self.send(message("p", cstr(password or "")))
                elif kind == 5:
                    self.send(message("p", cstr(md5_response(user, password or "",
                                                             frame.body[4:8]))))
                elif kind == 10:
                    scram = ScramClient(password or "")
                    first = scram.first()
                    self.send(message("p", cstr("SCRAM-SHA-256")
                                      + struct.pack("!i", len(first)) + first))
                elif kind == 11:
                    self.send(message("p", scram.final(frame.body[4:])))
                elif kind == 12:
                    assert scram.verify(frame.body[4:]), "the server's SCRAM signature is wrong"
            elif frame.type == "S":
                name, value = frame.body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif frame.type == "K":
                self.key = frame.body
            elif frame.type in "EZ":
                return self

    @property
    def login_error(self):
        last = self.welcome[-1]
        return fields(last) if last.type == "E" else None

    def query(self, sql):
        return self.send(query(sql)).read_until("Z")

    def values(self, sql):
        """The rows of a statement that must succeed."""
        frames = self.query(sql)
        assert not sqlstates(frames), (sql, frames)
        return rows(frames)

    def value(self, sql):
        return self.values(sql)[0][0]

    def cancel(self, address=None):
        """Sends a CancelRequest for this connection, perhaps to another pgweir, and waits until the
        peer closed it."""
        with Wire(address or self.address) as other:
            other.send(struct.pack("!ii", 8 + len(self.key), 80877102) + self.key)
            other.raw_until_closed()
