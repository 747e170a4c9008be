"""The shop's own table."""

from __future__ import annotations

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The shop's tables."""


db = SQLAlchemy(model_class=Base)


class Order(Base):
    """What a customer wants, and how far it is. The event is what ``send_sync`` gave: it finds the run."""

    __tablename__ = "flask_shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]
    event_id: Mapped[str] = mapped_column(default="")
    parcel: Mapped[str] = mapped_column(default="")
