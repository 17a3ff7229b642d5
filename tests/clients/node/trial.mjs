// What every client that is no SDK of a provider is put through. It asks in several ways, each a function of an
// address, a model and whether a tool is offered, which gives what the client shows, or throws what the client throws.
//
// In front of millpond the manners of the fake provider are right, in words and with a tool whose result goes back,
// and faults are errors. Pointed at the fake provider itself, the manners that a script names break the client: it
// throws, or shows something else.

import { isDeepStrictEqual } from "node:util";

import { FAULTS, MANNERS, model, run } from "./support.mjs";

/** The tool that is offered, as JSON Schema. */
export const WEATHER = {
  name: "weather",
  description: "What the sky will do.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" } },
    required: ["city", "days"],
    additionalProperties: false,
  },
};

/** Manners that differ in all that clients read; the provider's own SDK reads the others as well. */
const SOME = ["openai", "openrouter", "mistral-magistral", "groq", "google", "perplexity", "ollama", "home-made-cr"];

/** Faults that are told as errors: at once, in the middle and at the end, or instead of an answer. */
const ERRORS = ["429", "cut-after-3", "error-3", "garbage-3", "empty"];

/** What a client shows of a manner, if it is told all. */
function wanted(manner, tool, thinks) {
  const turns = tool ? 2 : 1;
  return {
    text: tool ? MANNERS.tool_answer : MANNERS.answer,
    reasoning: thinks && MANNERS.reasons.includes(manner) ? MANNERS.reasoning.repeat(turns) : "",
    called: tool ? [MANNERS.arguments.weather] : [],
  };
}

/** What is wrong with what a way shows: nothing if a fault is thrown, or the whole answer is there. */
async function wrong(way, url, manner, fault, tool) {
  const name = url === process.env.MILLPOND_URL ? model(manner, fault) : [manner, fault].filter(Boolean).join("/");
  const fails = fault in { ...FAULTS.early, ...FAULTS.midway };
  const called = [];
  let shown;
  try {
    shown = await way(url, name, tool && ((input) => (called.push(input), MANNERS.tool_result)));
  } catch (error) {
    return fails ? null : `it throws ${error?.constructor?.name}: ${error?.message}`;
  }
  if (fails) return `it takes ${JSON.stringify(shown.text)} for the answer`;
  // The line breaks around tags are the provider's; invalid bytes become a character that no answer has.
  const clean = (text) => text.replaceAll(/[\n\ufffd]/g, "");
  const seen = { text: clean(shown.text), reasoning: clean(shown.reasoning ?? ""), called };
  const right = wanted(manner, tool, shown.reasoning !== undefined);
  return isDeepStrictEqual(seen, right) ? null : `it shows ${JSON.stringify(seen)} instead of ${JSON.stringify(right)}`;
}

/** A manner that is right in front of millpond. */
async function through(way, manner, fault, tool, check) {
  check.equal(await wrong(way, process.env.MILLPOND_URL, manner, fault, tool), null, "through millpond: what is wrong");
}

/** A manner that is right in front of millpond, and is not without it. */
async function breaks(way, manner, fault, tool, check) {
  check.equal(await wrong(way, process.env.MOCK_URL, "openai"), null, "a clean manner without millpond: what is wrong");
  const without = await wrong(way, process.env.MOCK_URL, manner, fault, tool);
  check.that(without !== null, "it breaks nothing any more: name another manner");
  await through(way, manner, fault, tool, check);
}

/**
 * Runs a client through all of it. `broken` names for each way what breaks it: `manner` or `manner/fault`, in words,
 * or in a turn of a tool if ` tool` follows.
 */
export async function tryClient(title, ways, broken, more = []) {
  const checks = [...more];
  for (const [name, way] of Object.entries(ways)) {
    for (const manner of SOME) {
      for (const tool of [false, true]) {
        checks.push([name, `${manner}${tool ? " tool" : ""}`, (check) => through(way, manner, undefined, tool, check)]);
      }
    }
    for (const fault of ERRORS) {
      checks.push([`${name} faults`, fault, (check) => through(way, "openai", fault, false, check)]);
    }
    for (const what of broken[name] ?? []) {
      const [, manner, , fault, tool] = /^([^/ ]+)(\/([^ ]+))?( tool)?$/.exec(what);
      checks.push([`${name} without millpond`, what, (check) => breaks(way, manner, fault, Boolean(tool), check)]);
    }
  }
  await run(title, checks);
}
