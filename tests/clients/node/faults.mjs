// The official Node SDK in front of every fault of the fake provider: an error is raised, or nothing shows.

import { ASK, FAULTS, MANNERS, OpenAI, USAGE, client, model, read, run, silence } from "./support.mjs";

/** The types of errors that the contract allows (F4). */
const TYPES = [
  "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "rate_limit_error",
  "upstream_error", "timeout_error", "server_error", "overloaded_error",
];

/** The text and the reasoning of a manner. */
function wanted(manner) {
  return {
    text: (MANNERS.by_provider[manner]?.before_text ?? "") + MANNERS.answer,
    reasoning: MANNERS.reasons.includes(manner) ? MANNERS.reasoning : "",
  };
}

/** Asks through the helper: the text so far, the completion and the error, one of them missing. */
async function helped(request) {
  let text = "";
  const stream = client.chat.completions.stream(request);
  stream.on("content.delta", ({ delta }) => (text += delta));
  const outcome = await settled(stream.finalChatCompletion());
  return { ...outcome, text };
}

/** The completion or the SDK's error. */
async function settled(promise) {
  try {
    return { completion: await promise };
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    return { error };
  }
}

/** Looks for an error of exactly that class, with a message and a type. */
function checkError(check, where, error, kind) {
  if (error?.constructor !== kind) {
    check.that(false, `${where}: ${error?.constructor?.name} (${error?.message}) is no ${kind.name}`);
    return false;
  }
  check.that(error.message.length > 0, `${where}: the error has no message`);
  check.that(!error.message.includes("undefined"), `${where}: the message is ${error.message}`);
  check.that(TYPES.includes(error.type), `${where}: the error's type is ${error.type}`);
  check.that(error.code === null || typeof error.code === "string", `${where}: the error's code is ${error.code}`);
  return true;
}

/** Before the first event: an HTTP error, whether a stream was asked for or not. */
async function early(manner, fault, row, check) {
  const request = { model: model(manner, fault), messages: ASK };
  const stream = await read(request);
  const helper = await helped(request);
  const object = await settled(client.chat.completions.create(request));
  for (const [where, { error }] of Object.entries({ stream, helper, object })) {
    if (!checkError(check, where, error, OpenAI[row.error])) continue;
    check.that(row.status.includes(error.status), `${where}: the status is ${error.status}`);
    if (row.type) check.equal(error.type, row.type, `${where}: the type`);
    check.equal(error.headers.get("retry-after"), row.retry_after ?? null, `${where}: retry-after`);
  }
}

/** After the first event: an error after the text so far, or no object at all. */
async function midway(manner, fault, code, check) {
  const request = { model: model(manner, fault), messages: ASK };
  const { text, reasoning } = wanted(manner);
  const stream = await read({ ...request, ...USAGE });
  const heard = stream.choices[0] ?? silence();
  const length = heard.reasoning.length + heard.text.length;
  check.that(0 < length && length < reasoning.length + text.length, `stream: it said ${JSON.stringify(heard)}`);
  check.that(text.startsWith(heard.text), `stream: the text is ${heard.text}`);
  check.that(reasoning.startsWith(heard.reasoning.trim()), `stream: the reasoning is ${heard.reasoning}`);
  check.equal([stream.problems, heard.finishes, stream.usage], [[], [], []], "stream: problems, finishes, usage");
  if (checkError(check, "stream", stream.error, OpenAI.APIError)) {
    check.equal(stream.error.code, code, "stream: the code");
  }
  const helper = await helped(request);
  check.equal(helper.text, heard.text, "helper: the text");
  if (checkError(check, "helper", helper.error, OpenAI.APIError)) {
    check.equal(helper.error.code, code, "helper: the code");
  }
  const { error } = await settled(client.chat.completions.create(request));
  if (checkError(check, "object", error, OpenAI.InternalServerError)) {
    check.that(error.status >= 500, `object: the status is ${error.status}`);
    check.equal(error.code, code, "object: the code");
  }
}

/** Nothing shows: the whole answer, and a proper end. */
async function mended(manner, fault, check) {
  const request = { model: model(manner, fault), messages: ASK };
  const { text, reasoning } = wanted(manner);
  const stream = await read({ ...request, ...USAGE });
  const heard = stream.choices[0] ?? silence();
  check.equal(stream.error?.message, undefined, "stream: the error");
  check.equal([stream.problems, heard.roles, heard.finishes], [[], ["assistant"], ["stop"]], "stream: its form");
  check.equal(stream.usage.length, 1, "stream: the number of usage reports");
  check.equal(clean(heard.text), text, "stream: the text");
  check.equal(clean(heard.reasoning).trim(), reasoning, "stream: the reasoning");
  check.equal(heard.refusal, "", "stream: the refusal");
  const helper = await helped(request);
  check.equal(clean(helper.text), text, "helper: the text so far");
  const object = await settled(client.chat.completions.create(request));
  for (const [where, { completion, error }] of Object.entries({ helper, object })) {
    check.equal(error?.message, undefined, `${where}: the error`);
    const choice = completion?.choices[0];
    check.equal(clean(choice?.message.content), text, `${where}: the text`);
    check.equal(choice?.finish_reason, "stop", `${where}: the finish reason`);
    check.equal(choice?.message.refusal, null, `${where}: the refusal`);
  }
}

/** Without the characters that stand for invalid bytes; the answer has none of its own. */
function clean(text) {
  return (text ?? "").replaceAll("\ufffd", "");
}

const checks = FAULTS.manners.flatMap((manner) => [
  ...Object.entries(FAULTS.early).map(([fault, row]) => ["early", fault, (check) => early(manner, fault, row, check)]),
  ...Object.entries(FAULTS.midway).map(([fault, code]) => ["midway", fault, (check) => midway(manner, fault, code, check)]),
  ...FAULTS.mended.map((fault) => ["mended", fault, (check) => mended(manner, fault, check)]),
].map(([group, fault, examine]) => [group, `${manner}/${fault}`, examine]));
await run("node faults", checks);
