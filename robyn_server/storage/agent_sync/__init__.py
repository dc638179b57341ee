"""The tables of agent sync: synced assistants, their ledger, and the record of passes."""
