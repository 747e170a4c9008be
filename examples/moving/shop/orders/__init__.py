"""The Django app of orders. Its tables do not change on the way."""
