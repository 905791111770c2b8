"""People who visit the shop: they look around, some buy, and they press the button again.

With SHOP_RECORD, a folder, everything is noted there as lines of JSON: each request, each visit, and
each order that was acknowledged, for integration/shop/rehearse to compare with the database.
"""

import json
import os
import random
import re
import time
import uuid
from pathlib import Path

import gevent
from gevent.pool import Group
from locust import events, task
from locust.contrib.fasthttp import FastHttpUser

# What a person waits for before the tab is closed.
PATIENCE = float(os.environ.get("SHOP_PATIENCE", "30"))
THINK = (3, 10)  # seconds between two pages; the same for whatever is measured
PRESSES = 6  # of the button, while it says that it is busy
OUTRAGES = 2  # ... and after an error page

EVENTS = int(os.environ.get("SHOP_EVENTS", "40"))
# Most people want the same: the third event half as often as the first, and so on.
WISHES = [1 / (n + 2) for n in range(EVENTS)]

FIELD = re.compile(r'name="(csrfmiddlewaretoken|token)" value="([^"]+)"')
OPTION = re.compile(r'<option value="(\d+)">')


class Notebook:
    """Lines of JSON in a file of this process; nowhere without SHOP_RECORD."""

    def __init__(self):
        folder = os.environ.get("SHOP_RECORD")
        self._file = folder and open(Path(folder) / f"{os.getpid()}.jsonl", "a", encoding="utf-8",
                                     buffering=1)

    def note(self, kind, **what):
        if self._file:
            self._file.write(json.dumps({"kind": kind, **what}) + "\n")


notebook = None


@events.test_start.add_listener
def _open_notebook(**_):
    global notebook
    notebook = Notebook()  # only now: processes are forked before


@events.request.add_listener
def _note_request(name, response_time, response, exception, start_time, **_):
    notebook.note("request", at=start_time, ms=response_time, name=name,
                  status=getattr(response, "status_code", 0), ok=exception is None)


class Visit:
    """What one person sees from coming to leaving: spoiled by one thing that failed."""

    def __init__(self, kind):
        self.kind, self.began, self.is_ok = kind, time.time(), True

    def end(self):
        notebook.note("visit", at=self.began, ended=time.time(), what=self.kind, ok=self.is_ok)


class Person(FastHttpUser):
    abstract = True
    connection_timeout = network_timeout = PATIENCE

    def ask(self, visit, method, path, name, expected=(200,), **options):
        """A request; None when it failed, which spoils the visit."""
        with self.client.request(method, path, name=name, catch_response=True,
                                 allow_redirects=False, **options) as response:
            if response.status_code in expected:
                response.success()
                return response
            response.failure(f"{response.status_code or 'no answer'}")
        visit.is_ok = False
        return None

    @staticmethod
    def think():
        gevent.sleep(random.uniform(*THINK))

    def come(self, kind):
        self.client.cookiejar.clear()  # somebody else
        return Visit(kind)


class Visitor(Person):
    weight = 19

    @task(2)
    def browse(self):
        visit = self.come("browse")
        self.ask(visit, "GET", "/", "list of events")
        self.think()
        for _ in range(random.randint(1, 3)):
            self.open_event(visit)
            self.think()
        visit.end()

    @task(1)
    def buy(self):
        visit = self.come("buy")
        self.ask(visit, "GET", "/", "list of events")
        self.think()
        event, page = self.open_event(visit)
        self.think()
        if page:
            path = self.press_buy(visit, event, page.text)
            if path:
                self.ask(visit, "GET", path, "receipt")
                self.think()
        visit.end()

    def open_event(self, visit):
        """The page, and what the browser fetches with it: (number of the event, its page)."""
        event = random.choices(range(1, EVENTS + 1), WISHES)[0]
        page = self.ask(visit, "GET", f"/events/{event}", "event")
        if page:
            frames = Group()
            for part in ("more", "availability"):
                frames.spawn(self.ask, visit, "GET", f"/events/{event}/{part}", f"event: {part}")
            frames.join()
        return event, page

    def press_buy(self, visit, event, page):
        """Sends the form until there is an answer; the address of the receipt, if there is one."""
        form = dict(FIELD.findall(page))
        form |= {"quota": random.choice(OPTION.findall(page)), "count": random.randint(1, 4),
                 "email": f"{uuid.uuid4().hex[:12]}@visitor.example"}
        outrages = 0
        for _ in range(PRESSES):
            answer = self.ask(visit, "POST", f"/events/{event}/order", "order", (303, 409, 410),
                              data=form)
            if answer is None:
                outrages += 1
                if outrages > OUTRAGES:
                    return None
                self.think()
            elif answer.status_code == 409:
                gevent.sleep(float(answer.headers.get("Retry-After", 1)) + random.random())
            elif answer.status_code == 410:
                return None  # sold out: sad, but the shop did what it should
            else:
                path = answer.headers["Location"]
                notebook.note("order", code=path.rpartition("/")[2], token=form["token"],
                              quota=int(form["quota"]), tickets=form["count"])
                return path
        visit.is_ok = False
        return None


class Organiser(Person):
    """Watches how the sale goes; is served by a replica where there is one."""

    weight = 1

    @task
    def watch(self):
        visit = self.come("report")
        for _ in range(3):
            self.ask(visit, "GET", "/reports/sales", "sales report")
            self.think()
        visit.end()
