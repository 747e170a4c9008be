"""The driver of functions that run elsewhere: in apps on an official SDK, in any language, called over HTTP.

:mod:`request` says what a call sends, :mod:`transport` sends it, :mod:`answer` and :mod:`ops` read what comes back as
the :class:`~inngest_celery.engine.report.Report` that every driver gives the engine.
"""
