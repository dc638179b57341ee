import { useMemo } from "react";
import { Panel } from "../../components/PageHeader";
import { Plot } from "../../components/Plot";
import { type Sample, seriesOf } from "./scaling";

/** Seconds that the plots show at least. */
const SHORTEST = 300;

/** The signals of one agent, as this page has read them. The server keeps no history of them. */
export default function ScalingPlots({ agentId, samples }: { agentId: string; samples: Sample[] }) {
  const span = useMemo((): [number, number] => {
    const until = samples.at(-1)?.at ?? 0;
    return [Math.min(samples[0]?.at ?? until, until - SHORTEST), until];
  }, [samples]);
  const times = useMemo(() => samples.map(({ at }) => at), [samples]);
  const work = useMemo(
    () => [
      { title: "Queued", values: seriesOf(samples, agentId, "queued"), tone: "warn" as const },
      { title: "In flight", values: seriesOf(samples, agentId, "in_flight"), tone: "accent" as const },
      { title: "Slots", values: seriesOf(samples, agentId, "slots"), tone: "faint" as const },
    ],
    [samples, agentId],
  );
  const instances = useMemo(
    () => [
      { title: "Instances", values: seriesOf(samples, agentId, "instances"), tone: "good" as const },
      { title: "Desired", values: seriesOf(samples, agentId, "desired_instances"), tone: "accent" as const },
    ],
    [samples, agentId],
  );
  return (
    <div>
      <div className="grid gap-4 lg:grid-cols-2">
        <Panel title={`Work of ${agentId}`}>
          <div className="p-3">
            <Plot
              times={times}
              series={work}
              height={180}
              label={`Jobs and slots of ${agentId} over time`}
              span={span}
              sync="scaling"
              whole
            />
          </div>
        </Panel>
        <Panel title={`Instances of ${agentId}`}>
          <div className="p-3">
            <Plot
              times={times}
              series={instances}
              height={180}
              label={`Instances of ${agentId} over time`}
              span={span}
              sync="scaling"
              whole
            />
          </div>
        </Panel>
      </div>
      <p className="mt-2 text-xs text-faint">
        Read every 5 seconds while this page is open; the server keeps no history of them.
      </p>
    </div>
  );
}
