import { useEffect, useState, useSyncExternalStore } from "react";
import { useSession } from "../../api/session";
import { FleetFeed } from "./fleetFeed";

/** The live instances of the organization, as long as the page is open. */
export function useFleet() {
  const { secret, organization } = useSession();
  const key = `${secret}\n${organization}`;
  const [current, setCurrent] = useState(() => ({ key, feed: new FleetFeed() }));
  useEffect(() => {
    const feed = new FleetFeed();
    setCurrent({ key, feed });
    feed.start();
    return () => feed.stop();
  }, [key]);
  const snapshot = useSyncExternalStore(current.feed.subscribe, current.feed.getSnapshot);
  return { snapshot, refresh: current.feed.refresh };
}

/** The time, every few seconds: one clock for all that tells how long ago something was. */
export function useNow(milliseconds = 5_000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
  return now;
}
