"""The official Python SDK in front of every fault of the fake provider: an error is raised, or nothing shows."""

import asyncio
from functools import partial

import openai

from support import ASK, FAULTS, MANNERS, client, model, read, run

# The types of errors that the contract allows (F4).
TYPES = {
    "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "rate_limit_error",
    "upstream_error", "timeout_error", "server_error", "overloaded_error",
}  # fmt: skip


def wanted(manner):
    """The text and the reasoning of a manner."""
    before = MANNERS["by_provider"].get(manner, {}).get("before_text", "")
    return before + MANNERS["answer"], MANNERS["reasoning"] if manner in MANNERS["reasons"] else ""


async def helped(request):
    """Asks through the helper; returns the text so far, the completion and the error, one of them None."""
    text = ""
    try:
        async with client.chat.completions.stream(**request) as stream:
            async for event in stream:
                text += event.delta if event.type == "content.delta" else ""
            return text, await stream.get_final_completion(), None
    except openai.APIError as error:
        return text, None, error


async def called(request):
    """Asks for an object; returns the completion and the error, one of them None."""
    try:
        return await client.chat.completions.create(**request), None
    except openai.APIError as error:
        return None, error


def check_error(check, where, error, kind):
    """Looks for an error of exactly that class, with a message and a type."""
    if type(error) is not kind:
        check.that(False, f"{where}: {error!r} is no {kind.__name__}")
        return False
    check.that(bool(error.message), f"{where}: the error has no message")
    check.that(error.type in TYPES, f"{where}: the error's type is {error.type!r}")
    check.that(error.code is None or isinstance(error.code, str), f"{where}: the error's code is {error.code!r}")
    return True


async def early(manner, fault, row, check):
    """Before the first event: an HTTP error, whether a stream was asked for or not."""
    request = {"model": model(manner, fault), "messages": ASK}
    _, _, of_helper = await helped(request)
    _, of_object = await called(request)
    stream = await read(**request)
    for where, error in (("stream", stream.error), ("helper", of_helper), ("object", of_object)):
        if not check_error(check, where, error, getattr(openai, row["error"])):
            continue
        check.that(error.status_code in row["status"], f"{where}: the status is {error.status_code}")
        if "type" in row:
            check.equal(error.type, row["type"], f"{where}: the type")
        check.equal(error.response.headers.get("retry-after"), row.get("retry_after"), f"{where}: retry-after")


async def midway(manner, fault, code, check):
    """After the first event: an error after the text so far, or no object at all."""
    request = {"model": model(manner, fault), "messages": ASK}
    text, reasoning = wanted(manner)
    stream = await read(**request, stream_options={"include_usage": True})
    heard = stream.only
    said = heard.reasoning + heard.text
    check.that(0 < len(said) < len(reasoning + text), f"stream: it said {said!r}")
    check.that(text.startswith(heard.text), f"stream: the text is {heard.text!r}")
    check.that(reasoning.startswith(heard.reasoning.strip()), f"stream: the reasoning is {heard.reasoning!r}")
    check.equal([stream.problems, heard.finishes, stream.usage], [[], [], []], "stream: problems, finishes, usage")
    if check_error(check, "stream", stream.error, openai.APIError):
        check.equal(stream.error.code, code, "stream: the code")
    so_far, _, error = await helped(request)
    check.equal(so_far, heard.text, "helper: the text")
    if check_error(check, "helper", error, openai.APIError):
        check.equal(error.code, code, "helper: the code")
    _, error = await called(request)
    if check_error(check, "object", error, openai.InternalServerError):
        check.that(error.status_code >= 500, f"object: the status is {error.status_code}")
        check.equal(error.code, code, "object: the code")


async def mended(manner, fault, check):
    """Nothing shows: the whole answer, and a proper end."""
    request = {"model": model(manner, fault), "messages": ASK}
    text, reasoning = wanted(manner)
    stream = await read(**request, stream_options={"include_usage": True})
    heard = stream.only
    check.equal(stream.error, None, "stream: the error")
    check.equal([stream.problems, heard.roles, heard.finishes], [[], ["assistant"], ["stop"]], "stream: its form")
    check.equal(len(stream.usage), 1, "stream: the number of usage reports")
    check.equal(clean(heard.text), text, "stream: the text")
    check.equal(clean(heard.reasoning).strip(), reasoning, "stream: the reasoning")
    check.equal(heard.refusal, "", "stream: the refusal")
    so_far, of_helper, error = await helped(request)
    check.equal(error, None, "helper: the error")
    check.equal(clean(so_far), text, "helper: the text so far")
    of_object, error = await called(request)
    check.equal(error, None, "object: the error")
    for where, completion in (("helper", of_helper), ("object", of_object)):
        if completion:
            choice = completion.choices[0]
            check.equal(clean(choice.message.content), text, f"{where}: the text")
            check.equal(choice.finish_reason, "stop", f"{where}: the finish reason")
            check.equal(choice.message.refusal, None, f"{where}: the refusal")


def clean(text):
    """Without the characters that stand for invalid bytes; the answer has none of its own."""
    return (text or "").replace("\ufffd", "")


async def main():
    checks = []
    for manner in FAULTS["manners"]:
        for fault, row in FAULTS["early"].items():
            checks.append(("early", f"{manner}/{fault}", partial(early, manner, fault, row)))
        for fault, code in FAULTS["midway"].items():
            checks.append(("midway", f"{manner}/{fault}", partial(midway, manner, fault, code)))
        for fault in FAULTS["mended"]:
            checks.append(("mended", f"{manner}/{fault}", partial(mended, manner, fault)))
    await run("python faults", checks)


if __name__ == "__main__":
    asyncio.run(main())
