"""Drivers run a function's code and report how far it has come."""
