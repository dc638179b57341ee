import { toProblem } from "../../api/problem";

/** Why an action failed, in the server's words. */
export function ProblemNote({ error }: { error: unknown }) {
  return (
    <p role="alert" className="rounded-md bg-bad-wash px-3 py-2 wrap-anywhere text-bad">
      {toProblem(error).message}
    </p>
  );
}
