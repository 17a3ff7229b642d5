"""The SDKs of Anthropic and OpenAI in front of the fake provider, which so proves that it speaks the real Messages
and Responses.

`MOCK_URL` in the environment says where the fake provider listens.
"""

import asyncio
import os

import anthropic
import openai
from support import MANNERS, REQUEST_TIMEOUT, run

MODEL = "mock-1"
PROMPT = f"{MANNERS['prompt']} Use the tools one by one."
TURNS = ["weather", "clock", None]

mock = anthropic.AsyncAnthropic(
    base_url=os.environ["MOCK_URL"], api_key="none", max_retries=0, timeout=REQUEST_TIMEOUT
)

responses = openai.AsyncOpenAI(
    base_url=os.environ["MOCK_URL"] + "/v1", api_key="none", max_retries=0, timeout=REQUEST_TIMEOUT
).responses


def schema(properties):
    return {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}


SCHEMAS = {
    "weather": schema({"city": "string", "days": "integer"}),
    "clock": schema({"zone": "string"}),
    "ping": schema({}),
}


def ask(content, **more):
    """A request of Anthropic's own."""
    return {"model": MODEL, "max_tokens": 4000, "messages": [{"role": "user", "content": content}], **more}


def thinking(content, **more):
    return ask(content, thinking={"type": "enabled", "budget_tokens": 2000}, **more)


def tools(*names):
    return [{"name": name, "input_schema": SCHEMAS[name]} for name in names]


async def create(request):
    return await mock.messages.create(**request)


async def helper(request):
    async with mock.messages.stream(**request) as stream:
        return await stream.get_final_message()


async def plain(request):
    """The plain loop over the events, put together by hand."""
    message, blocks = None, []
    async for event in await mock.messages.create(**request, stream=True):
        match event.type:
            case "message_start":
                message = event.message
            case "content_block_start":
                blocks.append(event.content_block)
            case "content_block_delta":
                fields = {
                    "text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature",
                    "input_json_delta": "partial_json",
                }
                name = fields[event.delta.type]
                old = getattr(blocks[event.index], name, "")
                setattr(blocks[event.index], name, old + getattr(event.delta, name))
            case "message_delta":
                message.stop_reason, message.usage = event.delta.stop_reason, event.usage
    message.content = blocks
    return message


def joined(message, kind, name):
    return "".join(getattr(block, name) for block in message.content if block.type == kind)


async def text(check):
    """Streams and messages say the same, with usage that leaves cached tokens out."""
    for way in (create, helper, plain):
        message = await way(thinking(MANNERS["prompt"]))
        check.equal(joined(message, "text", "text"), MANNERS["answer"], f"{way.__name__}: the text")
        check.equal(joined(message, "thinking", "thinking"), MANNERS["reasoning"], f"{way.__name__}: the thought")
        check.equal(message.stop_reason, "end_turn", f"{way.__name__}: the reason")
        usage = message.usage
        check.that(usage.input_tokens > 0 and usage.output_tokens > 10, f"{way.__name__}: {usage}")
        check.that(usage.cache_read_input_tokens > 0, f"{way.__name__}: {usage}")


async def limit(check):
    for way in (create, helper, plain):
        message = await way({**ask(MANNERS["prompt"]), "max_tokens": 5})
        check.equal(message.stop_reason, "max_tokens", f"{way.__name__}: the reason")
        check.equal(message.usage.output_tokens, 5, f"{way.__name__}: the tokens")


async def turns(check):
    """Three turns with a tool each, as the SDK's own messages go back."""
    for way in (create, helper):
        request = thinking(PROMPT, tools=tools("weather", "clock"))
        for name in TURNS:
            message = await way(request)
            check.equal([block.type for block in message.content][0], "thinking", f"{way.__name__}: the first block")
            calls = [block for block in message.content if block.type == "tool_use"]
            check.equal([call.name for call in calls], [name] if name else [], f"{way.__name__}: the calls")
            for call in calls:
                check.equal(call.input, MANNERS["arguments"][call.name], f"{way.__name__}: the arguments")
            request["messages"].append({"role": "assistant", "content": message.content})
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": MANNERS["tool_result"]} for call in calls
            ]
            request["messages"].append({"role": "user", "content": results})
        check.equal(joined(message, "text", "text"), MANNERS["tool_answer"], f"{way.__name__}: the answer")


async def no_arguments(check):
    for way in (create, helper):
        message = await way(ask(MANNERS["prompt"], tools=tools("ping", "weather")))
        calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
        wanted = [(name, MANNERS["arguments"][name]) for name in ("ping", "weather")]
        check.equal(calls, wanted, f"{way.__name__}: the calls")


