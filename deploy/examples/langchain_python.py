"""LangChain. pip install langchain-openai"""

import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "unused"),
    model=os.environ.get("MODEL", "demo"),
)
for chunk in model.stream("Hello"):
    print(chunk.text, end="", flush=True)
print()
