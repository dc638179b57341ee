import {
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useId,
} from "react";
import { classes } from "./classes";

const BOX =
  "w-full rounded-md border border-edge bg-surface px-2.5 text-ink placeholder:text-faint focus-visible:outline-offset-0 aria-invalid:border-bad";

interface Labelled {
  label: string;
  hint?: ReactNode;
  error?: string | null;
  /** The label is for screen readers alone. */
  hideLabel?: boolean;
}

function useField({ label, hint, error, hideLabel }: Labelled) {
  const id = useId();
  const described = hint || error ? `${id}-note` : undefined;
  const wrap = (control: ReactNode) => (
    <div className="min-w-0">
      <label htmlFor={id} className={hideLabel ? "sr-only" : "mb-1 block font-medium"}>
        {label}
      </label>
      {control}
      {described && (
        <p id={described} className={classes("mt-1 text-xs", error ? "text-bad" : "text-faint")}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
  return { wrap, control: { id, "aria-describedby": described, "aria-invalid": error ? true : undefined } };
}

type Only<T> = Omit<T, "id" | "className">;

export function TextField({
  label,
  hint,
  error,
  hideLabel,
  ...rest
}: Labelled & Only<InputHTMLAttributes<HTMLInputElement>>) {
  const { wrap, control } = useField({ label, hint, error, hideLabel });
  return wrap(<input className={classes(BOX, "h-8")} {...control} {...rest} />);
}

/** `code`: the text is JSON or the like. */
export function TextArea({
  label,
  hint,
  error,
  hideLabel,
  code = false,
  ...rest
}: Labelled & { code?: boolean } & Only<TextareaHTMLAttributes<HTMLTextAreaElement>>) {
  const { wrap, control } = useField({ label, hint, error, hideLabel });
  return wrap(
    <textarea
      className={classes(BOX, "min-h-20 py-1.5", code && "font-mono text-xs leading-5")}
      {...control}
      {...rest}
    />,
  );
}

export interface Option {
  value: string;
  title: string;
}

export function SelectField({
  label,
  hint,
  error,
  hideLabel,
  options,
  ...rest
}: Labelled & { options: Option[] } & Only<SelectHTMLAttributes<HTMLSelectElement>>) {
  const { wrap, control } = useField({ label, hint, error, hideLabel });
  return wrap(
    <select className={classes(BOX, "h-8 pr-1")} {...control} {...rest}>
      {options.map((option) => (
        <option key={option.value} value={option.value}>
          {option.title}
        </option>
      ))}
    </select>,
  );
}
