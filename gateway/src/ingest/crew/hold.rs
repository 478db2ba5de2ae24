//! Jobs in the hands of a worker: their leases are renewed, and readers of their organization are counted.

use std::sync::{Arc, PoisonError};

use super::Crew;
use crate::store::jobs::{Held, Lane};

/// Jobs under work, until dropped.
pub struct Hold {
    crew: Arc<Crew>,
    lane: Lane,
    organization: i64,
    documents: Vec<i64>,
}

impl Hold {
    pub fn new(crew: Arc<Crew>, lane: Lane, organization: i64, jobs: &[Held]) -> Hold {
        let documents: Vec<i64> = jobs.iter().map(|job| job.document).collect();
        crew.held().extend(documents.iter().copied());
        if lane == Lane::Reading {
            *crew.reading.lock().unwrap_or_else(PoisonError::into_inner).entry(organization).or_default() += 1;
        }
        Hold { crew, lane, organization, documents }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.crew.held();
        for document in &self.documents {
            held.remove(document);
        }
        drop(held);
        if self.lane == Lane::Reading {
            let mut reading = self.crew.reading.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(busy) = reading.get_mut(&self.organization) {
                *busy -= 1;
                if *busy == 0 {
                    reading.remove(&self.organization);
                }
            }
        }
    }
}
