"""The app's name."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders."""

    name = "examples.moving.shop.orders"
    label = "orders"
