//! How much each organization, project, key and member may use: one ledger holds all limits of a request's chain, so
//! that a request passes all of them or takes from none.

pub mod calendar;
pub mod clock;
pub mod ledger;
pub mod local;
pub mod rule;
pub mod store;
pub mod ticket;
pub mod window;
