// The official Node SDK in front of every manner of the fake provider.

import { ASK, MANNERS, OpenAI, USAGE, client, model, read, readme, run, setEnvironment, silence } from "./support.mjs";

/** A tool, whose parameters are all required. */
function tool(name, properties) {
  const parameters = {
    type: "object",
    properties: Object.fromEntries(Object.entries(properties).map(([key, type]) => [key, { type }])),
    required: Object.keys(properties),
    additionalProperties: false,
  };
  return { type: "function", function: { name, strict: true, parameters } };
}

const WEATHER = tool("weather", { city: "string", days: "integer" });
const CLOCK = tool("clock", { zone: "string" });
const PING = tool("ping", {});
const FORMAT = {
  type: "json_schema",
  json_schema: {
    name: "pond",
    strict: true,
    schema: tool("pond", { city: "string", ducks: "integer" }).function.parameters,
  },
};

const counts = (manner) => !MANNERS.counts_nothing.includes(manner);
const refuses = (manner) => MANNERS.refuses.includes(manner);
const speaks = (manner) => MANNERS.speaks.includes(manner);

/** What a manner should say: in words, as a refusal or aloud, and what it thinks. */
function wanted(manner, text = MANNERS.answer) {
  const before = MANNERS.by_provider[manner]?.before_text ?? "";
  return {
    text: refuses(manner) || speaks(manner) ? "" : before + text,
    refusal: refuses(manner) ? MANNERS.refusal : "",
    spoken: speaks(manner) ? text : "",
    reasoning: MANNERS.reasons.includes(manner) ? MANNERS.reasoning : "",
  };
}

function checkSaid(check, where, said, wanted) {
  checkAnswer(check, where, said, wanted);
  // The line breaks around tags are the provider's.
  check.equal(said.reasoning.trim(), wanted.reasoning, `${where}: reasoning`);
  check.equal(said.reasoning_content.trim(), wanted.reasoning, `${where}: reasoning_content`);
}

/** The same without reasoning: of fields that it does not know, the SDK's helper keeps the last piece only. */
function checkAnswer(check, where, said, wanted) {
  check.equal(said.text, wanted.text, `${where}: the text`);
  check.equal(said.refusal, wanted.refusal, `${where}: the refusal`);
  check.equal(said.spoken, wanted.spoken, `${where}: the transcript`);
}

/** What a message says, in the words of a stream. */
function said(message) {
  const { content, refusal, audio, reasoning, reasoning_content } = message;
  return {
    text: content ?? "",
    refusal: refusal ?? "",
    spoken: audio?.transcript ?? "",
    reasoning: reasoning ?? "",
    reasoning_content: reasoning_content ?? "",
  };
}

/** Looks at everything of a stream but its text. */
function checkStream(check, where, stream, finish, usage) {
  check.equal(stream.error?.message, undefined, `${where}: the error`);
  check.equal(stream.problems, [], `${where}: the problems`);
  stream.choices.forEach((heard, index) => {
    check.equal(heard.roles, ["assistant"], `${where}: the roles of choice ${index}`);
    check.equal(heard.finishes, [finish], `${where}: the finish reasons of choice ${index}`);
  });
  check.equal(stream.usage.length, usage ? 1 : 0, `${where}: the number of usage reports`);
  for (const report of stream.usage) checkUsage(check, where, report);
}

function checkUsage(check, where, usage) {
  const [prompt, completion, total] = fields(usage);
  const whole = [prompt, completion, total].every((count) => Number.isInteger(count) && count > 0);
  check.that(whole, `${where}: the counts are ${fields(usage)}`);
  check.equal(total, prompt + completion, `${where}: the total`);
}

function fields(usage) {
  return [usage?.prompt_tokens, usage?.completion_tokens, usage?.total_tokens];
}

function checkCompletion(check, where, completion, finish, usage) {
  check.equal(completion.choices.length, 1, `${where}: the number of choices`);
  check.equal(completion.object, "chat.completion", `${where}: the object`);
  check.equal(completion.choices[0].finish_reason, finish, `${where}: the finish reason`);
  check.equal(completion.choices[0].message.role, "assistant", `${where}: the role`);
  check.equal(Boolean(completion.usage), usage, `${where}: whether there is usage`);
  if (completion.usage) checkUsage(check, where, completion.usage);
}

/** The one choice of a stream without candidates. */
function only(check, where, stream) {
  check.equal(Object.keys(stream.choices), ["0"], `${where}: the choices`);
  return stream.choices[0] ?? silence();
}

