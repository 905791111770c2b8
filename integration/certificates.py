"""Certificates for tests: an authority that signs what it is asked to, with openssl(1)."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from cluster import unprivileged_user


class Identity(NamedTuple):
    certificate: Path
    key: Path


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Authority:
    """`file` is its certificate."""

    def __init__(self, folder, name="Test Root"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)  # pytest may set a fixture up again
        self.folder.chmod(0o755)
        self.file, self._key = self.folder / "ca.crt", self.folder / "ca.key"
        self._numbers = itertools.count(1)
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-days", "2", "-subj", f"/CN={name}", "-out", self.file, "-keyout", self._key)

    def issue(self, name, alternatives="", days=2, for_postgres=False, key="ec"):
        """A certificate for /CN=`name`; `alternatives` as "DNS:localhost,IP:127.0.0.1"."""
        stem = self.folder / f"{next(self._numbers)}"
        made = Identity(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        kind = (["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else [key])
        _openssl("req", "-new", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-out", request,
                 "-keyout", made.key)
        extensions.write_text(f"subjectAltName={alternatives}\n" if alternatives else "",
                              encoding="ascii")
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key,
                 "-CAcreateserial", "-days", str(days), "-extfile", extensions,
                 "-out", made.certificate)
        made.key.chmod(0o600)
        if for_postgres and unprivileged_user():
            shutil.chown(made.key, unprivileged_user())
        return made


def key_as_der(key):
    """The same key in PKCS#8, as Java reads it: a file beside the one in PEM, made where there is none
    of this very key, since pytest may set a fixture up again with the same names."""
    made = Path(key).with_suffix(".pk8")
    if made.exists() and made.stat().st_mtime_ns > Path(key).stat().st_mtime_ns:
        return made
    _openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "DER", "-out", made)
    return made


def replace(old, new):
    """Puts the files of `new` in the place of those of `old`, each at once."""
    for to, origin in zip(old, new, strict=True):
        waiting = to.with_name(to.name + ".new")
        shutil.copy2(origin, waiting)
        os.replace(waiting, to)
