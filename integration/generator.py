"""Random but repeatable conversations with PostgreSQL, valid and invalid, as message bytes."""

import wire
from wire import COPY_DONE, COPY_FAIL, FLUSH, SYNC

SCHEMA = """
create table items (id serial primary key, name text, price numeric(10,2), note text);
alter table items owner to app;
"""
RESET = ("rollback; truncate items restart identity;"
         " insert into items (name, price, note) select 'item ' || n, n * 1.5, repeat('x', n)"
         " from generate_series(1, 20) n")

ANYWHERE = [
    "", ";", " -- nothing", "select 1", "select null::text, 2.5, 'x'::text, true",
    "select * from items order by id", "select count(*) from items",
    "select repeat('y', 3000) from generate_series(1, 7)",
    "select n, repeat('z', n) from generate_series(1, 300) n",
    "select repeat('w', 70000)", "select from items", "select 1/0", "selct 1",
    "select * from nowhere", "select 'a'::int", "insert into items (name) values ('new')",
    "insert into items (name) values ('r') returning id, name",
    "insert into items (id) values (1)", "update items set price = price + 1 where id <= 3",
    "delete from items where id > 25", "select id, 10 / (id - 5) from items order by id",
    "do $$ begin raise notice 'noticed %', 7; end $$",
    "do $$ begin raise warning 'warned' using hint = 'a hint'; end $$",
    "do $$ begin raise exception 'refused' using errcode = 'P0042', detail = 'why'; end $$",
    "select 1; select 2; select 3", "select 1; select 1/0; select 3",
    "insert into items (name) values ('m'); select 1/0", "select 1;;select 2",
    "copy items to stdout", "copy (select n from generate_series(1, 500) n) to stdout",
    "copy (select 10 / (5 - n) from generate_series(1, 9) n) to stdout",
    "copy items (name) to stdout with (format binary)", "copy nowhere to stdout",
    "explain (costs off) select * from items where id = 3",
    "create table made (n int); insert into made values (1); select * from made; drop table made",
    "notify channel, 'unheard'", "vacuum items", "select 1; vacuum items", "show datestyle",
    "values (1, 'one'), (2, 'two')", "table items limit 3",
]
BLOCKS = [
    "begin", "begin", "commit", "rollback", "savepoint s", "rollback to s", "release s",
    "begin isolation level serializable", "start transaction read only", "commit and chain",
    "set local timezone = 'Asia/Tokyo'", "set local datestyle = 'German'",
    "declare c cursor for select * from items order by id", "fetch 3 from c", "move 2 in c",
    "close c", "set transaction read only", "begin; select 1; commit",
    "begin; insert into items (name) values ('b'); rollback", "prepare transaction 'x'",
]
SESSION = [
    "set timezone = 'Asia/Tokyo'", "set datestyle = 'German'", "reset all", "reset timezone",
    "set application_name = 'renamed'", "set search_path = pg_catalog", "reset search_path",
    "prepare p (int) as select $1 + 1", "execute p (41)", "deallocate p", "deallocate all",
    "listen channel", "notify channel, 'heard'", "unlisten *", "discard all", "discard temp",
    "create temp table t (n int)", "insert into t values (1)", "select * from t", "drop table t",
    "begin; declare h cursor with hold for values (1), (2), (3); commit", "fetch 1 from h",
    "close h", "set role app_group", "reset role", "set client_encoding = 'latin1'",
    "reset client_encoding", "select set_config('work_mem', '1MB', false)",
]
PARAMETRISED = [
    ("select $1::int + 1", ["41"]), ("select $1::text, $2::text", ["a", None]),
    ("select name from items where id = $1", ["3"]), ("select $1::int", ["not a number"]),
    ("insert into items (name, note) values ($1, $2) returning id", ["bound", "n" * 500]),
    ("select n from generate_series(1, $1::int) n", ["50"]), ("select 10 / $1::int", ["0"]),
    ("select $1::int", []), ("select 1", ["surplus"]), ("selct $1", ["1"]), ("", []),
    ("update items set name = $1 where id = $2::int", ["u", "4"]),
]
REMOVALS = [
    "deallocate s1", "deallocate all", "DEALLOCATE PREPARE \"s2\" ;", "deallocate nowhere",
    "deallocate \"S1\"", "discard all", "deallocate s3 -- no more", "begin; deallocate all; commit",
]
NAMES = ["", "", "s1", "s2", "s3", "s" * 70 + "1", "s" * 70 + "2"]
INT4PL = 177


