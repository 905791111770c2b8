"""The stored SCRAM secret all servers of the benchmark share, and the client's side of the exchange.

RFC 5802, RFC 7677; the stored form is PostgreSQL's, "SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER".
"""

import base64
import functools
import hashlib
import hmac
import os

# PostgreSQL's default is 4096. Only the client pays for rounds, the servers hold the finished keys, and
# pgbench would need minutes of its own CPU to log 5,000 clients in.
ITERATIONS = 64


def _hmac(key, data):
    return hmac.digest(key, data, "sha256")


@functools.lru_cache(maxsize=16)
def _salted_password(password, salt, iterations):
    # Cached: ten thousand logins of one user must not cost ten thousand times the rounds.
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def stored_secret(password):
    """Text for pg_authid.rolpassword, PgBouncer's auth_file and pgweir's [user.NAME] password."""
    salt = os.urandom(16)
    salted = _salted_password(password, salt, ITERATIONS)
    stored_key = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    server_key = _hmac(salted, b"Server Key")
    salt64, stored64, server64 = (
        base64.b64encode(x).decode() for x in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt64}${stored64}:{server64}"


class Exchange:
    """One login: send `first`, feed the server-first message to `final`, send what it returns."""

    def __init__(self, password):
        self._password = password
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        self._bare = f"n=,r={self._nonce}"
        self.first = ("n,," + self._bare).encode()

    def final(self, server_first):
        text = server_first.decode()
        fields = dict(part.split("=", 1) for part in text.split(","))
        if not fields["r"].startswith(self._nonce):
            raise ConnectionError("server changed the client's nonce")
        salted = _salted_password(self._password, base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = _hmac(salted, b"Client Key")
        without_proof = f"c=biws,r={fields['r']}"
        signature = _hmac(hashlib.sha256(client_key).digest(),
                          f"{self._bare},{text},{without_proof}".encode())
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()
