"""Celery projects of three shapes, moved to durable functions one step at a time."""
