"""Django's defaults wherever there is one, so that what the shop shows holds for other shops too.

From the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD or PGPASSWORD_FILE for the database
that is written to; READ_DATABASE, READ_HOST, READ_PORT for the one that reports read from. Hosts and ports
may be lists, as libpq has them.
"""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def password():
    """A file comes first: that is how containers get their secrets."""
    path = os.environ.get("PGPASSWORD_FILE")
    if path:
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    return os.environ.get("PGPASSWORD", "")


def database(name, host, port, **options):
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": host,
        "PORT": port,
        "USER": os.environ.get("PGUSER", "shop"),
        "PASSWORD": password(),
        # 0, Django's default: a connection for each request.
        "CONN_MAX_AGE": int(os.environ.get("SHOP_CONN_MAX_AGE", "0")),
        # What transaction mode needs, and Django's manual asks for: outside of a transaction iterator()
        # would declare a cursor WITH HOLD, which belongs to a session.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        # What makes it cheaper: Django sets the time zone of each new connection where it is not UTC,
        # which is a query, and a server that has to be cleaned. A startup parameter costs nothing.
        "OPTIONS": {"options": "-c TimeZone=UTC", **options},
    }


_name = os.environ.get("PGDATABASE", "shop")
_host = os.environ.get("PGHOST", "127.0.0.1")
_port = os.environ.get("PGPORT", "6432")
# Without a pooler that knows the primary, libpq has to look for it in a list of hosts.
_attributes = os.environ.get("SHOP_TARGET_SESSION_ATTRS")
_only = {"target_session_attrs": _attributes} if _attributes else {}
DATABASES = {
    # Tests may use a database that is there: one that pgweir is connected to cannot be dropped.
    "default": database(_name, _host, _port, **_only)
    | {"TEST": {"NAME": os.environ.get("SHOP_TEST_DATABASE") or f"test_{_name}"}},
    "reports": database(os.environ.get("READ_DATABASE") or _name,
                        os.environ.get("READ_HOST") or _host,
                        os.environ.get("READ_PORT") or _port)
    | {"TEST": {"MIRROR": "default"}},
}

INSTALLED_APPS = ["django.contrib.sessions", "tickets"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DEBUG = False
ALLOWED_HOSTS = ["*"]
# It guards nothing here; the processes of one shop must agree on it.
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "a-rehearsal-has-no-secrets-but-its-passwords")

# Django's default would mail errors to nobody; the rehearsal counts them in the log.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["stderr"], "level": "ERROR", "propagate": False}},
}

# How long the payment provider takes, and how long an order waits for those before it.
SHOP_PAYMENT_SECONDS = tuple(
    float(s) for s in os.environ.get("SHOP_PAYMENT_SECONDS", "0.3-1.5").split("-"))
SHOP_LOCK_TIMEOUT = os.environ.get("SHOP_LOCK_TIMEOUT", "2s")
