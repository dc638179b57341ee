import { Suspense } from "react";
import { lazyPart } from "../../../components/lazyPart";
import { paragraphsOf } from "./paragraphs";

const Markdown = lazyPart(() => import("./Markdown"));

/** Text of a model as Markdown. Until the parser is loaded, and where it is wanted, it is plain text. */
export function MarkdownText({ text, live = false }: { text: string; live?: boolean }) {
  const parts = live ? paragraphsOf(text) : [text];
  return (
    <div className="prose-text">
      <Suspense fallback={<p className="whitespace-pre-wrap">{text}</p>}>
        {parts.map((part, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a part keeps its place while the text grows
          <Markdown key={index} text={part} />
        ))}
      </Suspense>
    </div>
  );
}
