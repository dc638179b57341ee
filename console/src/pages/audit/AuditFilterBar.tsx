import { SelectField, TextField } from "../../components/Field";
import { type AuditFilters, RESOURCE_TYPES } from "./filters";

const TEXTS = [
  { name: "actor", label: "Actor" },
  { name: "action", label: "Action", placeholder: "assistant.update" },
  { name: "id", label: "Resource id" },
] as const;
const TIMES = [
  { name: "since", label: "From" },
  { name: "until", label: "Until" },
] as const;

/** The filters of the API: whole values, not parts of them. */
export function AuditFilterBar({
  filters,
  onChange,
}: {
  filters: AuditFilters;
  onChange: (changed: AuditFilters) => void;
}) {
  return (
    <search className="mb-3 grid grid-cols-2 gap-2 md:grid-cols-3 xl:grid-cols-6">
      {TEXTS.map(({ name, label, ...rest }) => (
        <TextField
          key={name}
          label={label}
          {...rest}
          value={filters[name] ?? ""}
          onChange={(event) => onChange({ [name]: event.target.value || undefined })}
        />
      ))}
      <SelectField
        label="Resource type"
        value={filters.type ?? ""}
        onChange={(event) => onChange({ type: event.target.value || undefined })}
        options={[{ value: "", title: "Every type" }, ...RESOURCE_TYPES.map((each) => ({ value: each, title: each }))]}
      />
      {TIMES.map(({ name, label }) => (
        <TextField
          key={name}
          label={label}
          type="datetime-local"
          value={filters[name] ?? ""}
          onChange={(event) => onChange({ [name]: event.target.value || undefined })}
        />
      ))}
    </search>
  );
}
