//! What operators watch the fleet with: rules, dashboards, runbooks, and the metrics that they name.
//! Never looks at a drawing: that every figure exists, is explained and leads to a page is what can be checked.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of these tests may fail them"
)]

mod catalogue;
mod dashboards;
mod expressions;
mod live;
mod promtool;
mod rules;
mod runbooks;
mod scrape;
