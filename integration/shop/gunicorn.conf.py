"""How gunicorn serves the shop: as many threads as requests may be under way at once."""

import os

bind = os.environ.get("SHOP_BIND", "0.0.0.0:8000")
workers = int(os.environ.get("SHOP_WORKERS", "4"))
worker_class = "gthread"
threads = int(os.environ.get("SHOP_THREADS", "100"))
worker_connections = 4000
backlog = 4096
# Longer than people think, so that a connection does not end while the next request is on its way.
keepalive = 75
graceful_timeout = 30
# Nothing is written to disk, so that a container may be read-only.
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
