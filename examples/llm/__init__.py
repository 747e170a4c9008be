"""Articles by a language model: rate limits, a token budget, a human who approves. See the README beside this file."""

from examples.llm.app import app

__all__ = ["app"]
