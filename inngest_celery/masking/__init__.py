"""What of a payload is not to be seen, and by whom: rules, and what they do to JSON. Pure; knows no rows.

``engine.door`` applies rules to what is about to be stored, ``engine.viewing`` to what is about to be shown.
"""

from __future__ import annotations

from inngest_celery.masking.masker import Masker
from inngest_celery.masking.rules import Rule

__all__ = ["Masker", "Rule"]
