// What the scripts share: the client, the data, a reader of streams, and the runner of checks.
//
// MILLPOND_URL in the environment says where millpond listens, such as http://127.0.0.1:8080;
// CLIENTS_NODE names the folder whose node_modules holds the SDKs.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

// The SDKs are installed outside the source tree, where an import would not look for them.
export const installed = createRequire(join(process.env.CLIENTS_NODE, "package.json"));
export const { OpenAI } = installed("openai");

const data = (name) => JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), "utf8"));
export const MANNERS = data("manners.json");
export const FAULTS = data("faults.json");
export const NATIVES = data("natives.json");

// How many checks run at once, and how long a request and a check may take, in milliseconds.
const AT_ONCE = 8;
const REQUEST_TIMEOUT = 20_000;
const CHECK_TIMEOUT = 60_000;

/** What README's table of clients tells for one of them, with the address of a millpond. */
export function readme(name, url = process.env.MILLPOND_URL) {
  const text = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
  const row = text.split("\n").find((line) => line.startsWith(`| ${name} |`));
  return [...row.matchAll(/`(.+?)`/g)].map(([, code]) => code.replaceAll("http://127.0.0.1:8080", url));
}

/** The value of README's line, whose names are those of `scope`. */
export function evaluate(line, scope) {
  return new Function(...Object.keys(scope), `return ${line}`)(...Object.values(scope));
}

/** Sets the variables of a line such as `NAME=value OTHER=value`. */
export function setEnvironment(line) {
  for (const pair of line.split(" ")) {
    const at = pair.indexOf("=");
    process.env[pair.slice(0, at)] = pair.slice(at + 1);
  }
}

/** The official client, as README makes it, in front of the millpond at an address. */
export function clientOf(url) {
  const made = evaluate(readme("openai (Node)", url)[0], { OpenAI });
  return made.withOptions({ maxRetries: 0, timeout: REQUEST_TIMEOUT });
}

export const client = clientOf(process.env.MILLPOND_URL);

export const ASK = [{ role: "user", content: MANNERS.prompt }];
export const USAGE = { stream_options: { include_usage: true } };

/** The model's name for a manner of the fake provider, with a fault. */
export function model(manner, fault) {
  const provider = MANNERS.by_provider[manner]?.provider ?? "demo";
  return [provider, "demo", manner, fault].filter(Boolean).join("/");
}

/**
 * Asks for a stream and reads it in a plain loop, until its end or an error of the SDK: its choices by
 * index, its usage reports, what is wrong with its chunks, how it ended.
 */
export async function read(request, api = client) {
  const stream = { choices: [], usage: [], problems: [], error: null };
  let identity;
  try {
    for await (const chunk of await api.chat.completions.create({ ...request, stream: true })) {
      const these = [chunk.id, chunk.object, chunk.created, chunk.model];
      identity ??= these;
      if (!isDeepStrictEqual(these, identity) || !these.every(Boolean) || chunk.object !== "chat.completion.chunk") {
        stream.problems.push(`identity ${these} after ${identity}`);
      }
      if (stream.usage.length > 0) stream.problems.push("a chunk after the usage");
      if (chunk.usage) stream.usage.push(chunk.usage);
      if (chunk.choices.length > 0 === Boolean(chunk.usage)) {
        stream.problems.push(`${chunk.choices.length} choices beside usage ${JSON.stringify(chunk.usage)}`);
      }
      for (const choice of chunk.choices) {
        stream.choices[choice.index] ??= silence();
        listen(stream, stream.choices[choice.index], choice);
      }
    }
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    stream.error = error;
  }
  return stream;
}

/** What one choice of a stream said, joined: nothing yet. */
export function silence() {
  const words = { text: "", refusal: "", spoken: "", reasoning: "", reasoning_content: "" };
  return { ...words, roles: [], finishes: [], calls: [], details: [] };
}

/** Adds one choice of a chunk to what was heard of it. */
function listen(stream, heard, { delta, finish_reason }) {
  if (heard.finishes.length > 0) stream.problems.push("a choice goes on after its finish reason");
  if (delta.role !== undefined) heard.roles.push(delta.role);
  if (finish_reason !== null) heard.finishes.push(finish_reason);
  heard.text += delta.content ?? "";
  heard.refusal += delta.refusal ?? "";
  heard.spoken += delta.audio?.transcript ?? "";
  heard.reasoning += delta.reasoning ?? "";
  heard.reasoning_content += delta.reasoning_content ?? "";
  heard.details.push(...(delta.reasoning_details ?? []));
  for (const call of delta.tool_calls ?? []) {
    const said = heard.calls[call.index];
    if (said === undefined) {
      if (call.index !== heard.calls.length) stream.problems.push(`call ${call.index} is number ${heard.calls.length}`);
      if (!(call.id && call.type === "function" && call.function.name)) {
        stream.problems.push(`a call begins with ${JSON.stringify(call)}`);
      }
      heard.calls[call.index] = { id: call.id, name: call.function.name, arguments: call.function.arguments };
    } else {
      if ("id" in call || "type" in call || "name" in call.function) {
        stream.problems.push(`a call goes on with ${JSON.stringify(call)}`);
      }
      said.arguments += call.function.arguments;
    }
  }
}

/** One check; it collects what is wrong. */
class Check {
  failures = [];

  that(condition, message) {
    if (!condition) this.failures.push(message);
  }

  equal(actual, wanted, what) {
    this.that(
      isDeepStrictEqual(actual, wanted),
      `${what} is ${JSON.stringify(actual)} instead of ${JSON.stringify(wanted)}`,
    );
  }
}

/** Runs checks, given as [group, subject, function of a Check], and exits with 1 if any failed. */
export async function run(title, checks) {
  const begin = performance.now();
  const done = [];
  const waiting = checks.entries();
  const worker = async () => {
    for (const [at, [group, subject, examine]] of waiting) {
      const check = new Check();
      try {
        await bounded(examine(check));
      } catch (error) {
        // Whatever a client throws is a failure to report.
        check.failures.push(`${error?.constructor?.name}: ${error?.message ?? error}`);
      }
      done[at] = { group, subject, failures: check.failures };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  for (const group of new Set(done.map((check) => check.group))) {
    const ofGroup = done.filter((check) => check.group === group);
    console.log(`${title} ${group}: ${ofGroup.filter((check) => check.failures.length === 0).length} of ${ofGroup.length}`);
  }
  const failed = done.filter((check) => check.failures.length > 0);
  for (const { group, subject, failures } of failed) {
    for (const failure of failures) console.log(`FAILED ${title} ${group} ${subject}: ${failure}`);
  }
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  console.log(`${title}: ${done.length - failed.length} passed, ${failed.length} failed, ${seconds} s`);
  process.exit(failed.length > 0 ? 1 : 0);
}

/** The promise's value, unless it takes too long. */
async function bounded(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the check took too long")), CHECK_TIMEOUT);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
