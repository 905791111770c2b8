"""Fills the shop with events: the same ones whenever the same seed is given."""

import datetime
import random

from django.core.management.base import BaseCommand
from django.db import connection, transaction
from django.utils import timezone

from tickets.models import Event, Quota

CITIES = ("Basel", "Bremen", "Gent", "Krakow", "Lyon", "Porto", "Tampere", "Utrecht")
KINDS = ("Chamber music", "Choir", "Circus", "Comedy", "Football", "Jazz", "Opera", "Theatre")
QUOTAS = (("Front", 90), ("Middle", 60), ("Back", 30))


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("--events", type=int, default=40)
        parser.add_argument("--size", type=int, default=400, help="tickets of a quota, on average")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--fresh", action="store_true",
                            help="first remove all events, orders and sessions")
        parser.add_argument("--if-empty", action="store_true", help="do nothing where events are")

    @transaction.atomic
    def handle(self, *_, events, size, seed, fresh, if_empty, **__):
        if if_empty and Event.objects.exists():
            return
        if fresh:
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE django_session, tickets_event RESTART IDENTITY CASCADE")
        chance = random.Random(seed)
        made = Event.objects.bulk_create(
            Event(name=f"{chance.choice(KINDS)} {n}", city=chance.choice(CITIES),
                  begins=timezone.now() + datetime.timedelta(days=chance.randint(30, 300)))
            for n in range(1, events + 1))
        Quota.objects.bulk_create(
            Quota(event=event, name=name, price=price, size=chance.randint(size // 2, size * 3 // 2))
            for event in made for name, price in QUOTAS)
        self.stdout.write(f"{events} events, {events * len(QUOTAS)} quotas")
