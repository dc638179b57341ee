import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { consoleUrl } from "../api/location";
import { ErrorState, LoadingRows } from "../components/states";
import { NotFound } from "./NotFound";
import type { SubPage } from "./page";
import { pages } from "./pages";
import { Shell } from "./Shell";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const start = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: pages[0]?.path ?? "/agents", replace: true });
  },
});

const routeOf = (page: SubPage) =>
  createRoute({
    getParentRoute: () => root,
    path: page.path,
    validateSearch: page.search ?? (() => ({})),
    component: lazyRouteComponent(page.load),
  });

const routes = pages.flatMap((page) => [page, ...(page.below ?? [])]).map(routeOf);

export const router = createRouter({
  routeTree: root.addChildren([start, ...routes]),
  basepath: consoleUrl.pathname,
  defaultPreload: "intent",
  defaultPendingComponent: () => <LoadingRows />,
  defaultErrorComponent: ({ error, reset }) => <ErrorState error={error} onRetry={reset} />,
  scrollRestoration: true,
});