class Conversation:
    """Makes exchanges. Without `session`, nothing outlives its transaction but table rows:
    no settings, names or listeners, and no Bind of a statement parsed in an earlier one. With
    `prepared`, statements do, named and unnamed ones."""

    def __init__(self, rng, session, prepared=False):
        self.rng, self.session, self.prepared = rng, session, prepared

    def sql(self):
        pools = [(ANYWHERE, 6), (BLOCKS, 4)]
        if self.session:
            pools.append((SESSION, 4))
        if self.prepared:
            pools.append((REMOVALS, 1))
        return self.rng.choice(self.rng.choices(*zip(*pools, strict=True))[0])

    def exchange(self):
        """The messages of one exchange; it ends outside COPY and with everything synced."""
        steps = [self.simple, self.batch, self.copy_in, self.copy_in_extended, self.function,
                 self.stray]
        out = []
        for _ in range(self.rng.randint(1, 6)):
            out += self.rng.choices(steps, [6, 8, 2, 2, 1, 1])[0]()
        return out

    def simple(self):
        return [wire.query(self.sql()) for _ in range(self.rng.choice([1, 1, 1, 2, 5]))]

    def function(self):
        number = b"\0\0\0\x07" if self.rng.random() < 0.5 else b"7"
        return [wire.function_call(self.rng.choice([INT4PL, INT4PL, 999_999]), number, number)]

    def stray(self):
        """Messages that PostgreSQL ignores, or answers alone."""
        return self.rng.choice([[SYNC], [SYNC, SYNC], [FLUSH], [COPY_DONE], [COPY_FAIL],
                                [wire.copy_data(b"late\n")], [FLUSH, SYNC]])

    def batch(self):
        out = []
        for _ in range(self.rng.randint(1, 3)):
            out += self.statement()
            if self.rng.random() < 0.3:
                out.append(FLUSH)
        return [*out, SYNC]

    def statement(self):
        rng = self.rng
        text, values = (rng.choice(PARAMETRISED) if rng.random() < 0.6 else (self.sql(), []))
        if text.startswith("copy") and "from" in text:
            text = "select 1"
        keeps = self.session or self.prepared
        name = rng.choice(NAMES) if keeps else ""
        if text in REMOVALS:
            name = ""  # a named statement that deallocates another is not followed
        portal = rng.choice(["", "", "", "p1"])
        out = [wire.parse(text, name)]
        if self.prepared and rng.random() < 0.3:
            out.insert(0, wire.close("S", name))
        if keeps and rng.random() < 0.4:
            out = []  # whatever an earlier batch left under this name, or nothing
        if rng.random() < 0.4:
            out.append(wire.describe("S", name))
        binary = 1 if rng.random() < 0.1 else 0
        out.append(wire.bind(values, name, portal, binary))
        if rng.random() < 0.5:
            out.append(wire.describe("P", rng.choice([portal] * 9 + ["nowhere"])))
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            out.append(wire.execute(portal, rng.choice([0, 0, 2, 100])))
        if rng.random() < 0.3:
            out.append(wire.close(rng.choice("SP"), rng.choice([name, portal, "nowhere"])))
        return out

    def _rows(self, bad=True):
        good = [b"%d\tcopied %d\t1.5\t\\N\n" % (n, n) for n in range(1000, 1003)]
        faults = [b"not a number\tx\t1\t\\N\n", b"1\n", b"\\.\n"]
        rows = good + ([self.rng.choice(faults)] if bad and self.rng.random() < 0.3 else [])
        data = b"".join(rows) + b"2000\tlong\t1\t" + b"v" * self.rng.choice([1, 9000]) + b"\n"
        cut = self.rng.randint(0, len(data))
        return [wire.copy_data(data[:cut]), wire.copy_data(data[cut:])]

    def copy_in(self):
        end = self.rng.choice([COPY_DONE, COPY_DONE, COPY_FAIL])
        noise = self.rng.choice([[], [], [FLUSH], [SYNC]])
        sql = self.rng.choice(["copy items from stdin", "copy items from stdin; select 'after'",
                               "copy nowhere from stdin"])
        # A Sync within COPY is ignored, but one that comes after an early failure is answered, when
        # the server may be gone already.
        rows = self._rows(bad=noise != [SYNC] or "nowhere" in sql)
        return [wire.query(sql), *rows, *noise, end]

    def copy_in_extended(self):
        end = self.rng.choice([COPY_DONE, COPY_DONE, COPY_FAIL])
        start = [wire.parse("copy items from stdin"), wire.bind(), wire.execute()]
        early = [SYNC] if self.rng.random() < 0.3 else []
        # The unnamed statement is replaced, or a later Bind would enter COPY once more.
        return [*start, *early, *self._rows(), end, SYNC, wire.parse("select 'no copy'"), SYNC]
