import { memo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { webAddress } from "../../../components/webAddress";

/** Links lead to the web alone, and pictures are links: the page asks no other host by itself. */
const COMPONENTS: Components = {
  a: ({ href, children }) => <WebLink href={href}>{children}</WebLink>,
  img: ({ src, alt }) => <WebLink href={typeof src === "string" ? src : undefined}>{alt || src}</WebLink>,
  h1: ({ children }) => <h3>{children}</h3>,
  h2: ({ children }) => <h4>{children}</h4>,
  h3: ({ children }) => <h5>{children}</h5>,
  input: ({ checked }) => <span>{checked ? "☑ " : "☐ "}</span>,
};
const PLUGINS = [remarkGfm];

function WebLink({ href, children }: { href?: string; children: React.ReactNode }) {
  const address = webAddress(href);
  if (!address) return <span>{children}</span>;
  return (
    <a href={address} target="_blank" rel="noreferrer noopener" className="text-accent underline">
      {children}
    </a>
  );
}

/** Markdown of a model. HTML in it is shown as text. */
const Markdown = memo(function Markdown({ text }: { text: string }) {
  return (
    <ReactMarkdown
      components={COMPONENTS}
      remarkPlugins={PLUGINS}
      urlTransform={(address) => webAddress(address) ?? ""}
    >
      {text}
    </ReactMarkdown>
  );
});

export default Markdown;
