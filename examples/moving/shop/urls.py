"""What browsers and programs ask for."""

import importlib

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from examples.moving.shop.orders.models import Item, Order

deploy = importlib.import_module(f"examples.moving.shop.{settings.DEPLOY}")


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Place an order."""
    item = get_object_or_404(Item, name=request.POST["item"])
    order = deploy.place(item, int(request.POST["pieces"]))
    return JsonResponse({"order": order.pk}, status=201)


def show(_request: HttpRequest, order_id: int) -> JsonResponse:
    """Tell how an order stands."""
    order = get_object_or_404(Order, pk=order_id)
    return JsonResponse({"status": order.status, "asked": order.asked, "stock": order.item.stock})


@csrf_exempt
@require_POST
def review(_request: HttpRequest, order_id: int) -> JsonResponse:
    """Tell the shop how it was."""
    deploy.review(get_object_or_404(Order, pk=order_id))
    return JsonResponse({}, status=201)


urlpatterns = [
    path("orders/", place),
    path("orders/<int:order_id>/", show),
    path("orders/<int:order_id>/review/", review),
]
