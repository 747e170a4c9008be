"""The shop's own data, in the database that has our tables too. Run as a program, it places an order."""

from __future__ import annotations

import os

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import inngest_celery as inngest
from examples.existing_project.app import client


class Base(DeclarativeBase):
    """The shop's tables."""


class Order(Base):
    """What a customer wants."""

    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]


def place(session: Session, article: str) -> int:
    """Store an order and start its fulfilment, both or neither: the event is part of the caller's transaction."""
    order = Order(article=article)
    session.add(order)
    session.flush()
    client.send_sync(inngest.Event(name="shop/order.placed", data={"order": order.id}), session=session)
    return order.id


if __name__ == "__main__":
    engine = sa.create_engine(os.environ["INNGEST_DATABASE_URL"])
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        print("order", place(session, "a bicycle bell"))
