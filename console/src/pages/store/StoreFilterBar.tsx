import { SelectField, TextField } from "../../components/Field";
import { type Place, parseObject } from "./place";

const WAYS = [
  { value: "", title: "By text" },
  { value: "meaning", title: "By meaning" },
];

/** Text is looked for in the items that are loaded; a meaning and a filter are asked of the server. */
export function StoreFilterBar({ place, onChange }: { place: Place; onChange: (changed: Partial<Place>) => void }) {
  const isWrong = place.filter !== undefined && parseObject(place.filter) === null;
  return (
    <search className="mb-3 grid grid-cols-2 gap-2 md:grid-cols-[minmax(0,1fr)_9rem_minmax(0,1fr)]">
      <TextField
        label="Search items"
        hideLabel
        type="search"
        placeholder="Search items"
        value={place.q ?? ""}
        onChange={(event) => onChange({ q: event.target.value || undefined })}
      />
      <SelectField
        label="Search by"
        hideLabel
        options={WAYS}
        value={place.by ?? ""}
        onChange={(event) => onChange({ by: event.target.value === "meaning" ? "meaning" : undefined })}
      />
      <div className="max-md:col-span-2">
        <TextField
          label="Filter"
          hideLabel
          placeholder={'Filter: {"kind": "note", "size": {"$gt": 3}}'}
          spellCheck={false}
          error={isWrong ? "A filter is a JSON object." : null}
          value={place.filter ?? ""}
          onChange={(event) => onChange({ filter: event.target.value || undefined })}
        />
      </div>
    </search>
  );
}
