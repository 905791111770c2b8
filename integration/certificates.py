"""Certificates for tests: an authority that signs what it is asked to, with openssl(1)."""

import contextlib
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


def _new_folder(wanted):
    """`wanted`, or one beside it: pytest may set a fixture up again, and files of the first time have
    other owners."""
    for number in itertools.count():
        folder = wanted if number == 0 else wanted.with_name(f"{wanted.name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            folder.chmod(0o755)
            return folder


class Authority:
    """`file` is its certificate."""

    def __init__(self, folder, name="Test Root"):
        self.folder = _new_folder(Path(folder))
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
    """The same key in PKCS#8, as Java reads it: a file beside the one in PEM."""
    made = Path(key).with_suffix(".pk8")
    if made.exists():
        return made
    _openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "DER", "-out", made)
    return made


def replace(old, new):
    """Puts the files of `new` in the place of those of `old`, each at once."""
    for to, origin in zip(old, new, strict=True):
        waiting = to.with_name(to.name + ".new")
        shutil.copy2(origin, waiting)
        os.replace(waiting, to)
