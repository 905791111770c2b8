"""Somebody between a client and a server who ends TLS on both sides, with another certificate."""

import contextlib
import selectors
import socket
import ssl
import struct
import threading

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class Middleman:
    """Passes on to the address `to` whatever comes to `port`, and reads all of it."""

    def __init__(self, to, identity):
        self.to, self.heard = to, bytearray()
        self.mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.mine.load_cert_chain(identity.certificate, identity.key)
        self.mine.set_alpn_protocols(["postgresql"])
        self.theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.theirs.check_hostname, self.theirs.verify_mode = False, ssl.CERT_NONE
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain):
        with contextlib.suppress(OSError), plain, socket.create_connection(self.to) as beyond:
            assert plain.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
            beyond.sendall(SSL_REQUEST)
            assert beyond.recv(1) == b"S"
            plain.sendall(b"S")
            with (self.mine.wrap_socket(plain, server_side=True) as client,
                  self.theirs.wrap_socket(beyond) as server):
                self._pass_on(client, server)

    def _pass_on(self, client, server):
        other = {client: server, server: client}
        with selectors.DefaultSelector() as ready:
            for end in other:
                end.settimeout(5)
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    source = key.fileobj
                    data = source.recv(65536)
                    while source.pending():
                        data += source.recv(source.pending())
                    if not data:
                        return
                    self.heard += data
                    other[source].sendall(data)

    def close(self):
        self.listener.close()
