"""A visitor of the Django shop, in a process of its own: ``python -m tests.examples.shop_visitor``.

Uses Django's test client on the real database and broker, and prints what it saw as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from typing import Any

import django

from tests.waiting import wait_until


def manage(*arguments: str) -> str:
    """Do what ``manage.py`` does, and give what it prints."""
    from django.core.management import execute_from_command_line

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        execute_from_command_line(["manage.py", *arguments])
    return printed.getvalue()


def visit() -> dict[str, Any]:
    """Buy something, fail to buy something, look at the admin pages; workers may start once it has said ``open``."""
    from django.contrib.auth.models import User
    from django.core import checks
    from django.test import Client
    from orders.models import Item, Order

    from inngest_celery.django.models import Event, Run, Step

    warned = [message.id for message in checks.run_checks(databases=["default"])]
    manage("migrate", "--verbosity=0")
    warned += [message.id for message in checks.run_checks(databases=["default"])]
    migrated = manage("inngest", "migrate")
    print("open", flush=True)
    client = Client(raise_request_exception=False)
    item = Item.objects.create(name="tea", stock=10)
    placed = client.post("/orders/", {"item": "tea", "pieces": 3})
    failed = client.post("/orders/", {"item": "tea", "pieces": 1, "fail": "1"})
    order = placed.json()["order"]
    wait_until(lambda: client.get(f"/orders/{order}/").json()["status"] == "shipped", 60.0, "the order to be shipped")
    wait_until(lambda: Run.objects.get().ended_at is not None, 60.0, "the run to end")
    item.refresh_from_db()
    [run] = Run.objects.all()
    client.force_login(User.objects.create_superuser("ada"))
    pages = {
        path: client.get(path)
        for path in (
            "/admin/inngest/run/",
            f"/admin/inngest/run/{run.pk}/change/",
            f"/admin/inngest/run/?status={run.status}&function=shop-fulfil",
            f"/admin/inngest/run/?q={run.pk}",
            "/admin/inngest/step/",
            "/admin/inngest/event/",
            f"/admin/inngest/event/{run.event_id}/change/",
            "/admin/inngest/run/add/",
            f"/admin/inngest/run/{run.pk}/delete/",
        )
    }
    return {
        "warned": warned,
        "migrated": "up to date" in migrated,
        "listed": [each["id"] == run.pk for each in json.loads(manage("inngest", "runs", "list", "--json"))],
        "placed": placed.status_code,
        "failed": failed.status_code,
        "orders": Order.objects.count(),
        "placed events": Event.objects.filter(name="shop/order.placed").count(),
        "stock": item.stock,
        "output": json.loads(run.output or ""),
        "steps": [step.name for step in Step.objects.order_by("seq")],
        "pages": {path.replace(run.pk, "RUN"): page.status_code for path, page in pages.items()},
        "run page": pages[f"/admin/inngest/run/{run.pk}/change/"].content.decode(),
        "event page": pages[f"/admin/inngest/event/{run.event_id}/change/"].content.decode(),
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    django.setup()
    print(json.dumps(visit()))
