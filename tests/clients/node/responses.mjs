// The official Node SDK over the Responses API: its stream helper, the plain loop and the object, over the manners of
// the fake provider that reason, three turns of tools over each of its dialects, and faults.

import { FAULTS, MANNERS, NATIVES, OpenAI, client, model, run } from "./support.mjs";

const tool = (name, properties) => ({
  type: "function",
  name,
  strict: false,
  parameters: {
    type: "object",
    properties: Object.fromEntries(Object.entries(properties).map(([key, type]) => [key, { type }])),
  },
});
const OFFERED = [tool("weather", { city: "string", days: "integer" }), tool("clock", { zone: "string" })];

/** The helper puts the response together from the events, and insists on their order. */
async function ofHelper(request) {
  return await client.responses.stream(request).finalResponse();
}

/** The last event of a plain loop. */
async function ofLoop(request) {
  let last;
  let number = -1;
  for await (const event of await client.responses.create({ ...request, stream: true })) {
    if (event.sequence_number !== number + 1) throw new Error(`event ${event.sequence_number} after ${number}`);
    number = event.sequence_number;
    last = event;
  }
  // The SDK adds it to objects alone.
  const texts = last.response.output.filter((item) => item.type === "message").flatMap((item) => item.content);
  return { ...last.response, output_text: texts.map((part) => part.text ?? "").join("") };
}

async function ofObject(request) {
  return await client.responses.create(request);
}

const WAYS = [ofHelper, ofLoop, ofObject];

/** The text of all reasoning. */
function thought(response) {
  const items = response.output.filter((item) => item.type === "reasoning");
  return items.flatMap((item) => [...item.summary, ...(item.content ?? [])].map((part) => part.text)).join("").trim();
}

async function says(manner, way, check) {
  const response = await way({ model: model(manner), input: MANNERS.prompt });
  check.equal(response.status, "completed", "the status");
  check.equal(response.output_text.trim(), MANNERS.answer, "the text");
  check.equal(thought(response), MANNERS.reasons.includes(manner) ? MANNERS.reasoning : "", "the reasoning");
  check.that(response.usage.total_tokens > 0, "no usage");
}

async function turns(native, way, byId, check) {
  let request = {
    model: native.model,
    tools: OFFERED,
    reasoning: { effort: "medium", summary: "auto" },
    max_output_tokens: 4000,
    input: [{ role: "user", content: NATIVES.prompt }],
  };
  for (const name of ["weather", "clock", null]) {
    const response = await way(request);
    check.equal(thought(response), MANNERS.reasoning, `before ${name}: the reasoning`);
    const calls = response.output.filter((item) => item.type === "function_call");
    const said = calls.map((call) => [call.name, JSON.parse(call.arguments)]);
    check.equal(said, name ? [[name, MANNERS.arguments[name]]] : [], `before ${name}: the calls`);
    if (!name) check.equal(response.output_text, MANNERS.tool_answer, "the answer");
    const results = calls.map(({ call_id }) => ({
      type: "function_call_output",
      call_id,
      output: MANNERS.tool_result,
    }));
    request = byId
      ? { ...request, previous_response_id: response.id, input: results }
      : { ...request, input: [...request.input, ...response.output, ...results] };
  }
}

async function early(manner, fault, expect, check) {
  for (const way of WAYS) {
    try {
      await way({ model: model(manner, fault), input: MANNERS.prompt });
      check.that(false, `${way.name}: nothing was thrown`);
    } catch (error) {
      check.that(error instanceof OpenAI.APIError, `${way.name}: ${error}`);
      check.that(expect.status.includes(error.status), `${way.name}: the status ${error.status}`);
    }
  }
}

/** After the first event: it is thrown where a stream is read. */
async function midway(manner, fault, code, check) {
  for (const way of [ofHelper, ofLoop]) {
    try {
      await way({ model: model(manner, fault), input: MANNERS.prompt });
      check.that(false, `${way.name}: nothing was thrown`);
    } catch (error) {
      check.that(error instanceof OpenAI.APIError, `${way.name}: ${error}`);
      check.equal(error.error?.fault, code, `${way.name}: the fault`);
    }
  }
}

const checks = [];
const quiet = [...MANNERS.refuses, ...MANNERS.speaks];
const plain = MANNERS.candidates.filter((manner) => !quiet.includes(manner));
for (const manner of new Set([...MANNERS.reasons, ...plain])) {
  for (const way of WAYS) checks.push(["manners", `${manner} ${way.name}`, (check) => says(manner, way, check)]);
}
for (const [name, native] of Object.entries(NATIVES.natives)) {
  for (const way of WAYS) {
    for (const byId of [false, true]) {
      checks.push([`tools ${name}`, `${way.name} ${byId}`, (check) => turns(native, way, byId, check)]);
    }
  }
}
for (const manner of FAULTS.manners) {
  for (const [fault, expect] of Object.entries(FAULTS.early)) {
    checks.push(["faults", `${manner} ${fault}`, (check) => early(manner, fault, expect, check)]);
  }
  for (const [fault, code] of Object.entries(FAULTS.midway)) {
    checks.push(["faults", `${manner} ${fault}`, (check) => midway(manner, fault, code, check)]);
  }
}
await run("node responses", checks);
