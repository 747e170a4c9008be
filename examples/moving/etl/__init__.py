"""A Flask project that fetches what a vendor exports every night, and loads it.

``before`` is the project as it was. Each ``step_N`` is a deploy that can go out by itself. ``docs/moving.md`` tells the
story; the same tests run against all of them.
"""
