"""The SDKs of Google, Ollama and AWS in front of the fake provider, which so proves that it speaks the real protocols.

`MOCK_URL` in the environment says where the fake provider listens.
"""

import asyncio
import json
import os
from dataclasses import dataclass, field
from functools import partial

import boto3
import ollama
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from google import genai
from google.genai import errors, types
from support import MANNERS, NATIVES, REQUEST_TIMEOUT, run

MOCK = os.environ["MOCK_URL"]
TURNS = ["weather", "clock", None]


def schema(properties):
    return {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}


SCHEMAS = {"weather": schema({"city": "string", "days": "integer"}), "clock": schema({"zone": "string"})}


@dataclass
class Said:
    """What a model said, and the message that goes back to it."""

    text: str = ""
    thought: str = ""
    calls: list = field(default_factory=list)
    finish: str = ""
    tokens: int = 0
    back: object = None


class Google:
    """Gemini by google-genai."""

    faults = {"404": errors.ClientError, "500": errors.ServerError, "error-9": errors.ServerError}
    finishes = ("STOP", "STOP")
    refusals = {"alter": "Corrupted thought signature", "forget": "missing a thought_signature"}

    def __init__(self):
        options = types.HttpOptions(base_url=MOCK, timeout=REQUEST_TIMEOUT * 1000)
        self.client = genai.Client(api_key="none", http_options=options)

    def user(self, text):
        return types.Content(role="user", parts=[types.Part(text=text)])

    def results(self, said):
        response = {"output": MANNERS["tool_result"]}
        parts = [types.Part.from_function_response(name=name, response=response) for name, _ in said.calls]
        return types.Content(role="user", parts=parts)

    def alter(self, said):
        for part in said.back.parts:
            part.thought_signature = part.thought_signature and b"QUACK!" + part.thought_signature

    def forget(self, said):
        for part in said.back.parts:
            part.thought_signature = None

    async def ask(self, messages, stream, tools=False, model="gemini-3-pro-preview"):
        functions = [
            types.FunctionDeclaration(name=name, parameters_json_schema=schema) for name, schema in SCHEMAS.items()
        ]
        config = types.GenerateContentConfig(
            thinking_config=types.ThinkingConfig(include_thoughts=True),
            tools=[types.Tool(function_declarations=functions)] if tools else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        request = {"model": model, "contents": messages, "config": config}
        answers = await asyncio.to_thread(self.answers, stream, request)
        parts = [part for answer in answers for part in answer.candidates[0].content.parts]
        calls = [part.function_call for part in parts if part.function_call]
        return Said(
            text="".join(part.text or "" for part in parts if not part.thought),
            thought="".join(part.text or "" for part in parts if part.thought),
            calls=[(call.name, call.args) for call in calls],
            finish=answers[-1].candidates[0].finish_reason.name,
            tokens=answers[-1].usage_metadata.total_token_count,
            back=types.Content(role="model", parts=parts),
        )

    def answers(self, stream, request):
        api = self.client.models
        return list(api.generate_content_stream(**request)) if stream else [api.generate_content(**request)]


class Ollama:
    """Ollama's own package; nothing is signed."""

    faults = {"404": ollama.ResponseError, "500": ollama.ResponseError, "error-9": ollama.ResponseError}
    finishes = ("stop", "stop")
    refusals = {}

    def __init__(self):
        self.api = ollama.AsyncClient(host=MOCK, timeout=REQUEST_TIMEOUT)

    def user(self, text):
        return {"role": "user", "content": text}

    def results(self, said):
        return {"role": "tool", "tool_name": said.calls[0][0], "content": MANNERS["tool_result"]}

    async def ask(self, messages, stream, tools=False, model="qwen3:8b"):
        functions = [
            {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in SCHEMAS.items()
        ]
        request = {"model": model, "messages": messages, "think": True, "tools": functions if tools else None}
        if stream:
            answers = [answer async for answer in await self.api.chat(**request, stream=True)]
        else:
            answers = [await self.api.chat(**request)]
        calls = [call for answer in answers for call in answer.message.tool_calls or []]
        said = Said(
            text="".join(answer.message.content or "" for answer in answers),
            thought="".join(answer.message.thinking or "" for answer in answers),
            calls=[(call.function.name, dict(call.function.arguments)) for call in calls],
            finish=answers[-1].done_reason,
            tokens=answers[-1].prompt_eval_count + answers[-1].eval_count,
        )
        said.back = ollama.Message(
            role="assistant", content=said.text, thinking=said.thought, tool_calls=calls or None
        )
        return said


class Bedrock:
    """Bedrock's Converse by boto3, which signs its requests and checks the sums of each message of a stream."""

    faults = {"404": ClientError, "500": ClientError, "error-9": EventStreamError}
    finishes = ("tool_use", "end_turn")
    refusals = {"alter": "Invalid `signature` in `thinking` block", "forget": "must start with a thinking block"}

    def __init__(self):
        self.api = boto3.client(
            "bedrock-runtime",
            endpoint_url=MOCK,
            region_name="eu-central-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            config=Config(read_timeout=REQUEST_TIMEOUT, retries={"total_max_attempts": 1}),
        )

    def user(self, text):
        return {"role": "user", "content": [{"text": text}]}

    def results(self, said):
        uses = [block["toolUse"] for block in said.back["content"] if "toolUse" in block]
        content = [{"text": MANNERS["tool_result"]}]
        results = [{"toolResult": {"toolUseId": use["toolUseId"], "content": content}} for use in uses]
        return {"role": "user", "content": results}

    def alter(self, said):
        said.back["content"][0]["reasoningContent"]["reasoningText"]["signature"] += "QUACK"

    def forget(self, said):
        del said.back["content"][0]

    async def ask(self, messages, stream, tools=False, model="anthropic.claude-sonnet-4-5-20250929-v1:0"):
        request = {
            "modelId": model,
            "messages": messages,
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        }
        if tools:
            specs = [{"toolSpec": {"name": name, "inputSchema": {"json": each}}} for name, each in SCHEMAS.items()]
            request["toolConfig"] = {"tools": specs}
        return await asyncio.to_thread(self.of_stream if stream else self.of_object, request)

    def of_object(self, request):
        answer = self.api.converse(**request)
        return self.said(answer["output"]["message"], answer["stopReason"], answer["usage"])

    def of_stream(self, request):
        blocks, finish, usage = {}, None, None
        for event in self.api.converse_stream(**request)["stream"]:
            match event:
                case {"contentBlockStart": {"contentBlockIndex": index, "start": start}}:
                    blocks[index] = {"toolUse": {**start["toolUse"], "input": ""}}
                case {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}:
                    self.add(blocks.setdefault(index, {}), delta)
                case {"messageStop": stop}:
                    finish = stop["stopReason"]
                case {"metadata": metadata}:
                    usage = metadata["usage"]
        content = [blocks[index] for index in sorted(blocks)]
        for block in content:
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
        return self.said({"role": "assistant", "content": content}, finish, usage)

    def add(self, block, delta):
        match delta:
            case {"text": text}:
                block["text"] = block.get("text", "") + text
            case {"toolUse": {"input": piece}}:
                block["toolUse"]["input"] += piece
            case {"reasoningContent": piece}:
                thought = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {})
                for name, text in piece.items():
                    thought[name] = thought.get(name, "") + text

    def said(self, message, finish, usage):
        said = Said(finish=finish, tokens=usage["totalTokens"], back=message)
        for block in message["content"]:
            match block:
                case {"text": text}:
                    said.text += text
                case {"reasoningContent": {"reasoningText": {"text": text}}}:
                    said.thought += text
                case {"toolUse": use}:
                    said.calls.append((use["name"], use["input"]))
        return said


async def text(api, stream, check):
    """A turn of words and the thought before them."""
    said = await api.ask([api.user(MANNERS["prompt"])], stream)
    check.equal(said.text, MANNERS["answer"], "the text")
    check.equal(said.thought, MANNERS["reasoning"], "the thought")
    check.equal((said.calls, said.finish), ([], api.finishes[1]), "the calls and the reason")
    check.that(said.tokens > 0, f"the tokens are {said.tokens}")


async def turns(api, stream, check):
    """Three turns with a tool each, as the SDK's own messages go back."""
    messages = [api.user(NATIVES["prompt"])]
    for name in TURNS:
        said = await api.ask(messages, stream, tools=True)
        check.equal(said.thought, MANNERS["reasoning"], f"before {name}: the thought")
        check.equal(said.calls, [(name, MANNERS["arguments"][name])] if name else [], f"before {name}: the calls")
        check.equal(said.finish, api.finishes[0 if name else 1], f"before {name}: the reason")
        if name:
            messages += [said.back, api.results(said)]
    check.equal(said.text, MANNERS["tool_answer"], "the answer")


async def refused(api, stream, check):
    """A signature that is not the provider's own, and none."""
    for spoil, says in api.refusals.items():
        said = await api.ask([api.user(NATIVES["prompt"])], stream, tools=True)
        getattr(api, spoil)(said)
        try:
            await api.ask([api.user(NATIVES["prompt"]), said.back, api.results(said)], stream, tools=True)
            check.that(False, f"{says}: nothing was refused")
        except (errors.ClientError, ClientError) as error:
            check.that(says in str(error), f"{says}: {error}")


async def faults(api, stream, check):
    """Faults reach the SDK as its own exceptions; those in a stream are of streams only."""
    for fault, kind in api.faults.items():
        if stream or fault.isdigit():
            try:
                await api.ask([api.user(MANNERS["prompt"])], stream, model=f"mock-1/{fault}")
                check.that(False, f"{fault}: nothing was raised")
            except kind:
                pass


async def main():
    checks = []
    for api in (Google(), Ollama(), Bedrock()):
        for examine in (text, turns, *([refused] if api.refusals else []), faults):
            for stream in (True, False):
                subject = f"{examine.__name__} {'stream' if stream else 'object'}"
                checks.append((type(api).__name__, subject, partial(examine, api, stream)))
    await run("python protocols", checks)


if __name__ == "__main__":
    asyncio.run(main())
