"""Row-level security on the catalogue: does it let us see everything?

Rules
  1. A row that a policy hides looks like one that was deleted. What we cannot see for sure, all of it, is not read: else a change of a
     policy would take every agent out of service.
  2. Sure is: row-level security does not hold for this role (it has BYPASSRLS, or owns the table and that is not FORCEd), or a
     permissive policy for it says `true`, and every restrictive one does so, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .protocols import CataloguePool

_PROBE = """
with policy as (
  select p.polrelid, p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid) = 'true' as is_open
    from pg_catalog.pg_policy p
   where exists (select from unnest(p.polroles) as r (id) where case when r.id = 0 then true else pg_has_role(r.id, 'usage') end)
)
select wanted.name as table_name, current_user::text as role_name,
       not coalesce(bool_or(p.is_open) filter (where p.polpermissive and p.polcmd in ('*', 'r')), false)
         or not coalesce(bool_and(p.is_open) filter (where not p.polpermissive and p.polcmd in ('*', 'r')), true) as hides,
       not coalesce(bool_or(p.is_open) filter (where p.polpermissive and p.polcmd in ('*', 'w')), false)
         or not coalesce(bool_and(p.is_open) filter (where not p.polpermissive and p.polcmd in ('*', 'w')), true) as locks
  from unnest($1::text[]) as wanted (name)
  left join policy p on p.polrelid = to_regclass(wanted.name)
 where row_security_active(to_regclass(wanted.name)::oid)
 group by wanted.name
 order by wanted.name
"""


@dataclass(frozen=True, slots=True)
class RowSecurity:
    """`hidden`: what is read, and `role` may not see all rows of it. `locked`: what is written, and it may not update all of it."""

    role: str = ""
    hidden: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        return [
            f"row-level security hides rows of {name} from role {self.role}: it needs a policy for select with `using (true)`,"
            " or BYPASSRLS"
            for name in self.hidden
        ]


async def probe_row_security(pool: CataloguePool, read: Sequence[str], written: str) -> RowSecurity:
    """Of the relations that are `read`, and of the one that is `written`; names with their schema. Raises what the driver raises."""
    rows = await pool.fetch(_PROBE, list({*read, written}))
    return RowSecurity(
        rows[0]["role_name"] if rows else "",
        tuple(row["table_name"] for row in rows if row["hides"] and row["table_name"] in read),
        tuple(row["table_name"] for row in rows if row["locks"] and row["table_name"] == written),
    )
