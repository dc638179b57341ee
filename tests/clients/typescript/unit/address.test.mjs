import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { Client } from "../../../../clients/typescript/dist/index.js";
import { ServerAddress } from "../../../../clients/typescript/dist/connection/address.js";
import { RetryConnection } from "../../../../clients/typescript/dist/connection/close-policy.js";

/** The address of a server that gives one answer to every request. */
async function serverThatAnswers(t, status, body, headers = {}) {
  const server = createServer((request, response) => response.writeHead(status, headers).end(body));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return new ServerAddress(`http://127.0.0.1:${server.address().port}/`, 5);
}

test("a URL is validated before anything connects", () => {
  assert.throws(() => new Client({ url: "ftp://here" }), /ftp/);
  assert.throws(() => new Client({ url: "here" }), TypeError);
});

test("a WebSocket URL is used as it is", async () => {
  assert.equal(await new ServerAddress("ws://x/ws", 5).websocketUrl(), "ws://x/ws");
});

test("the server names its WebSocket URL", async (t) => {
  const address = await serverThatAnswers(t, 200, '{"sockets_url": "ws://y/ws"}');
  assert.equal(await address.websocketUrl(), "ws://y/ws");
});

for (const [body, pattern] of [
  ["{}", /reports no WebSocket URL/],
  ["null", /reports no WebSocket URL/],
  ["<html>", /does not answer as an Agenthall server/],
]) {
  test(`an answer ${body} of another server is refused`, async (t) => {
    await assert.rejects((await serverThatAnswers(t, 200, body)).websocketUrl(), {
      name: "Refused",
      message: pattern,
    });
  });
}

test("a busy server is asked again after Retry-After", async (t) => {
  const address = await serverThatAnswers(t, 503, '{"detail": "starting"}', { "Retry-After": "4" });
  await assert.rejects(address.websocketUrl(), (error) => {
    assert.ok(error instanceof RetryConnection);
    assert.deepEqual([error.message, error.minDelay], ["starting (HTTP 503)", 4]);
    return true;
  });
});

test("the reason of a failed connection is not hidden", async () => {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(new ServerAddress(`http://127.0.0.1:${port}`, 5).websocketUrl(), /ECONNREFUSED/);
});
