"""Runs, steps and events as Django's admin reads them. The tables are ours: Django neither makes nor writes them."""

from __future__ import annotations

from django.db import models

from inngest_celery.django.fields import PayloadField
from inngest_celery.store.rows import RunStatus


class Event(models.Model):
    """What came in."""

    id = models.CharField(max_length=26, primary_key=True)
    name = models.CharField(max_length=512)
    data = PayloadField()
    ts = models.BigIntegerField()
    received_at = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "inngest_event"

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class Run(models.Model):
    """One function on one event."""

    id = models.CharField(max_length=26, primary_key=True)
    function_id = models.CharField("function", max_length=255)
    event = models.ForeignKey(Event, models.DO_NOTHING, db_constraint=False)
    status = models.SmallIntegerField(choices=[(status.value, status.name.capitalize()) for status in RunStatus])
    reason = models.CharField(max_length=255, null=True)
    created_at = models.BigIntegerField()
    started_at = models.BigIntegerField(null=True)
    ended_at = models.BigIntegerField(null=True)
    output = PayloadField(null=True)

    class Meta:
        managed = False
        db_table = "inngest_run"

    def __str__(self) -> str:
        return f"{self.function_id} {self.id}"


class Step(models.Model):
    """What a step of a run gave. Its key is run and id; the run alone will do for a list that leads nowhere else."""

    run = models.OneToOneField(Run, models.DO_NOTHING, db_constraint=False, primary_key=True)
    step_id = models.CharField(max_length=64, db_column="id")
    name = models.CharField(max_length=512)
    op = models.CharField(max_length=32)
    memo = PayloadField()
    failed = models.BooleanField()
    attempt = models.SmallIntegerField()
    started_at = models.BigIntegerField()
    ended_at = models.BigIntegerField()
    seq = models.IntegerField()

    class Meta:
        managed = False
        db_table = "inngest_step"

    def __str__(self) -> str:
        return f"{self.name} of {self.run_id}"
