"""What the shop does with an order. It does not change on the way."""

from __future__ import annotations

import json
import os
import urllib.request
from urllib.error import HTTPError

from django.db import transaction

from examples.moving.shop.orders.models import Item, Order

# Days, in a real shop.
REVIEW_AFTER_S = 1.0


class SoldOut(Exception):
    """There are not so many left."""


def reserve(order_id: int) -> int:
    """Take an order's pieces from the stock; done twice, it takes them once.

    Raises:
        SoldOut: so many are not there.
    """
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order_id)
        item = Item.objects.select_for_update().get(pk=order.item_id)
        if order.status == "placed":
            if item.stock < order.pieces:
                raise SoldOut(f"only {item.stock} of {item.name} are left")
            item.stock -= order.pieces
            item.save()
            _set(order_id, "reserved")
        return item.stock


def charge(order_id: int) -> str:
    """Let the bank take the money; it knows an order that it has seen before.

    Raises:
        ConnectionError: not this time.
    """
    request = urllib.request.Request(f"{os.environ['BANK_URL']}/charges/{order_id}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            receipt = str(json.load(response)["receipt"])
    except HTTPError as error:
        raise ConnectionError(f"the bank answers {error.code}") from error
    _set(order_id, "paid")
    return receipt


def ship(order_id: int) -> None:
    """Hand an order to the carrier."""
    _set(order_id, "shipped")


def refuse(order_id: int) -> None:
    """Tell a customer that nothing comes."""
    _set(order_id, "refused")


def ask_for_review(order_id: int) -> None:
    """Ask a customer how it was, unless that is known."""
    Order.objects.filter(pk=order_id, reviewed=False).update(asked=True)


def review(order: Order) -> None:
    """Note that a customer has told how it was."""
    Order.objects.filter(pk=order.pk).update(reviewed=True)


def _set(order_id: int, status: str) -> None:
    Order.objects.filter(pk=order_id).update(status=status)
