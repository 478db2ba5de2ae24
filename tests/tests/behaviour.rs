//! Behaviour at the boundaries that users touch, a module for each part: one program, linked once, since what it holds
//! (the vector engine above all) takes more room and time to link than to run. `storm`, which measures its process,
//! is a program of its own.

mod accounting;
mod campaigns;
mod cli;
mod clients;
mod collections;
mod configuration;
mod documents;
mod evaluation;
mod fairness;
mod fleet;
mod fuzz;
mod hostile;
mod identity;
mod index;
mod ingestion;
mod ledger;
mod quotas;
mod real_engine;
mod records;
mod search;
mod sovereignty;
mod statistics;
mod wire;
