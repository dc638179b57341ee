/** The ways in which a job ends here, as the params of the message that reports it. */
import { joinItems, joinMembers, type JsonObject } from "../json.js";

const MAX_REASON = 1024;
const MAX_NAME = 128;
const MAX_MESSAGE = 8192;

export interface JobEnd {
  /** `job.reject` hands the job back. */
  readonly method: "job.finish" | "job.reject";
  readonly params: JsonObject;
}

/** `value`: a state update, a text, or undefined: then the tokens are the answer. */
export function resultEnd(value: unknown): JobEnd {
  return { method: "job.finish", params: { result: value ?? null } };
}

export function errorEnd(name: string, message: string): JobEnd {
  return {
    method: "job.finish",
    params: { error: { error: name.slice(0, MAX_NAME), message: message.slice(0, MAX_MESSAGE) } },
  };
}

export function exceptionEnd(thrown: unknown): JobEnd {
  if (!(thrown instanceof Error)) return errorEnd("Error", String(thrown));
  return errorEnd(thrown.name, thrown.message || thrown.name);
}

/** Throws TypeError when there are not as many ids as values, and for what is no JSON. */
export function interruptsEnd(values: readonly unknown[], ids: readonly string[] | undefined): JobEnd {
  if (ids !== undefined && ids.length !== values.length) throw new TypeError("There must be as many ids as values.");
  const interrupts = values.map((value, index) => joinMembers({ value, id: ids?.[index] }));
  return { method: "job.finish", params: { interrupts: joinItems(interrupts) } };
}

export function cancelledEnd(): JobEnd {
  return { method: "job.finish", params: { cancelled: true } };
}

export function handedBackEnd(reason: string): JobEnd {
  return { method: "job.reject", params: { reason: reason.slice(0, MAX_REASON) } };
}
