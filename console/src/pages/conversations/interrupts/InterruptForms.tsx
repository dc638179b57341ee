import type { Command, Interrupt } from "@langchain/langgraph-sdk";
import { CircleHelp } from "lucide-react";
import { type FormEvent, useState } from "react";
import { toProblem } from "../../../api/problem";
import { Button } from "../../../components/Button";
import { JsonButton } from "../../../components/JsonView";
import { type Answer, questionOf, resumeWith } from "./kinds";
import { type Draft, draftOf, QuestionFields, readDraft } from "./QuestionFields";

/** The questions that a run waits for, answered together. */
export function InterruptForms({
  interrupts,
  disabled,
  onAnswer,
}: {
  interrupts: Interrupt[];
  disabled: boolean;
  onAnswer: (command: Command) => Promise<void>;
}) {
  const questions = interrupts.map(questionOf);
  const [drafts, setDrafts] = useState<Record<string, Draft>>({});
  const [problem, setProblem] = useState<string | null>(null);
  const [sending, setSending] = useState(false);
  const keyOf = (index: number) => interrupts[index]?.id ?? `${index}`;
  const draftAt = (index: number, question: (typeof questions)[number]) => drafts[keyOf(index)] ?? draftOf(question);

  const answer = async (event: FormEvent) => {
    event.preventDefault();
    const answers: Answer[] = questions.map((question, index) => readDraft(question, draftAt(index, question)));
    const wrong = answers.find((each) => "error" in each);
    if (wrong && "error" in wrong) return setProblem(wrong.error);
    setProblem(null);
    setSending(true);
    try {
      await onAnswer(
        resumeWith(
          interrupts,
          answers.map((each) => ("value" in each ? each.value : null)),
        ),
      );
    } catch (thrown) {
      setProblem(toProblem(thrown).message);
    } finally {
      setSending(false);
    }
  };

  return (
    <form onSubmit={answer} aria-label="Questions of the agent" className="rounded-lg border border-warn/40 bg-surface">
      <header className="flex items-center justify-between gap-2 rounded-t-lg bg-warn-wash px-3 py-1.5 text-warn">
        <h2 className="flex items-center gap-2 font-medium">
          <CircleHelp size={15} aria-hidden />
          {interrupts.length === 1 ? "The agent asks" : `The agent asks ${interrupts.length} questions`}
        </h2>
        <JsonButton value={interrupts} title="Interrupts, as the API gives them" />
      </header>
      <div className="divide-y">
        {questions.map((question, index) => (
          <div key={keyOf(index)} className="space-y-3 p-3">
            <QuestionFields
              question={question}
              draft={draftAt(index, question)}
              onChange={(draft) => setDrafts({ ...drafts, [keyOf(index)]: draft })}
            />
          </div>
        ))}
      </div>
      <footer className="flex items-center justify-end gap-3 border-t p-2">
        {problem && (
          <p role="alert" className="min-w-0 flex-1 wrap-anywhere text-bad">
            {problem}
          </p>
        )}
        <Button look="primary" type="submit" disabled={disabled || sending}>
          {questions.every(({ kind }) => kind === "connect") ? "Continue" : "Answer"}
        </Button>
      </footer>
    </form>
  );
}
