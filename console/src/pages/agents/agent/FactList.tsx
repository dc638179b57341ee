import type { ReactNode } from "react";

export type Fact = [name: string, value: ReactNode];

/** Names with their values, one a row. */
export function FactList({ facts }: { facts: Fact[] }) {
  return (
    <dl className="divide-y">
      {facts.map(([name, value]) => (
        <div key={name} className="grid grid-cols-[minmax(8.5rem,30%)_minmax(0,1fr)] items-baseline gap-3 px-3 py-2">
          <dt className="text-faint wrap-anywhere">{name}</dt>
          <dd className="min-w-0 wrap-anywhere">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
