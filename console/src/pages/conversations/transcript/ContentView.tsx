import { FileDown, Link2 } from "lucide-react";
import { useEffect, useState } from "react";
import { JsonView } from "../../../components/JsonView";
import { type Block, blocksOf, isText, linkOf, type Media, mediaOf } from "../thread/content";
import { MarkdownText } from "./MarkdownText";

/** The parts of a message: text, pictures, files, links, and what nobody knows as JSON. */
export function ContentView({
  content,
  markdown = false,
  live = false,
}: {
  content: unknown;
  markdown?: boolean;
  live?: boolean;
}) {
  return blocksOf(content).map((block, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: parts have no identity, and only the last one grows
    <BlockView key={index} block={block} markdown={markdown} live={live} />
  ));
}

function BlockView({ block, markdown, live }: { block: Block; markdown: boolean; live: boolean }) {
  if (isText(block)) {
    const text = typeof block === "string" ? block : `${block.text}`;
    if (markdown) return <MarkdownText text={text} live={live} />;
    return <p className="wrap-anywhere whitespace-pre-wrap">{text}</p>;
  }
  if (typeof block === "string") return null;
  const media = mediaOf(block);
  if (media) return <MediaView media={media} />;
  const link = linkOf(block);
  if (link) return <LinkView address={link} kind={`${block.type ?? "link"}`} />;
  if (typeof block.thinking === "string") return <Thinking text={block.thinking} />;
  // The call is shown by itself, with its result.
  if (block.type === "tool_use" || block.type === "tool_call") return null;
  return <JsonView value={block} maxHeight={240} />;
}

function Thinking({ text }: { text: string }) {
  return (
    <details className="text-soft">
      <summary className="text-xs font-medium">Thinking</summary>
      <p className="mt-1 border-l-2 pl-3 wrap-anywhere whitespace-pre-wrap">{text}</p>
    </details>
  );
}

/** A picture of types that cannot hold a script, or a file to save. Both are made of data that the page has. */
export function MediaView({ media }: { media: Media }) {
  if (media.kind === "picture") {
    return (
      <img
        src={`data:${media.mimeType};base64,${standardBase64(media.base64)}`}
        alt={media.name}
        className="max-h-80 max-w-full rounded-md border bg-sunken object-contain"
      />
    );
  }
  return <FileView media={media} />;
}

function FileView({ media }: { media: Media }) {
  const [address, setAddress] = useState<string>();
  useEffect(() => {
    const made = URL.createObjectURL(blobOf(media));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [media]);
  return (
    <a
      href={address}
      download={media.name}
      className="inline-flex max-w-full items-center gap-2 rounded-md border bg-surface px-2.5 py-1.5 hover:bg-sunken"
    >
      <FileDown size={15} aria-hidden className="shrink-0 text-faint" />
      <span className="truncate">{media.name}</span>
      <span className="text-xs text-faint">{media.mimeType}</span>
    </a>
  );
}

function LinkView({ address, kind }: { address: string; kind: string }) {
  return (
    <a
      href={address}
      target="_blank"
      rel="noreferrer noopener"
      className="inline-flex max-w-full items-center gap-2 rounded-md border bg-surface px-2.5 py-1.5 hover:bg-sunken"
    >
      <Link2 size={15} aria-hidden className="shrink-0 text-faint" />
      <span className="truncate">{address}</span>
      <span className="text-xs text-faint">{kind}</span>
    </a>
  );
}

const standardBase64 = (text: string) => text.replace(/-/g, "+").replace(/_/g, "/").replace(/\s/g, "");

function blobOf({ base64 }: Media): Blob {
  try {
    const bytes = Uint8Array.from(atob(standardBase64(base64)), (character) => character.charCodeAt(0));
    return new Blob([bytes], { type: "application/octet-stream" });
  } catch {
    return new Blob([base64], { type: "application/octet-stream" });
  }
}
