// What the agents share, which are programs of their own: how they are run, and that they speak to nobody else.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LIMIT = 60_000;

/** Whom the agents wanted to speak to beside millpond. */
const strangers = [];
// The proxy of their environment, which lets nobody through.
const world = createServer((request, response) => {
  strangers.push(request.url);
  response.writeHead(403).end();
}).on("connect", (request, socket) => {
  strangers.push(request.url);
  socket.on("error", () => {}).end("HTTP/1.1 403 Forbidden\r\n\r\n");
});
await new Promise((resolve) => world.listen(0, "127.0.0.1", resolve));

/**
 * Runs a program in an empty folder of its own, which is its home as well, and which `prepare` may fill: how it exited
 * and what it wrote.
 */
export async function launch(program, args, env, prepare = () => {}) {
  const home = mkdtempSync(join(tmpdir(), "agent-"));
  prepare(home);
  const proxy = `http://127.0.0.1:${world.address().port}`;
  const whole = { PATH: process.env.PATH, HOME: home, HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NO_PROXY: "127.0.0.1", ...env };
  const child = spawn(program, args, { cwd: home, env: whole, stdio: ["ignore", "pipe", "pipe"], timeout: LIMIT });
  let out = "";
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => (out += piece));
  child.stderr.setEncoding("utf8").on("data", (piece) => (said += piece));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  rmSync(home, { recursive: true, force: true });
  return { code, out, said };
}

/** The last check: no run before it wanted to speak to anybody else. */
export const alone = ["alone", "the loopback", async (check) => check.equal(strangers, [], "the strangers it asks for")];
