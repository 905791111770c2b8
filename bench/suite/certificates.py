"""Self-signed certificates, for what TLS costs with either kind of key."""

import pathlib
from typing import NamedTuple

KINDS = {"rsa": ["-newkey", "rsa:2048"],
         "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]}


class Identity(NamedTuple):
    certificate: pathlib.Path
    key: pathlib.Path


def identity(host, kind):
    """The one of that kind; the same for all who ask."""
    made = Identity(host.work / f"{kind}.crt", host.work / f"{kind}.key")
    if not made.certificate.exists():
        host.run("openssl", "req", "-x509", *KINDS[kind], "-nodes", "-days", "2",
                 "-subj", "/CN=pooler", "-out", made.certificate, "-keyout", made.key)
        made.key.chmod(0o600)
    return made
