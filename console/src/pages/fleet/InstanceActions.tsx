import { useState } from "react";
import { may, useMe } from "../../api/me";
import { Button } from "../../components/Button";
import { cordon, drain, uncordon } from "./actions";
import { ConfirmDialog } from "./ConfirmDialog";
import type { Instance } from "./instances";

type Action = "drain" | "cordon" | "uncordon";

/** What an operator may do with an instance. */
export function InstanceActions({ instance, onChange }: { instance: Instance; onChange: () => Promise<unknown> }) {
  const me = useMe();
  const [asked, setAsked] = useState<Action | null>(null);
  const isActive = instance.registration_status === "active";
  const done = (act: (reason: string | null) => Promise<unknown>) => async (reason: string | null) => {
    await act(reason);
    await onChange();
  };
  const common = { onClose: () => setAsked(null) };
  return (
    <>
      {may(me.data, "instances.report") && isActive && <Button onClick={() => setAsked("drain")}>Drain</Button>}
      {may(me.data, "instances.cordon") && (
        <Button onClick={() => setAsked(instance.cordoned_at ? "uncordon" : "cordon")}>
          {instance.cordoned_at ? "Uncordon" : "Cordon"}
        </Button>
      )}
      <ConfirmDialog
        {...common}
        title={`Drain ${instance.instance_id}`}
        action="Drain it"
        reason="Makes room for version 2"
        open={asked === "drain"}
        onConfirm={done((reason) => drain(instance, reason))}
      >
        <p>It ends the work that it has and gets no more, until it registers again.</p>
      </ConfirmDialog>
      <ConfirmDialog
        {...common}
        title={`Cordon ${instance.instance_id}`}
        action="Cordon it"
        reason="Bad answers"
        open={asked === "cordon"}
        onConfirm={done((reason) => cordon(instance, reason))}
      >
        <p>It gets no work, also after it has registered again, until it is uncordoned. Its present work goes on.</p>
      </ConfirmDialog>
      <ConfirmDialog
        {...common}
        title={`Uncordon ${instance.instance_id}`}
        action="Uncordon it"
        open={asked === "uncordon"}
        onConfirm={done(() => uncordon(instance))}
      >
        <p>It gets work again.</p>
      </ConfirmDialog>
    </>
  );
}
