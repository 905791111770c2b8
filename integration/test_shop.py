"""A Django shop through pgweir in transaction mode: its own tests, with Django's own defaults."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("django", reason="Django is not installed: see integration/requirements.txt")

# Each test starts Django, which takes seconds even where nothing else runs.
pytestmark = pytest.mark.timeout(400)

SHOP = Path(__file__).parent / "shop"
SERVERS = 5  # fewer than the visitors who buy at once


@pytest.fixture
def weir(cluster, pooler, database):
    """`database` holds the shop. Its tests make a database only if they find none, and ask the
    database postgres whether there is one."""
    cluster.execute(f"alter database {database} owner to app")
    process = pooler(cluster, {"pool": {"size": SERVERS}, "auth": {"method": "trust"}},
                     [database, "postgres"])
    process.database = database
    yield process
    assert cluster.backends(database) <= SERVERS


def manage(weir, *words, **environment):
    """Runs a command of the shop, which has its databases behind pgweir: what it says."""
    environment = {**os.environ, "PGHOST": weir.host, "PGPORT": str(weir.port), "PGUSER": "app",
                   "PGDATABASE": weir.database, "SHOP_TEST_DATABASE": weir.database, **environment}
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=SHOP, text=True,
                          capture_output=True, timeout=350, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def run(weir, script):
    """Runs Python with the shop's models at hand, as `manage.py shell` does: what it prints."""
    known = ("from django.core.management import call_command\n"
             "from django.db import Error, connection\n"
             "from tickets.models import Event\n")
    return manage(weir, "shell", "--no-imports", "-c", known + textwrap.dedent(script))


@pytest.mark.parametrize("kept", ["0", "60"])
def test_the_shop_s_own_tests_pass(weir, kept):
    out = manage(weir, "test", "--keepdb", "--noinput", SHOP_CONN_MAX_AGE=kept)
    assert re.search(r"^Ran [1-9]\d* tests", out, re.MULTILINE), out


def test_migrations_go_forth_and_back(weir):
    run(weir, """
        call_command("migrate")
        call_command("fill", events=3)
        call_command("migrate", "tickets", "zero")
        call_command("migrate")
        assert not Event.objects.exists()
    """)


def test_django_s_cursor_with_hold_does_not_outlive_its_transaction(weir):
    """Why the shop has DISABLE_SERVER_SIDE_CURSORS."""
    said = run(weir, """
        call_command("migrate")
        call_command("fill", events=3)
        connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = False
        try:
            list(Event.objects.iterator(chunk_size=1))
        except Error as error:
            print(type(error.__cause__).__name__)
    """)
    assert said.splitlines()[-1] == "InvalidCursorName", said
