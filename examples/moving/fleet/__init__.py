"""A plain fleet: pictures come in, are copied, made smaller on machines of their own, and published.

``before`` is the fleet as it was. Each ``step_N`` is a deploy that can go out by itself: whoever calls, and whatever is
still in the queues, changes nothing. ``docs/moving.md`` tells the story; the same tests run against all four.
"""
