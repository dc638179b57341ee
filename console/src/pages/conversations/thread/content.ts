import { webAddress } from "../../../components/webAddress";

/** A part of a message's content: text, a picture, a file, or anything that a provider invents. */
export type Block = string | ({ type?: unknown } & Record<string, unknown>);

/** Data that the page itself holds. */
export interface Media {
  kind: "picture" | "file";
  name: string;
  mimeType: string;
  base64: string;
}

export function blocksOf(content: unknown): Block[] {
  if (typeof content === "string") return content ? [content] : [];
  if (!Array.isArray(content)) return content === null || content === undefined ? [] : [content as Block];
  return content as Block[];
}

/** The text of a content, without what is no text. */
export function textOf(content: unknown): string {
  return blocksOf(content)
    .map((block) => (typeof block === "string" ? block : isText(block) ? `${block.text}` : ""))
    .join("");
}

export function isText(block: Block): boolean {
  return typeof block === "string" || (block.type === "text" && typeof block.text === "string");
}

const DATA_ADDRESS = /^data:([\w.+-]+\/[\w.+-]+);base64,([A-Za-z0-9+/=\s]+)$/;
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const BASE64 = /^[A-Za-z0-9+/=_\-\s]+$/;

/** The picture or file of a block, in the forms of LangChain, OpenAI and Anthropic. Null: it has no data. */
export function mediaOf(block: Block): Media | null {
  if (typeof block === "string") return null;
  const { base64, mimeType } = dataOf(block);
  if (!base64 || !BASE64.test(base64)) return null;
  const type = mimeType ?? (block.type === "image" ? "image/png" : "application/octet-stream");
  const name =
    first(block.name, block.title, block.filename, record(block.metadata).filename, record(block.extras).name) ??
    `${block.type}`;
  return { kind: PICTURES.has(type) ? "picture" : "file", name, mimeType: type, base64 };
}

function dataOf(block: Record<string, unknown>): { base64?: string; mimeType?: string } {
  const nested = [block.image_url, block.source, block.file, block.input_audio].map(record);
  const address = first(block.image_url, block.url, ...nested.flatMap((each) => [each.url, each.file_data]));
  const [, type, data] = DATA_ADDRESS.exec(address ?? "") ?? [];
  if (type && data) return { base64: data, mimeType: type };
  return {
    base64: first(block.base64, block.data, ...nested.map((each) => each.data)),
    mimeType: first(block.mime_type, block.mimeType, ...nested.map((each) => each.media_type)),
  };
}

/** The address of a block that only points to its data. It is shown, and followed only by a click. */
export function linkOf(block: Block): string | null {
  if (typeof block === "string") return null;
  return webAddress(
    first(block.url, block.uri, block.image_url, record(block.image_url).url, record(block.source).url),
  );
}

function first(...values: unknown[]): string | undefined {
  return values.find((value): value is string => typeof value === "string" && value !== "");
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
