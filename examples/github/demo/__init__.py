"""``python -m examples.github.demo``: the bot at work for a week, in seconds, and what is true of it afterwards."""
