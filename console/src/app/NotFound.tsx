import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { PageHeader } from "../components/PageHeader";
import { EmptyState } from "../components/states";

export function NotFound() {
  return (
    <>
      <PageHeader title="Page not found" />
      <EmptyState icon={Compass} title="The console has no such page">
        <Link to="/" className="text-accent underline">
          Go to the start
        </Link>
      </EmptyState>
    </>
  );
}
