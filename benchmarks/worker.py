"""``celery -A benchmarks.worker worker``: the app as the environment describes it."""

from __future__ import annotations

import json
import logging
import os

from benchmarks.app import VARIABLE, Setup, build

# A worker's usual level is WARNING; only the line that says that it is ready is wanted.
for name in ("celery.app.trace", "celery.worker.strategy"):
    logging.getLogger(name).setLevel(logging.WARNING)

app = build(Setup(**json.loads(os.environ[VARIABLE]))).app
