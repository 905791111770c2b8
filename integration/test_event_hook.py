"""conf/repmgr-event-hook tells every console to RECHECK, and never gets into repmgr's way."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cluster import until

HOOK = Path(__file__).resolve().parent.parent / "conf/repmgr-event-hook"

# Notes who called it with what; then does as its console's host says.
PSQL = """#!/bin/sh
printf '%s\\n' "$*" "env ${PGHOST-none} ${PGOPTIONS-none}" "end" >>"$FAKE/call.$$"
mv "$FAKE/call.$$" "$FAKE/called.$$"
case $* in
    *host=hangs*) echo $$ >"$FAKE/hanging"; exec sleep 600 ;;
    *host=refuses*) echo "connection refused" >&2; exit 2 ;;
esac
"""
LOGGER = """#!/bin/sh
printf '%s\\n' "$*" >>"$FAKE/logged"
"""


class Hook:
    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        self.program("psql", PSQL)
        self.program("logger", LOGGER)
        self.consoles = folder / "consoles"

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *lines, path=None, **environment):
        """Runs it as repmgrd does, which reads its output until everybody has closed it."""
        self.consoles.write_text("\n".join(lines))
        search = path or f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            [HOOK, "2", "repmgrd_failover_promote", "1"], capture_output=True, text=True,
            timeout=60, check=False,
            env={"PATH": search, "FAKE": str(self.folder), "PGWEIR_CONSOLES": str(self.consoles),
                 **environment})

    def calls(self, count):
        """What psql was called with, one entry a call, once that many were made."""
        until(lambda: len(list(self.folder.glob("called.*"))) == count, what=f"{count} calls")
        return sorted(path.read_text().splitlines() for path in self.folder.glob("called.*"))

    def logged(self):
        path = self.folder / "logged"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def hook(tmp_path):
    return Hook(tmp_path)


def test_every_console_is_told_to_recheck(hook):
    done = hook.run("host=10.0.0.21 port=6432 user=hint", "host=10.0.0.22 port=6432 user=hint")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    first, second = hook.calls(2)
    assert "dbname=pgweir host=10.0.0.21 port=6432 user=hint -c RECHECK" in first[0]
    assert "dbname=pgweir host=10.0.0.22 port=6432 user=hint -c RECHECK" in second[0]


def test_a_console_is_never_asked_for_a_password(hook):
    hook.run("host=a")
    assert " -w " in hook.calls(1)[0][0]


def test_comments_and_empty_lines_are_not_consoles(hook):
    hook.run("# pgweir on the web servers", "", "host=a")
    assert len(hook.calls(1)) == 1


def test_what_repmgr_has_in_its_environment_does_not_lead_astray(hook):
    hook.run("host=a", PGHOST="10.0.0.1", PGOPTIONS="-c role=repmgr")
    assert hook.calls(1)[0][1] == "env none none"


def test_a_console_that_hangs_delays_neither_repmgr_nor_the_others(hook):
    done = hook.run("host=hangs", "host=a", PGWEIR_HOOK_TIMEOUT="600")
    assert done.returncode == 0
    hook.calls(2)
    until((hook.folder / "hanging").exists, what="a call that hangs")
    pid = int((hook.folder / "hanging").read_text())
    os.kill(pid, 0)  # it hangs still, though the hook has returned
    os.kill(pid, 9)


def test_a_console_that_hangs_is_given_up(hook):
    hook.run("host=hangs password=secret", PGWEIR_HOOK_TIMEOUT="1")
    until(lambda: "no answer within 1 s" in hook.logged(), what="a complaint")
    assert "host=hangs" in hook.logged()
    assert "secret" not in hook.logged()
    pid = int((hook.folder / "hanging").read_text())
    until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of psql")


def test_a_console_that_refuses_is_told_of_and_is_no_failure(hook):
    assert hook.run("host=refuses").returncode == 0
    until(lambda: "connection refused" in hook.logged(), what="a complaint")
    assert "event repmgrd_failover_promote of node 2" in hook.logged()


def test_a_missing_list_of_consoles_is_told_of_and_is_no_failure(hook):
    done = hook.run(PGWEIR_CONSOLES="/nonexistent/consoles")
    assert done.returncode == 0
    assert "cannot read /nonexistent/consoles" in hook.logged()


def test_a_missing_psql_is_told_of_and_is_no_failure(hook):
    for name in ("timeout", "tr"):
        (hook.folder / "bin" / name).symlink_to(shutil.which(name))
    (hook.folder / "bin/psql").unlink()
    assert hook.run("host=a", path=str(hook.folder / "bin")).returncode == 0
    until(lambda: "host=a" in hook.logged(), what="a complaint")


def test_shellcheck_has_nothing_to_say():
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, HOOK], capture_output=True, text=True, check=False)
    assert done.stdout == ""
