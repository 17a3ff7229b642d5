// The official Node SDK in three turns of tools with a model that reasons, over each dialect of the fake provider:
// a client that sends back what it does not know, one that drops it, and what is refused.
//
// MOCK_URL says where the fake provider listens that millpond asks, FORGETFUL_URL where a millpond listens that
// keeps no reasoning.

import { MANNERS, NATIVES, OpenAI, client, clientOf, read, run } from "./support.mjs";

const forgetful = clientOf(process.env.FORGETFUL_URL);
const TURNS = ["weather", "clock", null];

function tool(name, properties) {
  const types = Object.entries(properties).map(([key, type]) => [key, { type }]);
  const parameters = { type: "object", properties: Object.fromEntries(types) };
  return { type: "function", function: { name, parameters } };
}

const OFFERED = [tool("weather", { city: "string", days: "integer" }), tool("clock", { zone: "string" })];
let number = 0;

/** A conversation that its first message tells from all others. */
class Conversation {
  constructor(native, ask) {
    this.mark = `Node ${number++}.`;
    const messages = [{ role: "user", content: `${NATIVES.prompt} ${this.mark}` }];
    this.request = { ...ask, model: native.model, messages, tools: OFFERED };
  }

  /** Adds the model's message and the results of its calls. */
  goOn(message) {
    const results = (message.tool_calls ?? []).map(({ id }) => ({
      role: "tool",
      tool_call_id: id,
      content: MANNERS.tool_result,
    }));
    this.request.messages.push(message, ...results);
  }

  /** The body of the last request of this conversation that reached the provider. */
  async arrived() {
    const requests = await (await fetch(`${process.env.MOCK_URL}/mock/requests`)).json();
    return requests.map(({ body }) => JSON.stringify(body)).findLast((body) => body.includes(this.mark));
  }
}

const ways = {
  /** The message of a stream with all it had. */
  async stream(request, api) {
    const stream = await read(request, api);
    if (stream.error) throw stream.error;
    if (stream.problems.length > 0) throw new Error(`the stream: ${stream.problems}`);
    const { text, reasoning, details, calls } = stream.choices[0];
    const tool_calls = calls.map(({ id, ...named }) => ({ id, type: "function", function: named }));
    return {
      role: "assistant",
      content: text || null,
      reasoning,
      ...(details.length > 0 && { reasoning_details: details }),
      ...(calls.length > 0 && { tool_calls }),
    };
  },

  async object(request, api) {
    const completion = await api.chat.completions.create(request);
    return completion.choices[0].message;
  },
};

const backs = {
  keep: (message) => message,
  drop: ({ role, content, tool_calls }) => ({ role, content, ...(tool_calls && { tool_calls }) }),
};

function called(message) {
  return (message.tool_calls ?? []).map(({ function: { name, arguments: text } }) => [name, JSON.parse(text)]);
}

/** Looks at one turn: its thought, and its call or its words. */
function checkMessage(check, message, name) {
  check.equal((message.reasoning ?? "").trim(), MANNERS.reasoning, `before ${name}: the reasoning`);
  check.equal(called(message), name ? [[name, MANNERS.arguments[name]]] : [], `before ${name}: the calls`);
  if (!name) check.equal(message.content, MANNERS.tool_answer, "the answer");
}

/** Three turns, after which the provider has the reasoning of two. */
async function turns(native, way, back, check) {
  const talk = new Conversation(native, native.ask);
  for (const name of TURNS) {
    const message = await way(talk.request, client);
    checkMessage(check, message, name);
    if (name) talk.goOn(back(message));
  }
  if (back === backs.keep || native.remembered) {
    const body = await talk.arrived();
    check.equal(body.split(native.carries).length - 1, 2, `the number of ${native.carries} in ${body}`);
  }
}

async function refused(check, says, request, api = client) {
  for (const [name, way] of Object.entries(ways)) {
    try {
      await way(request, api);
      check.that(false, `${name}: ${says}: nothing was refused`);
    } catch (error) {
      if (!(error instanceof OpenAI.BadRequestError)) throw error;
      check.that(error.message.includes(says), `${name}: ${error.message}`);
      check.equal(error.type, "invalid_request_error", `${name}: the type`);
    }
  }
}

/** Another signature is refused as the provider does it; the memory does not put it right. */
async function altered(native, check) {
  const talk = new Conversation(native, native.ask);
  const message = await ways.object(talk.request, client);
  const signed = message.reasoning_details.filter((detail) => detail[native.signed]);
  check.that(signed.length > 0, `nothing is signed: ${JSON.stringify(message)}`);
  for (const detail of signed) detail[native.signed] = `QUACK${detail[native.signed]}`;
  talk.goOn(message);
  await refused(check, native.altered, talk.request);
}

/** Without signature and memory the provider refuses to go on, if it is the client that insists. */
async function missing(native, check) {
  const talk = new Conversation(native, native.insist);
  talk.goOn(backs.drop(await ways.object(talk.request, forgetful)));
  await refused(check, native.missing, talk.request, forgetful);
  const remembered = new Conversation(native, native.insist);
  remembered.goOn(backs.drop(await ways.object(remembered.request, client)));
  checkMessage(check, await ways.object(remembered.request, client), "clock");
}

/** Where it is not insisted on, millpond asks so that the conversation goes on without its thoughts. */
async function goesOn(native, check) {
  const talk = new Conversation(native, native.ask);
  for (const name of TURNS) {
    const { data, response } = await forgetful.chat.completions.create(talk.request).withResponse();
    const loses = talk.request.messages.length > 1 ? (native.loses ?? null) : null;
    check.equal(response.headers.get("x-millpond-dropped"), loses, `before ${name}: the dropped`);
    const { message } = data.choices[0];
    check.equal(called(message).map(([name]) => name), name ? [name] : [], `before ${name}: the calls`);
    if (!name) check.equal(message.content, MANNERS.tool_answer, "the answer");
    talk.goOn(backs.drop(message));
  }
}

const checks = Object.entries(NATIVES.natives).flatMap(([name, native]) => {
  const of = Object.entries(ways).flatMap(([said, way]) =>
    Object.entries(backs).map(([sent, back]) => [`${said} ${sent}`, (check) => turns(native, way, back, check)]),
  );
  of.push(["goes on", (check) => goesOn(native, check)]);
  if (native.altered) of.push(["altered", (check) => altered(native, check)]);
  if (native.missing) of.push(["missing", (check) => missing(native, check)]);
  return of.map(([subject, examine]) => [name, subject, examine]);
});
await run("node tools", checks);
