"""Adapters for ``step.ai.infer``, one module a provider: openai, anthropic, gemini, grok, deepseek.

Example:
    >>> adapter = openai.Adapter(auth_key="sk-…", model="gpt-5")
    >>> adapter.url_infer()
    'https://api.openai.com/v1/chat/completions'

Mirrors https://www.inngest.com/docs/features/inngest-functions/steps-workflows/step-ai-orchestration
"""

from inngest_celery.experimental.ai import anthropic, deepseek, gemini, grok, openai
from inngest_celery.experimental.ai.base import BaseAdapter

__all__ = ["BaseAdapter", "anthropic", "deepseek", "gemini", "grok", "openai"]
