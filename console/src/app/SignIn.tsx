import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { type CredentialKind, signIn, useSession } from "../api/session";
import { Button } from "../components/Button";
import { SelectField, TextField } from "../components/Field";
import { Mark } from "./Shell";

const KINDS = [
  { value: "key", title: "API key" },
  { value: "token", title: "Bearer token (JWT)" },
];

/** Asks for an API key or a token. It stays in this tab, and is forgotten when the tab is closed. */
export function SignIn() {
  const session = useSession();
  const queries = useQueryClient();
  const [kind, setKind] = useState<CredentialKind>(session.kind ?? "key");
  const [secret, setSecret] = useState("");
  useEffect(() => {
    document.title = "Sign in · Agenthall";
  }, []);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn(kind, secret.trim());
    queries.resetQueries();
  };
  return (
    <main className="grid min-h-dvh place-items-center p-4">
      <form onSubmit={submit} className="w-full max-w-sm space-y-4 rounded-xl border bg-surface p-6">
        <Mark />
        <div>
          <h1 className="text-lg font-semibold">Sign in</h1>
          <p className="text-soft">
            This server asks for credentials. An administrator creates a key with{" "}
            <code className="font-mono text-xs">agenthall keys create</code>.
          </p>
        </div>
        <SelectField
          label="Credential"
          value={kind}
          onChange={(event) => setKind(event.target.value as CredentialKind)}
          options={KINDS}
        />
        <TextField
          label={kind === "key" ? "API key" : "Token"}
          type="password"
          autoComplete="off"
          spellCheck={false}
          required
          value={secret}
          onChange={(event) => setSecret(event.target.value)}
          error={session.secret ? `The server refused this ${kind === "key" ? "key" : "token"}.` : null}
          hint="It is kept in this tab alone, until the tab is closed."
        />
        <Button type="submit" look="primary" className="w-full" disabled={!secret.trim()}>
          Sign in
        </Button>
      </form>
    </main>
  );
}
