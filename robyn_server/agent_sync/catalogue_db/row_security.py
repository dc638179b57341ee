"""Check that row-level security on the catalogue hides no row from us.

Rules
  1. A row that a policy hides looks like a deleted one. A relation is read only if all of its rows are visible for
     certain: else a change of a policy would take every agent out of service.
  2. That is certain if row-level security does not apply to this role: it has BYPASSRLS, or owns the table and that is
     not FORCEd. It is also certain if a permissive policy for the role is `true`, and every restrictive one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .source import CataloguePool

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
    """`hidden`: relations of which `role` may not see all rows.

    `locked`: the written table, if it may not update all rows.
    """

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
    """Probe the relations that are `read`, and the one that is `written`; names with their schema.

    Raises what the driver raises.
    """
    rows = await pool.fetch(_PROBE, list({*read, written}))
    return RowSecurity(
        rows[0]["role_name"] if rows else "",
        tuple(row["table_name"] for row in rows if row["hides"] and row["table_name"] in read),
        tuple(row["table_name"] for row in rows if row["locks"] and row["table_name"] == written),
    )
