"""The driver of functions whose app has dialled in: it holds a WebSocket to one of the servers' gateways.

A worker and a gateway are different processes, and there may be many of each: they meet in Redis
(:mod:`.channel`). Nothing there is the truth. A call that is lost in it is a call without an answer, and made again.
"""
