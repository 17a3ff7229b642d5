"""What the scripts of frameworks share: each fails in front of some manners of the fake provider, and is right in front
of all of them through millpond.

A framework is an async function of a turn, millpond's address as README has it, a model's name and whether a stream is
asked for; it returns what was `Said`. What breaks it is a dict of manners, each with the turn and the way in which it
fails, be it by an exception or by other words; a manner with a fault breaks it if no error is seen.
"""

import os
import sys
from functools import partial, partialmethod
from typing import NamedTuple

import openai
from support import FAULTS, MANNERS, NATIVES, model, of_mock, run

MILLPOND, MOCK = os.environ["MILLPOND_URL"], os.environ["MOCK_URL"]
TEXT, TOOL = "text", "tool"
STREAM, OBJECT = True, False
QUESTION = MANNERS["prompt"]
# The manners that say no words.
SILENT = MANNERS["refuses"] + MANNERS["speaks"]
# What the user reads of a fault.
TOLD = {
    "429": "too many requests",
    "cut-after-3": "answer was cut",
    "error-3": "failed while it answered",
    "garbage-3": "data that cannot be read",
    "empty": "ended before it said anything",
}

# The client below each framework would ask again before an error is seen.
for kind in (openai.OpenAI, openai.AsyncOpenAI):
    kind.__init__ = partialmethod(kind.__init__, max_retries=0)

AWAY = []


def stay(event, arguments):
    """Frameworks would ask for prices, vocabularies or news of themselves: here nothing leaves the loopback."""
    host = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if host not in (None, "127.0.0.1", "::1", "localhost"):
        AWAY.append(host)
        raise PermissionError(f"{host} is beyond the loopback")


sys.addaudithook(stay)


class Said(NamedTuple):
    """The words of a turn; its reasoning, if the framework shows it; the arguments of the calls that were made."""

    text: str
    reasoning: str | None = None
    calls: list | None = None


def complaints(turn, manner, said):
    """What is wrong with what was said."""
    if isinstance(said, Exception):
        return [f"{type(said).__name__}: {said}"]
    before = MANNERS["by_provider"].get(manner, {}).get("before_text", "")
    wanted = MANNERS["answer"] if turn == TEXT else MANNERS["tool_answer"]
    thought = MANNERS["reasoning"] if manner in MANNERS["reasons"] else ""
    found = []
    # Some frameworks take away the line breaks before the words.
    if said.text not in (before + wanted, wanted):
        found.append(f"the text is {said.text!r}")
    if said.reasoning is not None and said.reasoning.strip() != thought:
        found.append(f"the reasoning is {said.reasoning!r}")
    if turn == TOOL and said.calls != [MANNERS["arguments"]["weather"]]:
        found.append(f"the calls are {said.calls}")
    return found


async def answered(asking):
    """What was said, or the exception instead."""
    try:
        return await asking
    except Exception as error:  # Whatever a framework throws.
        return error


async def broken(framework, turn, name, streams, check):
    manner, _, fault = name.partition("/")
    said = await answered(framework(turn, MOCK, f"demo/{name}", streams))
    if fault:
        check.that(not isinstance(said, Exception), f"the fault is seen without millpond: {said!r}")
    else:
        check.that(bool(complaints(turn, manner, said)), "the answer is right without millpond: choose another")


async def works(framework, turn, check):
    said = await answered(framework(turn, MOCK, "demo/openai", STREAM))
    for complaint in complaints(turn, "openai", said):
        check.that(False, f"without millpond nothing is right: {complaint}")


async def right(framework, turn, manner, streams, check):
    said = await answered(framework(turn, MILLPOND, model(manner), streams))
    for complaint in complaints(turn, manner, said):
        check.that(False, complaint)


async def told(framework, manner, fault, streams, check):
    error = await answered(framework(TEXT, MILLPOND, model(manner, fault), streams))
    words = []
    while isinstance(error, Exception):
        words.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    check.that(any(TOLD[fault] in each for each in words), f"the user reads {words or error!r}")


async def thinks(framework, name, streams, check):
    """A model that reasons, behind a dialect of its own, shows it and calls the tool."""
    said = await answered(framework(TOOL, MILLPOND, name, streams))
    for complaint in complaints(TOOL, MANNERS["reasons"][0], said):
        check.that(False, complaint)
    check.that(isinstance(said, Exception) or said.reasoning is not None, "no reasoning is shown")


def label(name, turn, streams):
    return f"{name}, {turn}, {'stream' if streams else 'object'}"


def without(framework, breaks):
    """Checks that these manners break the framework without millpond, and that not all do."""
    checks = [
        ("without", label(name, turn, streams), partial(broken, framework, turn, name, streams))
        for name, (turn, streams) in breaks.items()
    ]
    for turn in (TEXT, TOOL):
        checks.append(("without", label("openai", turn, STREAM), partial(works, framework, turn)))
    return checks


async def everywhere(group, framework):
    """Checks of a tool turn over every manner, through millpond."""
    listed = [each["id"] for each in (await of_mock("/v1/models"))["data"]]
    manners = [name for name in listed if "/" not in name and name not in ("slow", *SILENT)]
    return [
        (group, label(manner, TOOL, STREAM), partial(right, framework, TOOL, manner, STREAM)) for manner in manners
    ]


def closely(group, framework, breaks, faulty=FAULTS["manners"][0]):
    """Checks of the other turns over what breaks it without millpond and a few more, and of faults."""
    manners = [name for name in breaks if "/" not in name] + FAULTS["manners"]
    checks = [
        (group, label(manner, turn, streams), partial(right, framework, turn, manner, streams))
        for manner in dict.fromkeys(manners)
        for turn, streams in ((TEXT, STREAM), (TEXT, OBJECT), (TOOL, OBJECT))
    ]
    return checks + faults(group, framework, faulty)


def faults(group, framework, manner):
    """Checks that faults are told; each group takes another manner, for a model that fails often is left alone."""
    return [
        (f"{group}, faults", label(fault, TEXT, streams), partial(told, framework, manner, fault, streams))
        for fault in TOLD
        for streams in (STREAM, OBJECT)
    ]


def reasoning(framework, natives=NATIVES["natives"]):
    """Checks of models that reason, behind each dialect."""
    return [
        ("reasoning", label(name, TOOL, streams), partial(thinks, framework, native["model"], streams))
        for name, native in natives.items()
        for streams in (STREAM, OBJECT)
    ]


async def compare(title, checks, refused=()):
    """Runs the checks; the hosts beyond the loopback that were asked for must be those that it tells of."""
    try:
        await run(title, checks)
    finally:
        if set(AWAY) != set(refused):
            raise SystemExit(f"FAILED {title}: hosts beyond the loopback: {AWAY} instead of {refused}")
