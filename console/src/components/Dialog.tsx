import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef } from "react";
import { IconButton } from "./Button";

/**
 * A modal dialog: the browser's own element, which traps the focus, closes with Escape and gives the focus back.
 * Radix would write a <style> for the page behind it, which the Content-Security-Policy refuses.
 */
export function Dialog({
  title,
  open,
  onClose,
  children,
  footer,
}: {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
  footer?: ReactNode;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    if (open && dialog && !dialog.open) dialog.showModal();
    if (!open && dialog?.open) dialog.close();
  }, [open]);
  return (
    <dialog
      ref={element}
      aria-labelledby={heading}
      onClose={onClose}
      className="m-auto w-full max-w-lg rounded-xl border bg-surface p-0 text-ink shadow-2xl"
    >
      {open && (
        <>
          <header className="flex items-center justify-between border-b py-2 pr-2 pl-4">
            <h2 id={heading} className="font-semibold">
              {title}
            </h2>
            <IconButton label="Close" onClick={onClose}>
              <X size={16} />
            </IconButton>
          </header>
          <div className="max-h-[70vh] overflow-auto p-4">{children}</div>
          {footer && <footer className="flex justify-end gap-2 border-t px-4 py-3">{footer}</footer>}
        </>
      )}
    </dialog>
  );
}
