"""SCRAM-SHA-256 (RFC 5802, RFC 7677) and PostgreSQL's md5, as a client and as stored secrets."""

import base64
import functools
import hashlib
import hmac
import os


def _hmac(key, text):
    return hmac.digest(key, text, "sha256")


@functools.lru_cache(maxsize=1024)
def _salted(password, salt, iterations):
    """What takes milliseconds of a login; nothing that a server sees depends on who computes it."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)


class ScramClient:
    def __init__(self, password, nonce=None):
        self.password = password.encode()
        self.nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n=,r={self.nonce}"
        self.server_key = self.auth_message = b""

    def first(self):
        return ("n,," + self.bare).encode()

    def final(self, server_first):
        parts = dict(p.split("=", 1) for p in server_first.decode().split(","))
        salted = _salted(self.password, base64.b64decode(parts["s"]), int(parts["i"]))
        client_key = _hmac(salted, b"Client Key")
        self.server_key = _hmac(salted, b"Server Key")
        without_proof = f"c=biws,r={parts['r']}"
        self.auth_message = f"{self.bare},{server_first.decode()},{without_proof}".encode()
        signature = _hmac(hashlib.sha256(client_key).digest(), self.auth_message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final):
        expected = base64.b64encode(_hmac(self.server_key, self.auth_message))
        return server_final == b"v=" + expected


def verifier(password, salt=None, iterations=4096):
    """What pg_authid would hold for this password."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()

    def text(raw):
        return base64.b64encode(raw).decode()

    server_key = _hmac(salted, b"Server Key")
    return f"SCRAM-SHA-256${iterations}:{text(salt)}${text(stored)}:{text(server_key)}"


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


def md5_response(user, password, salt):
    inner = md5_secret(user, password)[3:]
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()