/** The plain loop with and without usage, and the plain call, say the same. */
async function text(manner, check) {
  const request = { model: model(manner), messages: ASK };
  const asked = await read({ ...request, ...USAGE });
  checkStream(check, "stream", asked, "stop", counts(manner));
  checkSaid(check, "stream", only(check, "stream", asked), wanted(manner));
  const unasked = await read(request);
  checkStream(check, "stream without usage", unasked, "stop", false);
  checkSaid(check, "stream without usage", only(check, "stream without usage", unasked), wanted(manner));
  const whole = await client.chat.completions.create(request);
  checkCompletion(check, "object", whole, "stop", counts(manner));
  checkSaid(check, "object", said(whole.choices[0].message), wanted(manner));
  check.equal(asked.usage.map(fields), counts(manner) ? [fields(whole.usage)] : [], "usage");
}

/** The helper's events and its completion say the same. */
async function helper(manner, check) {
  const heard = silence();
  const done = [];
  const stream = client.chat.completions.stream({ model: model(manner), messages: ASK, ...USAGE });
  stream.on("content.delta", ({ delta }) => (heard.text += delta));
  stream.on("refusal.delta", ({ delta }) => (heard.refusal += delta));
  stream.on("content.done", ({ content }) => done.push(content));
  stream.on("chunk", ({ choices: [choice] }) => {
    heard.spoken += choice?.delta.audio?.transcript ?? "";
    heard.reasoning += choice?.delta.reasoning ?? "";
    heard.reasoning_content += choice?.delta.reasoning_content ?? "";
  });
  const whole = await stream.finalChatCompletion();
  checkSaid(check, "the events", heard, wanted(manner));
  // An answer without text may begin with an empty one.
  check.equal(done.filter(Boolean), heard.text ? [heard.text] : [], "content.done");
  check.equal((await stream.finalContent()) ?? "", heard.text, "finalContent()");
  checkCompletion(check, "completion", whole, "stop", counts(manner));
  checkAnswer(check, "completion", said(whole.choices[0].message), wanted(manner));
}

/** Calls are the same in the loop, the call and the helper, and can be sent back with their results. */
async function tools(offered, manner, check) {
  if (refuses(manner)) return;
  const request = { model: model(manner), messages: ASK, tools: offered };
  const names = offered.map((tool) => tool.function.name);
  const expected = (MANNERS.calls_once.includes(manner) ? names.slice(0, 1) : names).map((name) => ({
    name,
    arguments: MANNERS.arguments[name],
  }));
  const stream = await read(request);
  checkStream(check, "stream", stream, "tool_calls", false);
  const { calls } = only(check, "stream", stream);
  checkCalls(check, "stream", calls, expected);
  const whole = await client.chat.completions.create(request);
  checkCompletion(check, "object", whole, "tool_calls", counts(manner));
  checkCalls(check, "object", plain(whole), expected);
  const done = [];
  const helper = client.chat.completions.stream(request);
  helper.on("tool_calls.function.arguments.done", (event) => done.push({ name: event.name, arguments: event.arguments }));
  const final = await helper.finalChatCompletion();
  checkCalls(check, "helper", plain(final), expected);
  check.equal(done, calls.map(withoutId), "helper: the done events");
  check.equal(plain(whole).map(withoutId), calls.map(withoutId), "the calls of the object");
  check.equal(plain(final).map(withoutId), calls.map(withoutId), "the calls of the helper");
  await secondTurn(check, "object", manner, offered, whole.choices[0].message);
  await secondTurn(check, "helper", manner, offered, final.choices[0].message);
}

function plain(completion) {
  const calls = completion.choices[0].message.tool_calls ?? [];
  return calls.map((call) => ({ id: call.id, name: call.function.name, arguments: call.function.arguments }));
}

function withoutId({ name, arguments: text }) {
  return { name, arguments: text };
}

function checkCalls(check, where, calls, expected) {
  const parsed = calls.map(({ name, arguments: text }) => {
    try {
      return { name, arguments: JSON.parse(text) };
    } catch {
      return { name, arguments: text };
    }
  });
  check.equal(parsed, expected, `${where}: the calls`);
  const ids = calls.map((call) => call.id);
  check.that(ids.every(Boolean) && new Set(ids).size === ids.length, `${where}: the ids are ${ids}`);
}

/** The assistant's message goes back as the SDK gave it, with the fields that it does not know. */
async function secondTurn(check, where, manner, offered, message) {
  const results = (message.tool_calls ?? []).map(({ id }) => ({
    role: "tool",
    tool_call_id: id,
    content: MANNERS.tool_result,
  }));
  const stream = await read({ model: model(manner), messages: [...ASK, message, ...results], tools: offered });
  const place = `second turn after ${where}`;
  checkStream(check, place, stream, "stop", false);
  checkSaid(check, place, only(check, place, stream), wanted(manner, MANNERS.tool_answer));
}

