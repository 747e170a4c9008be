"""The web app: ``uvicorn examples.fastapi_shop.web:web``. Place an order, and ask how it stands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import inngest_celery as inngest
from examples.fastapi_shop.jobs import client


class Base(DeclarativeBase):
    """The shop's tables."""


class Order(Base):
    """What a customer wants. The event is what ``send`` gave: it finds the run."""

    __tablename__ = "fastapi_shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]
    event_id: Mapped[str] = mapped_column(default="")


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    """Connect to the database that has our tables, too: only so can an order and its event be one transaction."""
    url = os.environ.get("INNGEST_DATABASE_URL", "sqlite:////tmp/fastapi-shop.db")
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    web.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


web = FastAPI(title="Shop", lifespan=lifespan)


async def session_of(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a request a session."""
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(session_of)]


class Wanted(BaseModel):
    """An order, as it is placed."""

    article: str


class State(BaseModel):
    """An order, as it stands; without a status, if it was placed a moment ago."""

    article: str
    status: str | None = None
    output: object = None
    why: list[str] = []


@web.post("/orders", status_code=202)
async def place(wanted: Wanted, session: Session) -> dict[str, int]:
    """Store an order and start its fulfilment, both or neither."""
    order = Order(article=wanted.article)
    session.add(order)
    await session.flush()
    placed = inngest.Event(name="shop/order.placed", data={"order": order.id})
    [order.event_id] = await client.send(placed, session=session)
    await session.commit()
    return {"order": order.id}


@web.get("/orders/{order_id}")
async def show(order_id: int, session: Session) -> State:
    """Tell how an order stands."""
    order = await session.get(Order, order_id)
    if order is None:
        raise HTTPException(404)
    # The database is asked by code that is not async.
    return await asyncio.to_thread(_state, order)


def _state(order: Order) -> State:
    runs = client.runs.of_event(order.event_id)
    if not runs:
        return State(article=order.article)
    [run] = runs
    # Looked up in the database alone; workers are not asked.
    why = [reason.text for reason in client.runs.why(run.id, timeout=0).reasons]
    return State(article=order.article, status=run.status.name.lower(), output=run.output, why=why)


@web.post("/orders/{order_id}/collected", status_code=202)
async def collect(order_id: int) -> None:
    """Tell that the parcel service has come."""
    await client.send(inngest.Event(name="shop/parcel.collected", data={"order": order_id}))
