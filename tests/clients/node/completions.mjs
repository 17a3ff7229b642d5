// The official Node SDK over text completions, in front of the fake provider: its manners, prompts in all of their
// forms, and every fault, as a stream and as an object.

import { isDeepStrictEqual } from "node:util";

import { FAULTS, MANNERS, OpenAI, USAGE, client, model, run } from "./support.mjs";

const OUTSPOKEN = [...new Set([...MANNERS.reasons, ...MANNERS.candidates])].filter(
  (manner) => !MANNERS.refuses.includes(manner),
);

/** Without the characters that stand for invalid bytes; the answer has none of its own. */
const clean = (text) => (text ?? "").replaceAll("\ufffd", "");

/** Reads a stream to its end: the texts by choice, their finish reasons, usage, problems, and the error if any. */
async function listen(request) {
  const heard = { texts: [], finishes: [], usage: [], problems: [], error: null };
  let identity;
  try {
    for await (const chunk of await client.completions.create({ ...request, ...USAGE, stream: true })) {
      const these = [chunk.id, chunk.object, chunk.created, chunk.model];
      identity ??= these;
      if (!isDeepStrictEqual(these, identity) || !these.every(Boolean) || chunk.object !== "text_completion") {
        heard.problems.push(`identity ${these} after ${identity}`);
      }
      if (heard.usage.length > 0 || chunk.choices.length > 0 === Boolean(chunk.usage)) {
        heard.problems.push(`${chunk.choices.length} choices beside usage ${JSON.stringify(chunk.usage)}`);
      }
      if (chunk.usage) heard.usage.push(chunk.usage);
      for (const { index, text, finish_reason } of chunk.choices) {
        if (heard.finishes[index]) heard.problems.push(`choice ${index} goes on after its finish reason`);
        heard.texts[index] = (heard.texts[index] ?? "") + text;
        if (finish_reason) heard.finishes[index] = finish_reason;
      }
    }
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    heard.error = error;
  }
  return heard;
}

/** The object, or the error in its place. */
async function ask(request) {
  try {
    return await client.completions.create(request);
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    return error;
  }
}

/** The whole text, and a proper end, in both forms. */
async function says(manner, fault, check) {
  const request = { model: model(manner, fault), prompt: MANNERS.prompt };
  const { texts, finishes, usage, problems, error } = await listen(request);
  check.equal([problems, error, finishes], [[], null, ["stop"]], "stream: problems, error, finishes");
  check.equal(usage.length, 1, "stream: the number of usage reports");
  check.that(clean(texts[0]).endsWith(MANNERS.answer), `stream: the text is ${texts}`);
  const completion = await client.completions.create(request);
  check.equal(clean(completion.choices[0].text), clean(texts[0]), "object: the text");
  check.equal(completion.choices[0].finish_reason, "stop", "object: the finish reason");
  check.equal(completion.object, "text_completion", "object: its kind");
  check.that(completion.usage.total_tokens > 0, "object: no usage");
}

/** Every form of a prompt, with the parameters that only this API has. */
async function prompts(check) {
  const more = { suffix: "!", echo: false, best_of: 2, logit_bias: { 50256: -100 }, min_p: 0.1, max_tokens: 5 };
  for (const [prompt, n] of [
    [MANNERS.prompt, 2],
    [[MANNERS.prompt, "a"], 1],
    [[1, 2, 3], 2],
    [[[1, 2], [3]], 1],
  ]) {
    const request = { model: "demo", prompt, n, ...more };
    const { texts, finishes, usage, problems, error } = await listen(request);
    check.equal([problems, error, usage.length], [[], null, 1], `${prompt}: problems, error, usage reports`);
    check.equal(finishes, ["length", "length"], `${prompt}: finish reasons`);
    const completion = await client.completions.create(request);
    check.equal(completion.choices.map((choice) => choice.text), texts, `${prompt}: the texts`);
  }
}

/** Before the first event: an HTTP error, whether a stream was asked for or not. */
async function early(manner, fault, row, check) {
  const request = { model: model(manner, fault), prompt: MANNERS.prompt };
  for (const error of [(await listen(request)).error, await ask(request)]) {
    check.that(error instanceof OpenAI[row.error], `${error?.constructor?.name} is no ${row.error}`);
    check.that(row.status.includes(error?.status), `the status is ${error?.status}`);
    check.equal(error?.headers?.get("retry-after") ?? undefined, row.retry_after, "retry-after");
  }
}

/** After the first event: an error after the text so far, or no object at all. */
async function midway(manner, fault, code, check) {
  const request = { model: model(manner, fault), prompt: MANNERS.prompt };
  const { texts, finishes, usage, problems, error } = await listen(request);
  check.equal([problems, finishes, usage], [[], [], []], "stream: problems, finishes, usage");
  check.that((texts[0] ?? "").length > 0, `stream: it said ${texts}`);
  check.equal(error?.code, code, "stream: the code");
  const object = await ask(request);
  check.that(object instanceof OpenAI.InternalServerError, `object: ${object}`);
  check.equal(object.code, code, "object: the code");
}

/** A provider whose API has no such thing: an error that says so. */
async function elsewhere(check) {
  const error = await ask({ model: "anthropic/m", prompt: "a" });
  check.equal(error.status, 501, "the status");
  check.that(error.message?.includes("/v1/chat/completions"), `the message is ${error.message}`);
}

const manner = "openai";
await run("node completions", [
  ["prompts", "demo", prompts],
  ["elsewhere", "anthropic", elsewhere],
  ...OUTSPOKEN.map((manner) => ["manners", manner, (check) => says(manner, undefined, check)]),
  ...Object.entries(FAULTS.early).map(([fault, row]) => ["early", fault, (check) => early(manner, fault, row, check)]),
  ...Object.entries(FAULTS.midway).map(([fault, code]) => ["midway", fault, (check) => midway(manner, fault, code, check)]),
  ...FAULTS.mended.map((fault) => ["mended", fault, (check) => says(manner, fault, check)]),
]);
