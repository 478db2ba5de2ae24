//! Secrets of the months, under which end users are made pseudonymous. The same for all replicas.

use super::{Database, StoreError, now};
use crate::config::Secret;

impl Database {
    /// The secret of a month, if it is still there.
    pub async fn known_pseudonym_secret(&self, month: &str) -> Result<Option<Secret>, StoreError> {
        let query = sqlx::query_scalar("SELECT secret FROM pseudonym_keys WHERE month = $1").bind(month);
        Ok(query.fetch_optional(self.pool()).await?.map(|secret: String| Secret::new(secret)))
    }

    /// The secret of a month (`2026-11`), made at the first call; 64 hexadecimal digits.
    pub async fn pseudonym_secret(&self, month: &str) -> Result<Secret, StoreError> {
        let mut noise = [0_u8; 32];
        getrandom::fill(&mut noise).map_err(|error| StoreError::Other(error.to_string()))?;
        let fresh: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
        sqlx::query(
            "INSERT INTO pseudonym_keys (month, secret, created_at) VALUES ($1, $2, $3) ON CONFLICT (month) DO NOTHING",
        )
        .bind(month)
        .bind(fresh)
        .bind(now())
        .execute(self.writer())
        .await?;
        let secret: String = sqlx::query_scalar("SELECT secret FROM pseudonym_keys WHERE month = $1")
            .bind(month)
            .fetch_one(self.pool())
            .await?;
        Ok(Secret::new(secret))
    }
}
