"""What the shop promises, whatever stands between it and PostgreSQL.

Tests that buy at once commit for real (TransactionTestCase): only then do connections matter.
"""

import datetime
import threading
import uuid

from django.db import connection, transaction
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from tickets import sales
from tickets.models import Event, Order, Quota, Ticket


def make_quota(size):
    event = Event.objects.create(name="Jazz 1", city="Gent",
                                 begins=timezone.now() + datetime.timedelta(days=30))
    return Quota.objects.create(event=event, name="Front", price=90, size=size)


def form(quota, count=1, token=None):
    return {"token": str(token or uuid.uuid4()), "quota": quota.pk, "count": count,
            "email": "someone@visitor.example"}


def at_once(count, act):
    """Calls act(number) in threads that begin together; what they return, or raise."""
    found = [None] * count
    together = threading.Barrier(count)

    def run(number):
        together.wait()
        try:
            found[number] = act(number)
        except Exception as error:  # pylint: disable=broad-exception-caught
            found[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@override_settings(SHOP_PAYMENT_SECONDS=(0, 0), SHOP_LOCK_TIMEOUT="60s")
class ManyBuyersTest(TransactionTestCase):
    def test_a_quota_is_sold_to_its_last_ticket_and_no_further(self):
        quota = make_quota(10)
        found = at_once(30, lambda _: sales.place(quota.pk, uuid.uuid4(), 1, "a@visitor.example"))
        self.assertEqual(sum(isinstance(f, Order) for f in found), 10)
        self.assertEqual(sum(isinstance(f, sales.SoldOut) for f in found), 20)
        quota.refresh_from_db()
        self.assertEqual(quota.sold, 10)
        self.assertEqual(sorted(quota.tickets.values_list("number", flat=True)),
                         list(range(1, 11)))

    def test_a_form_that_is_sent_often_at_once_is_one_order(self):
        quota, token = make_quota(10), uuid.uuid4()
        found = at_once(8, lambda _: sales.place(quota.pk, token, 2, "a@visitor.example").pk)
        self.assertEqual(len(set(found)), 1, found)
        quota.refresh_from_db()
        self.assertEqual(quota.sold, 2)

    def test_each_visitor_finds_the_own_order_and_no_other(self):
        quota = make_quota(100)

        def buy(_):
            visitor = Client()
            answer = visitor.post(f"/events/{quota.event_id}/order", form(quota, 2))
            return visitor, answer

        bought = at_once(20, buy)
        receipts = [answer.headers["Location"] for _, answer in bought]
        self.assertEqual(len(set(receipts)), 20)
        for (visitor, _), receipt, another in zip(bought, receipts, receipts[1:] + receipts[:1],
                                                  strict=True):
            self.assertContains(visitor.get(receipt), "paid")
            self.assertEqual(visitor.get(another).status_code, 404)

    def test_what_fails_on_the_way_leaves_nothing_behind(self):
        quota = make_quota(10)
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            sales.place(quota.pk, uuid.uuid4(), 3, "a@visitor.example")
            raise ZeroDivisionError
        quota.refresh_from_db()
        self.assertEqual((quota.sold, Ticket.objects.count()), (0, 0))


@override_settings(SHOP_PAYMENT_SECONDS=(0, 0))
class BusyTest(TransactionTestCase):
    def test_who_waits_too_long_for_others_is_asked_to_try_again(self):
        quota = make_quota(10)
        locked, done = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                Quota.objects.select_for_update().get(pk=quota.pk)
                locked.set()
                done.wait(60)
            connection.close()

        holder = threading.Thread(target=hold)
        holder.start()
        self.assertTrue(locked.wait(60))
        with override_settings(SHOP_LOCK_TIMEOUT="50ms"):
            answer = self.client.post(f"/events/{quota.event_id}/order", form(quota))
        done.set()
        holder.join()
        self.assertEqual((answer.status_code, answer.headers["Retry-After"]), (409, "1"))

    def test_the_time_limit_of_a_lock_ends_with_its_transaction(self):
        quota = make_quota(10)
        with override_settings(SHOP_LOCK_TIMEOUT="1234ms"):
            sales.place(quota.pk, uuid.uuid4(), 1, "a@visitor.example")
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            self.assertNotEqual(cursor.fetchone()[0], "1234ms")


class ConnectionTest(TransactionTestCase):
    def test_rows_are_iterated_over_outside_of_a_transaction(self):
        quota = make_quota(10)
        order = Order.objects.create(token=uuid.uuid4(), quota=quota, email="a@visitor.example")
        Ticket.objects.bulk_create(Ticket(order=order, quota=quota, number=n)
                                   for n in range(500))
        found = {t.number for t in Ticket.objects.iterator(chunk_size=100)}
        self.assertEqual(found, set(range(500)))

    def test_rows_are_iterated_over_in_a_transaction_by_a_server_side_cursor(self):
        make_quota(10)
        settings = connection.settings_dict
        settings["DISABLE_SERVER_SIDE_CURSORS"] = False
        self.addCleanup(settings.__setitem__, "DISABLE_SERVER_SIDE_CURSORS", True)
        with transaction.atomic():
            self.assertEqual([e.name for e in Event.objects.iterator()], ["Jazz 1"])

    def test_a_new_connection_is_in_the_time_zone_that_django_would_set_otherwise(self):
        fresh = connection.get_new_connection(connection.get_connection_params())
        self.addCleanup(fresh.close)
        self.assertEqual(fresh.info.parameter_status("TimeZone"), "UTC")


@override_settings(SHOP_PAYMENT_SECONDS=(0, 0))
class PagesTest(TestCase):
    def test_an_event_can_be_found_and_bought(self):
        quota = make_quota(10)
        self.assertContains(self.client.get("/"), "Jazz 1")
        page = f"/events/{quota.event_id}"
        self.assertContains(self.client.get(page), "10 left")
        answer = self.client.post(f"{page}/order", form(quota, 4))
        self.assertEqual(answer.status_code, 303)
        self.assertContains(self.client.get(answer.headers["Location"]), "ticket 4")
        self.assertEqual(self.client.get(f"{page}/availability").json(),
                         {"left": {str(quota.pk): 6}})
        self.assertContains(self.client.get(f"{page}/more"), "seen:")

    def test_what_is_sold_out_is_gone(self):
        quota = make_quota(1)
        answer = self.client.post(f"/events/{quota.event_id}/order", form(quota, 2))
        self.assertEqual(answer.status_code, 410)

    def test_forms_of_others_are_refused(self):
        quota = make_quota(10)
        for bad in ({}, form(quota, 7), form(quota) | {"token": "x"},
                    form(quota) | {"quota": quota.pk + 1}):
            answer = self.client.post(f"/events/{quota.event_id}/order", bad)
            self.assertEqual(answer.status_code, 400)

    def test_it_is_alive_without_a_database(self):
        with self.assertNumQueries(0):
            self.assertEqual(self.client.get("/healthz").status_code, 200)


class ReportTest(TransactionTestCase):
    databases = ("default", "reports")  # two connections: the report sees what was committed

    def test_it_counts_what_was_sold(self):
        quota = make_quota(10)
        sales.place(quota.pk, uuid.uuid4(), 3, "a@visitor.example")
        self.assertContains(self.client.get("/reports/sales"), "<td>Jazz 1</td>", html=True)
        self.assertEqual(sales.report("reports"), [("Jazz 1", 3, 10)])
