"""The Java programs under jdbc/, with PostgreSQL's JDBC driver."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

JAR = Path(os.environ.get("PGWEIR_JDBC_JAR", "/usr/share/java/postgresql.jar"))
# Programs that work for seconds, beside others: little memory, and no second compiler.
SMALL = ("-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def compiled(name, folder, *options):
    """The command that runs a program, but for its arguments; what is made of it goes to `folder`.
    Skips the test where there is no JDK, or no driver."""
    if not shutil.which("javac") or not shutil.which("java"):
        pytest.skip("no JDK: install default-jdk-headless")
    if not JAR.exists():
        pytest.skip(f"no {JAR}: install libpostgresql-jdbc-java or set PGWEIR_JDBC_JAR")
    source = Path(__file__).parent / "jdbc" / f"{name}.java"
    done = subprocess.run(["javac", *(f"-J{option}" for option in SMALL), "-cp", JAR, "-d", folder,
                           source], text=True, capture_output=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return ["java", *SMALL, *options, "-cp", f"{folder}:{JAR}", name]
