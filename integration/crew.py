"""Clients in every situation in which a primary can be lost, and what each is told of it."""

import wire
from failover_scene import NARROW, Writer

INSERT = "INSERT INTO ledger VALUES ({})"
INSERT_SLOWLY = "INSERT INTO ledger SELECT {} FROM pg_sleep(600)"
# What the crew is told when its server is lost without a word.
WITHOUT_A_WORD = {
    "idle 0": [([], "I")],
    "idle 1": [([], "I")],
    "idle 2": [([], "I")],
    "open": [(["08006"], "E"), (["25P02"], "E"), ([], "I"), ([], "I")],
    "asking": [(["08006"], "E"), (["25P02"], "E"), ([], "I"), ([], "I")],
    "blind": [(["08006"], "I"), ([], "I")],
    "committing": [(["08007"], "I"), ([], "I")],
    "writing": [(["08007"], "I"), ([], "I")],
}


class Crew:
    """`answers` has what each was told from the loss on, in the order of its requests: the idle
    write a row, the others hear what has become of what they do, and then write one."""

    def __init__(self, scene, account):
        self.scene, self.account = scene, account
        self.answers = {}
        self.ids = {}
        self.idle = [self._client(f"idle {i}") for i in range(3)]
        for _, client in self.idle:
            client.value("select 1")
        self.open = self._in_transaction("open")
        self.blind = self._in_transaction("blind")
        self.asking = self._in_transaction("asking")
        self.committing = self._in_transaction("committing")
        self.committing[1].values("INSERT INTO slow VALUES (0)")
        self.writing = self._client("writing")
        for (name, client), sql in ((self.asking, "SELECT pg_sleep(600)"),
                                    (self.committing, "COMMIT"),
                                    (self.writing, INSERT_SLOWLY)):
            client.send(wire.query(sql.format(self.ids[name])))
        scene.sleeping(scene.primary, 3)

    def _client(self, name):
        self.answers[name] = []
        self.ids[name] = self.account.next_id()
        return name, self.scene.wire()

    def _in_transaction(self, name):
        name, client = self._client(name)
        client.values("BEGIN")
        client.values(INSERT.format(self.ids[name]))
        return name, client

    def _hear(self, who, sql=None, ids=()):
        """What the client is told of its request, or of what it has asked before."""
        name, client = who
        if sql:
            client.send(wire.query(sql))
        frames = client.outcome()
        self.answers[name].append(wire.told(frames))
        if ids:
            self.account.judge(name, ids, frames)

    def _write(self, who):
        number = self.account.next_id()
        self._hear(who, INSERT.format(number), (number,))

    def hear_out(self):
        """Lets each notice what has happened, and go on."""
        for who in (self.asking, self.committing, self.writing):
            self._hear(who, ids=(self.ids[who[0]],))
        for who in self.idle:
            self._write(who)
        self._hear(self.open, INSERT.format(0), (self.ids["open"],))
        self._hear(self.blind, "COMMIT", (self.ids["blind"],))
        for who in (self.open, self.asking):
            self._hear(who, "SELECT 1")
            self._hear(who, "ROLLBACK")
        for who in (self.open, self.asking, self.blind, self.committing, self.writing):
            self._write(who)
            who[1].close()
        return self

    def sqlstates(self):
        """All that they were told."""
        return {state for told in self.answers.values() for states, _ in told for state in states}


class Storm:
    """Many writers without rest on few servers."""

    def __init__(self, scene, account):
        self.clients = []
        for i in range(4 * NARROW):
            writer = Writer(f"storm {i}", scene.weir.connect(database="narrow"), account)
            writer.rest = 0
            self.clients.append(writer)
