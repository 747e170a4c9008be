"""What browsers and programs ask for."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import inngest_celery as inngest
from inngest_celery.django import send
from orders.models import Item, Order
from orders.tasks import client


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Place an order: the order and its event are one commit, so there is never one without the other."""
    item = get_object_or_404(Item, name=request.POST["item"])
    with transaction.atomic():
        order = Order.objects.create(item=item, pieces=int(request.POST["pieces"]))
        send(client, inngest.Event(name="shop/order.placed", data={"order": order.pk}))
        if "fail" in request.POST:
            raise ValueError("the order is taken back, and its event with it")
    return JsonResponse({"order": order.pk}, status=201)


def show(_request: HttpRequest, order_id: int) -> JsonResponse:
    """Tell how an order stands."""
    return JsonResponse({"status": get_object_or_404(Order, pk=order_id).status})
