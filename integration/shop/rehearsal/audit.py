"""Is what the database holds what the visitors were told? Decides on rows; it asks nobody by itself."""

import collections

ORDERS = ("SELECT o.code, o.token, o.quota_id, o.paid IS NOT NULL, count(t.id)"
          " FROM tickets_order o LEFT JOIN tickets_ticket t ON t.order_id = o.code GROUP BY o.code")
QUOTAS = ("SELECT q.id, q.size, q.sold, count(t.id), count(DISTINCT t.number)"
          " FROM tickets_quota q LEFT JOIN tickets_ticket t ON t.quota_id = q.id GROUP BY q.id")

Order = collections.namedtuple("Order", "code token quota is_paid tickets")
Quota = collections.namedtuple("Quota", "id size sold tickets numbers")


def read(ask):
    """(orders, quotas); `ask` takes a query and gives rows of text."""
    orders = [Order(code, token, int(quota), paid == "t", int(tickets))
              for code, token, quota, paid, tickets in ask(ORDERS)]
    return orders, [Quota(*map(int, row)) for row in ask(QUOTAS)]


def problems(acknowledged, orders, quotas):
    """What is wrong, a sentence each; [] when all is well.

    `acknowledged`: orders that a visitor was shown a receipt for, as the load noted them."""
    found = []
    for quota in quotas:
        if quota.sold > quota.size:
            found.append(f"quota {quota.id}: {quota.sold} of {quota.size} tickets sold")
        if quota.sold != quota.tickets:
            found.append(f"quota {quota.id}: {quota.sold} sold, but {quota.tickets} tickets")
        if quota.numbers != quota.tickets:
            found.append(f"quota {quota.id}: {quota.tickets - quota.numbers} tickets sold twice")
    for token, count in collections.Counter(o.token for o in orders).items():
        if count > 1:
            found.append(f"form {token}: {count} orders")
    known = {o.code: o for o in orders}
    for told in acknowledged:
        order = known.get(told["code"])
        if order is None:
            found.append(f"order {told['code']}: acknowledged, and lost")
        elif not order.is_paid or (order.token, order.quota, order.tickets) != \
                (told["token"], told["quota"], told["tickets"]):
            found.append(f"order {told['code']}: not what was acknowledged")
    return found
