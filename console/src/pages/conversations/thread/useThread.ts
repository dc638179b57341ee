import { useEffect, useState, useSyncExternalStore } from "react";
import { ThreadSession } from "./session";

/** Follow a thread while the page is open. */
export function useThread(threadId: string) {
  const [session, setSession] = useState(() => new ThreadSession(threadId));
  if (session.threadId !== threadId) setSession(new ThreadSession(threadId));
  useEffect(() => {
    session.open();
    return () => session.close();
  }, [session]);
  return { session, ...useSyncExternalStore(session.subscribe, session.getSnapshot) };
}
