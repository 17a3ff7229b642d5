"""The official Python SDK over text completions, in front of the fake provider: its manners, prompts in all of their
forms, and every fault, as a stream and as an object."""

import asyncio
from functools import partial

import openai

from faults import check_error, clean
from support import FAULTS, MANNERS, client, model, run

OUTSPOKEN = [manner for manner in {*MANNERS["reasons"], *MANNERS["candidates"]} if manner not in MANNERS["refuses"]]


async def listen(**request):
    """Reads a stream to its end: the texts by choice, their finish reasons, usage, problems, and the error if any."""
    texts, finishes, usage, problems, identity = {}, {}, [], [], None
    try:
        async for chunk in await client.completions.create(
            stream=True, stream_options={"include_usage": True}, **request
        ):
            this = (chunk.id, chunk.object, chunk.created, chunk.model)
            identity = identity or this
            if this != identity or not all(this) or chunk.object != "text_completion":
                problems.append(f"identity {this} after {identity}")
            if usage or bool(chunk.choices) == bool(chunk.usage):
                problems.append(f"usage {chunk.usage} beside choices {chunk.choices} after {usage}")
            usage += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                if choice.index in finishes:
                    problems.append(f"choice {choice.index} goes on after its finish reason")
                texts[choice.index] = texts.get(choice.index, "") + choice.text
                if choice.finish_reason:
                    finishes[choice.index] = choice.finish_reason
    except openai.APIError as error:
        return texts, finishes, usage, problems, error
    return texts, finishes, usage, problems, None


async def says(manner, fault, check):
    """The whole text, and a proper end, in both forms."""
    request = {"model": model(manner, fault), "prompt": MANNERS["prompt"]}
    texts, finishes, usage, problems, error = await listen(**request)
    check.equal([problems, error, finishes], [[], None, {0: "stop"}], "stream: problems, error, finishes")
    check.equal(len(usage), 1, "stream: the number of usage reports")
    check.that(clean(texts.get(0)).endswith(MANNERS["answer"]), f"stream: the text is {texts}")
    completion = await client.completions.create(**request)
    check.equal(clean(completion.choices[0].text), clean(texts.get(0)), "object: the text")
    check.equal(completion.choices[0].finish_reason, "stop", "object: the finish reason")
    check.equal(completion.object, "text_completion", "object: its kind")
    check.that(completion.usage.total_tokens > 0, "object: no usage")


async def prompts(check):
    """Every form of a prompt, with the parameters that only this API has."""
    more = {"suffix": "!", "echo": False, "best_of": 2, "logit_bias": {"50256": -100}, "extra_body": {"min_p": 0.1}}
    for prompt, n in ((MANNERS["prompt"], 2), ([MANNERS["prompt"], "a"], 1), ([1, 2, 3], 2), ([[1, 2], [3]], 1)):
        request = {"model": "demo", "prompt": prompt, "n": n, "max_tokens": 5, **more}
        texts, finishes, usage, problems, error = await listen(**request)
        check.equal([problems, error, len(usage)], [[], None, 1], f"{prompt}: problems, error, usage reports")
        check.equal(finishes, {0: "length", 1: "length"}, f"{prompt}: finish reasons")
        completion = await client.completions.create(**request)
        check.equal({choice.index: choice.text for choice in completion.choices}, texts, f"{prompt}: the texts")


async def early(manner, fault, row, check):
    """Before the first event: an HTTP error, whether a stream was asked for or not."""
    request = {"model": model(manner, fault), "prompt": MANNERS["prompt"]}
    *_, of_stream = await listen(**request)
    try:
        of_object = await client.completions.create(**request)
    except openai.APIError as error:
        of_object = error
    for where, error in (("stream", of_stream), ("object", of_object)):
        if check_error(check, where, error, getattr(openai, row["error"])):
            check.that(error.status_code in row["status"], f"{where}: the status is {error.status_code}")
            check.equal(error.response.headers.get("retry-after"), row.get("retry_after"), f"{where}: retry-after")


async def midway(manner, fault, code, check):
    """After the first event: an error after the text so far, or no object at all."""
    request = {"model": model(manner, fault), "prompt": MANNERS["prompt"]}
    texts, finishes, usage, problems, error = await listen(**request)
    check.equal([problems, finishes, usage], [[], {}, []], "stream: problems, finishes, usage")
    check.that(0 < len(texts.get(0, "")), f"stream: it said {texts}")
    if check_error(check, "stream", error, openai.APIError):
        check.equal(error.code, code, "stream: the code")
    try:
        check.that(False, f"object: {await client.completions.create(**request)}")
    except openai.APIError as error:
        if check_error(check, "object", error, openai.InternalServerError):
            check.equal(error.code, code, "object: the code")


async def elsewhere(check):
    """A provider whose API has no such thing: an error that says so."""
    try:
        check.that(False, await client.completions.create(model="anthropic/m", prompt="a"))
    except openai.APIError as error:
        if check_error(check, "object", error, openai.InternalServerError):
            check.equal(error.status_code, 501, "the status")
            check.that("/v1/chat/completions" in error.message, f"the message is {error.message}")


async def main():
    checks = [("prompts", "demo", prompts), ("elsewhere", "anthropic", elsewhere)]
    checks += [("manners", manner, partial(says, manner, None)) for manner in OUTSPOKEN]
    manner = "openai"
    for fault, row in FAULTS["early"].items():
        checks.append(("early", fault, partial(early, manner, fault, row)))
    for fault, code in FAULTS["midway"].items():
        checks.append(("midway", fault, partial(midway, manner, fault, code)))
    for fault in FAULTS["mended"]:
        checks.append(("mended", fault, partial(says, manner, fault)))
    await run("python completions", checks)


if __name__ == "__main__":
    asyncio.run(main())
