"""Pydantic AI. pip install "pydantic-ai-slim[openai]" """

import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "unused"),
)
agent = Agent(OpenAIChatModel(os.environ.get("MODEL", "demo"), provider=provider))
print(agent.run_sync("Hello").output)
