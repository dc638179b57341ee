import { useQuery } from "@tanstack/react-query";
import { OctagonPause } from "lucide-react";
import { useState } from "react";
import { getJson } from "../../api/client";
import { may, useMe } from "../../api/me";
import { Button } from "../../components/Button";
import { Time } from "../../components/Time";
import { releaseBrake } from "./actions";
import { ConfirmDialog } from "./ConfirmDialog";

interface Brake {
  agent_id: string;
  since: string;
  stale: number;
  total: number;
}

/** Agents of which many instances lapsed at once. The server keeps these instances until somebody says that they are gone. */
export function Brakes() {
  const me = useMe();
  const brakes = useQuery({
    queryKey: ["brakes"],
    queryFn: () => getJson<{ brakes: Brake[] }>("/agents/brakes"),
    enabled: may(me.data, "brakes.read"),
    refetchInterval: 10_000,
    select: (data) => data.brakes,
  });
  const [chosen, setChosen] = useState<Brake | null>(null);
  if (!brakes.data?.length) return null;
  return (
    <section aria-label="Brakes" className="mb-4 divide-y rounded-lg border bg-warn-wash text-warn">
      {brakes.data.map((brake) => (
        <div key={brake.agent_id} className="flex flex-wrap items-center gap-x-3 gap-y-2 px-3 py-2">
          <OctagonPause size={18} strokeWidth={1.75} aria-hidden />
          <p className="min-w-0 flex-1 wrap-anywhere">
            <strong className="font-semibold">{brake.agent_id}</strong>
            {`: ${brake.stale.toLocaleString("en")} of ${brake.total.toLocaleString("en")} instances lapsed at once, `}
            <Time at={brake.since} />. They are kept, because this is more often a broken network than their end.
          </p>
          {may(me.data, "brakes.release") && <Button onClick={() => setChosen(brake)}>Release the brake</Button>}
        </div>
      ))}
      <ConfirmDialog
        title={`Release the brake of ${chosen?.agent_id ?? ""}`}
        action="Release the brake"
        open={chosen !== null}
        onClose={() => setChosen(null)}
        onConfirm={async () => {
          if (chosen) await releaseBrake(chosen.agent_id);
          await brakes.refetch();
        }}
      >
        <p>
          Do this if the stale instances are gone for good. The server then ends them:{" "}
          {chosen?.stale.toLocaleString("en")} of {chosen?.total.toLocaleString("en")}. One that comes back registers
          again.
        </p>
      </ConfirmDialog>
    </section>
  );
}
