//! The observability port: routes, hostile peers, metrics, readiness, the console and what it may see.

mod support;

#[path = "http/client.rs"]
mod client;
#[path = "http/console.rs"]
mod console;
#[path = "http/exposition.rs"]
mod exposition;
#[path = "http/routes.rs"]
mod routes;
#[path = "http/states.rs"]
mod states;
#[path = "http/values.rs"]
mod values;
