"""What durability costs: five-step runs next to plain Celery, in the same minutes on the same machine."""
