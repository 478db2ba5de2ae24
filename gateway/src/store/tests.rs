//! Databases for the tests of this crate. Behaviour over both databases is tested in the package `tests`.

use tempfile::TempDir;

use super::Database;
use crate::config::load::{Origin, from_text};

/// A migrated SQLite database in a folder that lives as long as the guard.
pub(crate) async fn sqlite() -> (Database, TempDir) {
    let folder = TempDir::new().unwrap();
    let text = format!("data: {:?}", folder.path().display().to_string());
    let config = from_text(&Origin::Embedded, &text, Vec::new()).unwrap();
    let database = Database::open(&config).await.unwrap();
    database.migrate().await.unwrap();
    (database, folder)
}
