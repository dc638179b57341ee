/**
 * Instance ids that a restarted process finds again, and that no two processes use at once.
 *
 * An id is `<host>-<12 hex digits>`. The digits are generated once and kept in a file. While a process runs, it holds
 * the lock of its file. A second process of the same agent on this machine finds the first lock taken and uses the
 * second file, and so on. A process that starts after another has died takes that file, and thereby its registration.
 *
 * Node cannot lock files. The lock is a socket that the process listens on: an abstract one on Linux, a named pipe on
 * Windows. The system frees both when the process dies. On other systems the digits are new for each process, and so
 * they are where no file can be written (a read-only container).
 *
 * The files are in AGENTHALL_STATE_DIR, else $XDG_STATE_HOME/agenthall, else ~/.local/state/agenthall.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { homedir, hostname } from "node:os";
import { join } from "node:path";
import { randomHex } from "../random.js";
import type { ClaimedInstanceId } from "./types.js";

const MAX_FILES = 1000;
const MAX_HOST_LENGTH = 200;
const DIGITS = /^[0-9a-f]{12}$/;
const LOCK_PREFIXES: Partial<Record<NodeJS.Platform, string>> = {
  linux: "\0agenthall-",
  win32: "\\\\.\\pipe\\agenthall-",
};

/** Claim the first id of this agent on this machine that no other process uses. */
export async function claimInstanceId(agentId: string): Promise<ClaimedInstanceId> {
  const host = hostname().slice(0, MAX_HOST_LENGTH) || "host";
  const [lock, digits] = (await lockFirstFree(stateDirectory(), agentId)) ?? [undefined, randomHex(6)];
  return { instanceId: `${host}-${digits}`, release: () => void lock?.close() };
}

function stateDirectory(): string {
  const state = process.env["XDG_STATE_HOME"] || join(homedir(), ".local", "state");
  return process.env["AGENTHALL_STATE_DIR"] || join(state, "agenthall");
}

/** Undefined where no file can be kept or locked. */
async function lockFirstFree(directory: string, agentId: string): Promise<[Server, string] | undefined> {
  const prefix = LOCK_PREFIXES[process.platform];
  if (prefix === undefined) return undefined;
  const stem = join(directory, `node-${hash(agentId)}`);
  for (let number = 0; number < MAX_FILES; number += 1) {
    const lock = await listen(`${prefix}${hash(`${stem}-${number}`)}`);
    if (lock === undefined) continue;
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      return [lock, await readOrWriteDigits(`${stem}-${number}`)];
    } catch {
      lock.close();
      return undefined;
    }
  }
  return undefined;
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** Undefined when another process listens on this path. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.on("error", () => resolve(undefined));
    // exclusive: the workers of a cluster do not share it
    server.listen({ path, exclusive: true }, () => resolve(server.unref()));
  });
}

async function readOrWriteDigits(path: string): Promise<string> {
  const known = await readFile(path, "utf8").catch(() => "");
  if (DIGITS.test(known)) return known;
  const generated = randomHex(6);
  await writeFile(path, generated, { mode: 0o600 });
  return generated;
}
