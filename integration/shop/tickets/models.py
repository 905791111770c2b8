"""What the shop keeps.

Numbers of tickets and tokens of orders are kept apart by row locks, not by constraints: the rehearsal
checks what became of them, and a constraint would hide that a lock did not hold.
"""

import uuid

from django.db import models


class Event(models.Model):
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=60)
    begins = models.DateTimeField(db_index=True)


class Quota(models.Model):
    """So many tickets of one kind. `sold` counts those that are taken, paid or not."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="quotas")
    name = models.CharField(max_length=60)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    size = models.IntegerField()
    sold = models.IntegerField(default=0)

    @property
    def left(self):
        return self.size - self.sold


class Order(models.Model):
    """`token` is of the form that was sent: sent twice, it is still one order."""

    code = models.UUIDField(primary_key=True, default=uuid.uuid4)
    token = models.UUIDField(db_index=True)
    quota = models.ForeignKey(Quota, models.CASCADE, related_name="orders")
    email = models.EmailField()
    placed = models.DateTimeField(auto_now_add=True)
    paid = models.DateTimeField(null=True)


class Ticket(models.Model):
    """Number 1 to `size` of its quota."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="tickets")
    quota = models.ForeignKey(Quota, models.CASCADE, related_name="tickets")
    number = models.IntegerField()
