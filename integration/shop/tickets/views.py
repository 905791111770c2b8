"""The pages. Each reads what it shows from the database, as shops do that are not finished."""

import uuid

from django.http import Http404, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from tickets import sales
from tickets.models import Event, Order, Quota

MOST = 6  # tickets in an order
SEEN = 5  # events that a visitor is reminded of


@require_safe
def healthz(_request):
    """This process is alive; it does not ask the database, which has health checks of its own."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def events(request):
    coming = Event.objects.filter(begins__gt=timezone.now()).order_by("begins", "pk")
    return render(request, "tickets/events.html",
                  {"events": coming.prefetch_related("quotas")[:50]})


@require_safe
def event(request, event_id):
    found = get_object_or_404(Event.objects.prefetch_related("quotas"), pk=event_id)
    seen = request.session.get("seen", [])
    request.session["seen"] = [event_id, *(s for s in seen if s != event_id)][:SEEN]
    return render(request, "tickets/event.html",
                  {"event": found, "token": uuid.uuid4(), "counts": range(1, MOST + 1)})


@require_safe
def availability(_request, event_id):
    """What the page asks for again and again while it is open."""
    left = {q.pk: q.left for q in Quota.objects.filter(event_id=event_id)}
    return JsonResponse({"left": left})


@require_safe
def more(request, event_id):
    """A frame in the page: where this visitor has been, and what else there is."""
    here = get_object_or_404(Event, pk=event_id)
    return render(request, "tickets/more.html", {
        "seen": Event.objects.filter(pk__in=request.session.get("seen", [])),
        "others": Event.objects.filter(city=here.city).exclude(pk=event_id)[:SEEN]})


@require_POST
def order(request, event_id):
    """303 to the receipt, 409 with Retry-After when it is worth trying again, 410 when sold out."""
    try:
        token = uuid.UUID(request.POST["token"])
        quota_id, count = int(request.POST["quota"]), int(request.POST["count"])
        email = request.POST["email"]
    except (KeyError, ValueError):
        return HttpResponseBadRequest("not a form of this shop")
    if not 1 <= count <= MOST or not Quota.objects.filter(pk=quota_id, event=event_id).exists():
        return HttpResponseBadRequest("there are no such tickets")
    try:
        placed = sales.place(quota_id, token, count, email)
    except sales.Busy:
        return HttpResponse("many are buying, please try again", status=409,
                            headers={"Retry-After": "1"})
    except sales.SoldOut:
        return HttpResponse("sold out", status=410)
    sales.pay(placed)
    request.session["orders"] = [*request.session.get("orders", []), str(placed.pk)]
    response = redirect("receipt", code=placed.pk)
    response.status_code = 303
    return response


@require_safe
def receipt(request, code):
    """Only for those whose session says that they bought it."""
    if str(code) not in request.session.get("orders", []):
        raise Http404
    found = get_object_or_404(Order.objects.select_related("quota__event"), pk=code)
    return render(request, "tickets/receipt.html",
                  {"order": found, "tickets": found.tickets.order_by("number")})


@require_safe
def sales_report(request):
    return render(request, "tickets/report.html", {"rows": sales.report("reports")})
