"""Patroni's REST API for nodes that are looked after by somebody else: it says what tests want."""

import contextlib
import http.server
import json
import threading


class FakePatroni:
    """One API a node, on loopback. `leader` is the number of the node that holds the lock, or None;
    `mute` are nodes whose API does not answer; `members_status` is what /cluster answers with."""

    def __init__(self, cluster, leader=1):
        self.cluster, self.leader, self.mute = cluster, leader, set()
        self.members_status, self.members_asked = 200, 0
        self.servers = {}
        for n in cluster.nodes:
            self.servers[n] = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler(n))
            threading.Thread(target=self.servers[n].serve_forever, daemon=True).start()

    def port(self, n):
        return self.servers[n].server_port

    def close(self):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def _status(self, n):
        leads = n == self.leader
        told = {"state": "running", "role": "primary" if leads else "replica",
                "patroni": {"version": "3.1.0", "scope": "demo", "name": f"n{n}"}}
        if self.leader is None:
            told["cluster_unlocked"] = True
        return (200 if leads else 503), told

    def _members(self):
        def member(n):
            host, port = self.cluster.address(n)
            return {"name": f"n{n}", "role": "leader" if n == self.leader else "replica",
                    "state": "running", "host": host, "port": port, "timeline": 1,
                    "api_url": f"http://{host}:{self.port(n)}/patroni"}
        self.members_asked += 1
        if self.members_status != 200:
            return self.members_status, {}
        return 200, {"members": [member(n) for n in self.cluster.nodes], "scope": "demo"}

    def _handler(self, n):
        patroni = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if n in patroni.mute:
                    return
                status, told = (patroni._status(n) if self.path == "/primary"
                                else patroni._members())
                body = json.dumps(told).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
