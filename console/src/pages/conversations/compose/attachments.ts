import type { Block } from "../thread/content";

/** A file that goes with a message, as the block that the message has for it. */
export interface Attachment {
  id: string;
  name: string;
  block: Exclude<Block, string>;
}

/** Why a file is not taken, in words for the user. */
export class Refused extends Error {}

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const TEXT_BYTES = 200_000;
/** The smallest limit of the providers that take pictures. */
const PICTURE_BYTES = 3_500_000;

/** Read a file for a model. `model`: null if nobody knows it; the graph then decides. Throws Refused. */
export async function readAttachment(file: File, model: string | null): Promise<Attachment> {
  const block = file.type.startsWith("image/") ? await pictureOf(file, model) : await textOf(file);
  return { id: crypto.randomUUID(), name: file.name, block };
}

/** Why a model cannot be shown pictures. Null: it can, or nobody knows. */
export function refusesPictures(model: string | null): string | null {
  return model?.startsWith("offline:") ? `The model ${model} reads text alone.` : null;
}

async function pictureOf(file: File, model: string | null): Promise<Attachment["block"]> {
  const reason = refusesPictures(model);
  if (reason) throw new Refused(`${file.name}: ${reason}`);
  if (!PICTURES.includes(file.type)) throw new Refused(`${file.name}: pictures are PNG, JPEG, GIF or WebP.`);
  if (file.size > PICTURE_BYTES) throw new Refused(`${file.name}: a picture has at most 3.5 MB.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  return { type: "image", mime_type: file.type, base64: base64Of(bytes), extras: { name: file.name } };
}

async function textOf(file: File): Promise<Attachment["block"]> {
  if (file.size > TEXT_BYTES) throw new Refused(`${file.name}: a text file has at most 200 kB.`);
  const text = decode(await file.arrayBuffer());
  if (text === null) throw new Refused(`${file.name}: only pictures and text files (UTF-8) can be attached.`);
  return { type: "text", text: `File ${file.name}:\n\n${text}` };
}

function decode(bytes: ArrayBuffer): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

const CHUNK = 32_768;

function base64Of(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}
