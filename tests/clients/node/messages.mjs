// Anthropic's official SDK in front of millpond: text, tools and reasoning from every dialect, and faults.

import { ASK, FAULTS, MANNERS, NATIVES, evaluate, installed, model, readme, run, setEnvironment } from "./support.mjs";

const { Anthropic } = installed("@anthropic-ai/sdk");

const CLIENT = "@anthropic-ai/sdk (Node)";
const clientOf = (url) =>
  evaluate(readme(CLIENT, url)[0], { Anthropic }).withOptions({ maxRetries: 0, timeout: 20_000 });
const client = clientOf(process.env.MILLPOND_URL);
// Its reasoning comes back from the client alone.
const forgetful = clientOf(process.env.FORGETFUL_URL);
const TOOLS = [
  ["weather", "city"],
  ["clock", "zone"],
].map(([name, key]) => ({ name, input_schema: { type: "object", properties: { [key]: { type: "string" } } } }));

/** Asks through the helper, or for an object: the text so far, the message and the error, one of them null. */
async function ask(request, streams, api = client) {
  const heard = { text: "", message: null, error: null };
  const whole = { max_tokens: 4000, ...request };
  try {
    if (streams) {
      const stream = api.messages.stream(whole).on("text", (piece) => (heard.text += piece));
      heard.message = await stream.finalMessage();
    } else {
      heard.message = await api.messages.create(whole);
    }
  } catch (error) {
    if (!(error instanceof Anthropic.AnthropicError)) throw error;
    heard.error = error;
  }
  return heard;
}

/** What the blocks of a kind say, joined. */
const words = (message, kind) =>
  message.content
    .filter((block) => block.type === kind)
    .map((block) => block[kind])
    .join("");

const wantedOf = (manner) => (MANNERS.by_provider[manner]?.before_text ?? "") + MANNERS.answer;

/** The same words as a stream and as an object. */
async function plain(manner, check) {
  for (const streams of [true, false]) {
    const { text, message, error } = await ask({ model: model(manner), messages: ASK }, streams);
    check.equal(error, null, `${streams}: the error`);
    if (streams) check.equal(text, wantedOf(manner), "the streamed text");
    check.equal(words(message, "text"), wantedOf(manner), `${streams}: the text`);
    check.equal(message.stop_reason, "end_turn", `${streams}: the reason`);
    check.that(message.id && message.model, `${streams}: no id or model`);
    if (MANNERS.reasons.includes(manner)) {
      check.equal(words(message, "thinking").trim(), MANNERS.reasoning, `${streams}: the reasoning`);
    }
  }
}

/** Three turns of tools with a model that reasons. */
async function tools(native, streams, check) {
  const messages = [{ role: "user", content: NATIVES.prompt }];
  const thinking = { type: "enabled", budget_tokens: 2000 };
  let last;
  for (const name of ["weather", "clock", null]) {
    const request = { model: native.model, tools: TOOLS, thinking, messages };
    const { message, error } = await ask(request, streams, forgetful);
    if (error) return check.that(false, `${name}: ${error}`);
    const calls = message.content.filter((block) => block.type === "tool_use");
    check.that(words(message, "thinking"), `${name}: no reasoning`);
    check.equal(calls.map((call) => call.name), name ? [name] : [], "the calls");
    check.equal(message.stop_reason, name ? "tool_use" : "end_turn", "the reason");
    check.that(calls.every((call) => Object.values(call.input).every((value) => value === "Paris")), "the arguments");
    const results = calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "18 °C" }));
    messages.push({ role: "assistant", content: message.content }, { role: "user", content: results });
    last = message;
  }
  check.that(words(last, "text").includes("18 °C"), "the result is not in the text");
}

/** Before the first event: an HTTP error, whether a stream was asked for or not. */
async function early(manner, fault, row, check) {
  for (const streams of [true, false]) {
    const { error } = await ask({ model: model(manner, fault), messages: ASK }, streams);
    check.that(row.status.includes(error?.status), `${streams}: ${error} has the status ${error?.status}`);
    check.equal(error?.error?.type, "error", `${streams}: the type of the body`);
  }
}

/** After the first event: the text so far, then an error with the code of the fault. */
async function midway(manner, fault, code, check) {
  const { text, error } = await ask({ model: model(manner, fault), messages: ASK }, true);
  check.that(wantedOf(manner).startsWith(text), `the text is ${text}`);
  check.that(error !== null && JSON.stringify(error.error ?? error.message).includes(code), `${error} has no ${code}`);
}

/** The client that is made without an address finds millpond by README's other line. */
async function byEnvironment(check) {
  setEnvironment(readme(CLIENT)[1]);
  const { message } = await ask({ model: model("openai"), messages: ASK }, false, new Anthropic({ apiKey: "unused" }));
  check.equal(message?.content[0].text, MANNERS.answer, "the answer");
}

const checks = FAULTS.manners.map((manner) => ["plain", manner, (check) => plain(manner, check)]);
checks.push(["readme", "environment", byEnvironment]);
for (const [name, native] of Object.entries(NATIVES.natives)) {
  for (const streams of [true, false]) {
    checks.push(["tools", `${name} ${streams}`, (check) => tools(native, streams, check)]);
  }
}
for (const manner of FAULTS.manners) {
  for (const [fault, row] of Object.entries(FAULTS.early)) {
    checks.push(["early", `${manner}/${fault}`, (check) => early(manner, fault, row, check)]);
  }
  for (const [fault, code] of Object.entries(FAULTS.midway)) {
    checks.push(["midway", `${manner}/${fault}`, (check) => midway(manner, fault, code, check)]);
  }
}
await run("node messages", checks);
