"""Selling tickets: what must be right however many buy at once."""

import random
import time

import psycopg
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Sum
from django.utils import timezone

from tickets.models import Order, Quota, Ticket


class Busy(Exception):
    """Others are buying of this quota: it is worth trying again."""


class SoldOut(Exception):
    """There are not as many left."""


def place(quota_id, token, count, email):
    """Takes `count` tickets out of a quota: the order, which is not paid yet. The same token again
    is the same order. Raises Busy, SoldOut, or Quota.DoesNotExist."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)",
                               [settings.SHOP_LOCK_TIMEOUT])
            quota = Quota.objects.select_for_update().get(pk=quota_id)
            # Under the lock, so that a form that was sent twice at once finds itself.
            known = Order.objects.filter(token=token).first()
            if known:
                return known
            if quota.left < count:
                raise SoldOut
            order = Order.objects.create(token=token, quota=quota, email=email)
            Ticket.objects.bulk_create(Ticket(order=order, quota=quota, number=quota.sold + n)
                                       for n in range(1, count + 1))
            quota.sold += count
            quota.save(update_fields=["sold"])
            return order
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise Busy from error
        raise


def pay(order):
    """Asks the payment provider, outside of any transaction, and keeps its answer."""
    if order.paid:
        return
    time.sleep(random.uniform(*settings.SHOP_PAYMENT_SECONDS))
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order.pk)
        if not order.paid:
            order.paid = timezone.now()
            order.save(update_fields=["paid"])


def report(database):
    """(event, tickets sold, tickets in all), best first; read from `database`."""
    return list(Quota.objects.using(database).values("event__name")
                .annotate(sold=Sum("sold"), size=Sum("size")).order_by("-sold", "event__name")
                .values_list("event__name", "sold", "size"))
