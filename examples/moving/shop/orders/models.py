"""What the shop remembers."""

from django.db import models


class Item(models.Model):
    """Something to sell."""

    name = models.CharField(max_length=100, unique=True)
    stock = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """What somebody wants.

    Attributes:
        status: placed, reserved, paid, shipped; or refused.
        asked: whether the customer was asked for a review.
    """

    item = models.ForeignKey(Item, models.PROTECT)
    pieces = models.PositiveIntegerField()
    status = models.CharField(max_length=20, default="placed")
    reviewed = models.BooleanField(default=False)
    asked = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.pieces} × {self.item}"
