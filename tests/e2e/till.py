"""The tables of a till."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
payment = sa.Table(
    "till_payment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.String(26), nullable=False),
    sa.Column("step", sa.String(64), nullable=False),
    sa.Column("amount", sa.Integer, nullable=False),
)
balance = sa.Table(
    "till_balance", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("amount", sa.Integer)
)