/** The SDK runs the tools by itself and asks again with the results, with streams or without. */
async function runTools(stream, manner, check) {
  if (refuses(manner)) return;
  const asked = [];
  const runnable = (tool) => ({
    type: "function",
    function: {
      ...tool.function,
      parse: JSON.parse,
      function: (parsed) => {
        asked.push({ name: tool.function.name, arguments: parsed });
        return MANNERS.tool_result;
      },
    },
  });
  const offered = [WEATHER, CLOCK].map(runnable);
  const runner = client.chat.completions.runTools({ model: model(manner), messages: ASK, tools: offered, stream });
  const final = await runner.finalChatCompletion();
  const names = MANNERS.calls_once.includes(manner) ? ["weather"] : ["weather", "clock"];
  check.equal(asked, names.map((name) => ({ name, arguments: MANNERS.arguments[name] })), "the calls");
  checkAnswer(check, "the answer", said(final.choices[0].message), wanted(manner, MANNERS.tool_answer));
  check.equal(final.choices[0].finish_reason, "stop", "the finish reason");
}

/** A structured answer can be parsed, from the loop, the call and the helper. */
async function structured(manner, check) {
  if (refuses(manner) || speaks(manner)) return;
  const request = { model: model(manner), messages: ASK, response_format: FORMAT };
  const stream = await read(request);
  checkStream(check, "stream", stream, "stop", false);
  check.equal(JSON.parse(only(check, "stream", stream).text), MANNERS.structured, "stream: the answer");
  const whole = await client.chat.completions.create(request);
  check.equal(JSON.parse(whole.choices[0].message.content), MANNERS.structured, "object: the answer");
  const content = await client.chat.completions.stream(request).finalContent();
  check.equal(JSON.parse(content), MANNERS.structured, "helper: the answer");
}

/** Two candidates where the manner has them, else one; each is whole. The helper takes no `n`. */
async function candidates(manner, check) {
  const texts = [MANNERS.answer, MANNERS.again].slice(0, MANNERS.candidates.includes(manner) ? 2 : 1);
  const request = { model: model(manner), messages: ASK, n: 2 };
  const stream = await read({ ...request, ...USAGE });
  checkStream(check, "stream", stream, "stop", counts(manner));
  check.equal(Object.keys(stream.choices), Object.keys(texts), "stream: the choices");
  const whole = await client.chat.completions.create(request);
  check.equal(whole.choices.map((choice) => choice.index), [...texts.keys()], "object: the choices");
  check.equal(stream.usage.map(fields), counts(manner) ? [fields(whole.usage)] : [], "usage");
  texts.forEach((text, index) => {
    checkSaid(check, `stream ${index}`, stream.choices[index] ?? silence(), wanted(manner, text));
    checkSaid(check, `object ${index}`, said(whole.choices[index].message), wanted(manner, text));
    check.equal(whole.choices[index].finish_reason, "stop", `object ${index}: the finish reason`);
  });
}

/** The manners of the fake provider, as its list of models names them; the names of faults are longer. */
async function listed() {
  const manners = [];
  for await (const { id } of client.models.list()) {
    const name = id.split("/");
    if (name[0] === "demo" && name.length === 2 && name.at(-1) !== "slow") manners.push(name.at(-1));
  }
  return manners;
}

/** Every manner that the data name exists. */
async function complete(manners, check) {
  const lists = ["reasons", "candidates", "refuses", "speaks", "calls_once", "counts_nothing"];
  const unknown = lists.flatMap((list) => MANNERS[list]).filter((manner) => !manners.includes(manner));
  check.equal(unknown, [], "the manners that are named but not served");
  check.that(manners.length > 40, `only ${manners.length} manners are listed`);
}

/** The client that is made without an address finds millpond by README's other line. */
async function byEnvironment(check) {
  setEnvironment(readme("openai (Node)")[1]);
  const api = new OpenAI({ apiKey: "unused", maxRetries: 0 });
  const answer = await api.chat.completions.create({ model: model("openai"), messages: ASK });
  check.equal(answer.choices[0].message.content, MANNERS.answer, "the answer");
}

const groups = {
  text,
  helper,
  "one tool": tools.bind(null, [WEATHER]),
  "two tools": tools.bind(null, [WEATHER, CLOCK]),
  "no arguments": tools.bind(null, [PING, WEATHER]),
  runTools: runTools.bind(null, false),
  "runTools in streams": runTools.bind(null, true),
  structured,
  candidates,
};
const manners = await listed();
const checks = Object.entries(groups).flatMap(([group, examine]) =>
  manners.map((manner) => [group, manner, (check) => examine(manner, check)]),
);
const others = [
  ["listing", "models", (check) => complete(manners, check)],
  ["readme", "environment", byEnvironment],
];
await run("node manners", [...others, ...checks]);
