/** The work and the capacity of an agent, as `GET /agents/scaling` gives them. */
export interface Signals {
  agent_id: string;
  queued: number;
  oldest_queued_seconds: number;
  offered: number;
  in_flight: number;
  instances: number;
  slots: number;
  utilisation: number;
  ejected: number;
  desired_instances: number;
}

/** Signals that were read at a time (seconds since 1970), by agent. */
export interface Sample {
  at: number;
  agents: Map<string, Signals>;
}

/** An hour of samples. */
export const MOST_SAMPLES = 720;
/** Seconds without a sample that are a gap. */
const GAP_SECONDS = 20;

export function withSample(samples: Sample[], agents: Signals[], at: number): Sample[] {
  const last = samples.at(-1);
  if (last && last.at >= at) return samples;
  const gap = last && at - last.at > GAP_SECONDS ? [{ at: (last.at + at) / 2, agents: new Map() }] : [];
  const next = { at, agents: new Map(agents.map((each) => [each.agent_id, each])) };
  return [...samples, ...gap, next].slice(-MOST_SAMPLES);
}

/** One signal over time. A sample without the agent is a gap. */
export const seriesOf = (samples: Sample[], agentId: string, signal: Exclude<keyof Signals, "agent_id">) =>
  samples.map(({ agents }) => agents.get(agentId)?.[signal] ?? null);
