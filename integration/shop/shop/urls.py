"""Which view answers which address."""

from django.urls import path

from tickets import views

urlpatterns = [
    path("", views.events, name="events"),
    path("healthz", views.healthz, name="healthz"),
    path("events/<int:event_id>", views.event, name="event"),
    path("events/<int:event_id>/availability", views.availability, name="availability"),
    path("events/<int:event_id>/more", views.more, name="more"),
    path("events/<int:event_id>/order", views.order, name="order"),
    path("orders/<uuid:code>", views.receipt, name="receipt"),
    path("reports/sales", views.sales_report, name="sales-report"),
]
