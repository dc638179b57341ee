import { useNavigate, useSearch } from "@tanstack/react-router";
import { may, useMe } from "../../api/me";
import { BackLink } from "../../components/BackLink";
import { PageHeader } from "../../components/PageHeader";
import { Composer, type Sent } from "./compose/Composer";
import { beginThread } from "./thread/session";
import { useAgent, useAgentNames } from "./useAgentNames";

/** A conversation that begins with its first message: until then there is no thread. */
export default function NewPage() {
  const { agent } = useSearch({ strict: false }) as { agent?: string };
  const navigate = useNavigate();
  const me = useMe();
  const agents = useAgentNames();
  const chosen = agent ?? agents.data?.[0]?.assistant_id;
  const described = useAgent(chosen);
  const send = async ({ message, ...start }: Sent) => {
    const threadId = await beginThread(start, message);
    await navigate({ to: "/conversations/$threadId", params: { threadId } } as never);
  };
  return (
    <div className="flex h-[calc(100dvh-5.75rem)] flex-col md:h-[calc(100dvh-3rem)]">
      <BackLink to="/conversations">Conversations</BackLink>
      <PageHeader title="New conversation" />
      <div className="flex min-h-0 flex-1 flex-col justify-center gap-6 pb-[12vh]">
        <div className="mx-auto w-full max-w-3xl px-1">
          <h2 className="min-h-8 text-xl font-semibold tracking-tight wrap-anywhere">{described.data?.name ?? " "}</h2>
          <p className="line-clamp-3 min-h-6 text-soft wrap-anywhere">{described.data?.description ?? " "}</p>
        </div>
        <Composer
          agentId={chosen}
          onAgent={(id) =>
            navigate({ to: "/conversations/new", search: { agent: id || undefined }, replace: true } as never)
          }
          running={false}
          onSend={send}
          maySend={may(me.data, "threads.create") && may(me.data, "runs.create_in_thread")}
        />
      </div>
    </div>
  );
}