async def refused(check):
    """What the real API refuses is refused in its words."""
    request = thinking(PROMPT, tools=tools("weather", "clock"))
    message = await create(request)
    thought, call = (block.model_dump() for block in message.content)
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "18 °C"}

    def goes_on(*content, result=result):
        said = {"role": "assistant", "content": list(content)}
        return {**request, "messages": [*request["messages"], said, {"role": "user", "content": [result]}]}

    await create(goes_on(thought, call))
    unsigned = {key: value for key, value in thought.items() if key != "signature"}
    stray = {**result, "tool_use_id": "toolu_other"}
    cases = {
        "Invalid `signature` in `thinking` block": goes_on({**thought, "signature": "AAAA"}, call),
        "Invalid `signature`": goes_on({**thought, "thinking": "Quack."}, call),
        "signature: Field required": goes_on(unsigned, call),
        "must start with a thinking block": goes_on(call),
        "unexpected `tool_use_id`": goes_on(thought, call, result=stray),
        "without `tool_result` blocks": goes_on(thought, call, result={"type": "text", "text": "and?"}),
        "`max_tokens` must be greater than": {**request, "max_tokens": 1500},
        "messages: at least one message is required": {**request, "messages": []},
    }
    for says, case in cases.items():
        try:
            await create(case)
            check.that(False, f"{says}: nothing was refused")
        except anthropic.BadRequestError as error:
            check.that(says in str(error), f"{says}: {error}")
            check.equal(error.body["error"]["type"], "invalid_request_error", says)


async def faults(check):
    """Faults reach the SDK as its own exceptions."""
    wanted = {
        "401": anthropic.AuthenticationError,
        "404": anthropic.NotFoundError,
        "429": anthropic.RateLimitError,
        "500": anthropic.InternalServerError,
        "529": anthropic.InternalServerError,
        "error-9": anthropic.APIStatusError,
        "abort-after-9": Exception,
    }
    for fault, kind in wanted.items():
        try:
            await plain({**ask(MANNERS["prompt"]), "model": f"{MODEL}/{fault}"})
            check.that(False, f"{fault}: nothing was raised")
        except Exception as error:
            check.that(isinstance(error, kind), f"{fault}: {error!r}")


def respond(content, **more):
    """A request of the Responses API for an answer that nobody stores."""
    reasoning = {"effort": "low", "summary": "auto"}
    include = ["reasoning.encrypted_content"]
    message = {"role": "user", "content": content}
    return {"model": "gpt-5", "input": [message], "store": False, "include": include, "reasoning": reasoning, **more}


def functions(*names):
    return [{"type": "function", "name": name, "parameters": SCHEMAS[name], "strict": False} for name in names]


async def response_helper(request):
    async with responses.stream(**request) as stream:
        return await stream.get_final_response()


async def response_create(request):
    return await responses.create(**request)


async def response_turns(check):
    """Three turns with a tool each, as the SDK's own items go back; then with a thought missing and altered."""
    for way in (response_create, response_helper):
        request = respond(PROMPT, tools=functions("weather", "clock"))
        for name in TURNS:
            response = await way(request)
            check.equal(response.status, "completed", f"{way.__name__}: the status")
            summary = response.output[0].summary[0].text
            check.equal(summary, MANNERS["reasoning"], f"{way.__name__}: the summary")
            calls = [item for item in response.output if item.type == "function_call"]
            check.equal([call.name for call in calls], [name] if name else [], f"{way.__name__}: the calls")
            fields = {"parsed_arguments": True, "status": True}
            request["input"] += [item.model_dump(exclude_none=True, exclude=fields) for item in response.output]
            for call in calls:
                result = {"type": "function_call_output", "call_id": call.call_id, "output": MANNERS["tool_result"]}
                request["input"].append(result)
        check.equal(response.output_text, MANNERS["tool_answer"], f"{way.__name__}: the answer")
        unthinking = [item for item in request["input"] if item.get("type") != "reasoning"]
        altered = [dict(item) for item in request["input"]]
        altered[1]["encrypted_content"] = "AAAA"
        cases = {"without its required 'reasoning' item": unthinking, "could not be verified": altered}
        for says, items in cases.items():
            try:
                await way({**request, "input": items})
                check.that(False, f"{says}: nothing was refused")
            except openai.BadRequestError as error:
                check.that(says in str(error), f"{says}: {error}")


async def response_limit(check):
    request = respond(MANNERS["prompt"], max_output_tokens=20)
    events = [event async for event in await responses.create(**request, stream=True)]
    check.equal(events[-1].type, "response.incomplete", "the last event")
    for where, response in (("stream", events[-1].response), ("object", await responses.create(**request))):
        check.equal(response.status, "incomplete", f"{where}: the status")
        check.equal(response.incomplete_details.reason, "max_output_tokens", f"{where}: the reason")
        check.equal(response.usage.output_tokens, 20, f"{where}: the tokens")


async def main():
    messages = [text, limit, turns, no_arguments, refused, faults]
    checks = [("anthropic", check) for check in messages]
    checks += [("responses", check) for check in (response_turns, response_limit)]
    await run("python native", [(group, check.__name__, check) for group, check in checks])


if __name__ == "__main__":
    asyncio.run(main())
