//! Accounts and records: SQLite or PostgreSQL by the URL alone, every query written once.
//!
//! Portable by discipline: `$1` placeholders, BIGINT Unix milliseconds, TEXT, no BOOLEAN, sums cast to BIGINT. A change
//! of identity goes through [`Database::change`]: it takes the one write lock first, so changes follow one another on
//! both databases, and leaves with the change an audit row and a raised directory version.

pub mod annotations;
pub mod audit;
pub mod campaigns;
pub mod chain;
#[cfg(feature = "retrieval")]
pub mod chunks;
#[cfg(feature = "retrieval")]
pub mod collections;
pub mod consents;
#[cfg(feature = "eval")]
pub mod datasets;
#[cfg(feature = "retrieval")]
pub mod documents;
pub mod erasure;
pub mod error;
pub mod evaluation;
pub mod feedback;
pub mod first_admin;
pub mod grants;
pub mod grids;
#[cfg(feature = "retrieval")]
pub mod jobs;
pub mod keys;
pub mod link;
pub mod members;
mod orders;
pub mod organizations;
pub mod overrides;
pub mod page;
#[cfg(feature = "retrieval")]
pub mod passages;
pub mod past;
pub mod people;
pub mod principals;
pub mod projects;
pub mod pseudonyms;
pub mod recording;
#[cfg(feature = "retrieval")]
pub mod reindex;
#[cfg(feature = "retrieval")]
pub mod removals;
pub mod retention;
#[cfg(feature = "eval")]
pub mod runs;
pub mod samples;
pub mod sql;
#[cfg(test)]
pub(crate) mod tests;
pub mod time;
pub mod totals;
pub mod turns;
pub mod usage;
pub mod verify;
#[cfg(feature = "retrieval")]
pub mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Executor, Transaction};

pub use audit::{Actor, Via};
pub use error::StoreError;
pub use page::Page;

use crate::config::Config;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Longest wait for a connection, and for a connection to open.
const ACQUIRE: Duration = Duration::from_secs(3);
/// Longest wait in the line of those who write to SQLite.
const LINE: Duration = Duration::from_secs(10);

/// Which engine is behind. Queries do not ask; only opening and locking do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: AnyPool,
    /// Who writes. SQLite lets one write at a time, and makes the others try again and again, the unlucky ones too long:
    /// here they wait in line for one connection of their own. On PostgreSQL, the same as `pool`.
    writer: AnyPool,
    kind: Kind,
    link: Arc<link::Link>,
    inserts: Arc<recording::Inserts>,
    orders: Arc<orders::Orders>,
}

/// Unix milliseconds, now.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Database {
    /// Connects. A SQLite file and its folder are made when missing; a PostgreSQL that does not answer is
    /// [`StoreError::Unavailable`].
    pub async fn open(config: &Config) -> Result<Database, StoreError> {
        sqlx::any::install_default_drivers();
        let url = config.database.url.read().map_err(StoreError::Other)?;
        let (url, kind) = resolve(url.reveal(), &config.data)?;
        // The parser's own words could hold the password.
        let unread = || {
            StoreError::Other(
                "database.url is not a URL that can be read; docs/configuration.md shows its forms".to_owned(),
            )
        };
        let options: AnyConnectOptions = url.parse().map_err(|_| unread())?;
        let sync = if config.records.sync { "FULL" } else { "NORMAL" };
        // busy_timeout first: turning to WAL takes a lock that another process may hold.
        let pragmas = format!(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = {sync}; \
             PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 67108864; \
             PRAGMA wal_autocheckpoint = 4000;"
        );
        let open = |connections: u32, patience: Duration| {
            let pragmas = (kind == Kind::Sqlite).then(|| pragmas.clone());
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(patience)
                .idle_timeout(Duration::from_secs(60))
                .after_connect(move |connection, _| {
                    let pragmas = pragmas.clone();
                    Box::pin(async move {
                        if let Some(pragmas) = pragmas {
                            connection.execute(sqlx::AssertSqlSafe(pragmas)).await?;
                        }
                        Ok(())
                    })
                })
                .connect_lazy_with(options.clone())
        };
        let pool = open(config.database.max_connections.max(1), ACQUIRE);
        let writer = if kind == Kind::Sqlite { open(1, LINE) } else { pool.clone() };
        let orders = Arc::new(orders::Orders::new());
        let link = Arc::new(link::Link::new(kind, &url, pragmas.clone()).map_err(|_| unread())?);
        let database = Database { pool, writer, kind, link, inserts: Arc::new(recording::Inserts::new(kind)), orders };
        // Another process may be creating the same file.
        let mut tries = 0;
        while let Err(error) = database.ping().await {
            tries += 1;
            if kind == Kind::Postgres || tries == 5 || !error.is_unavailable() {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(100 * tries)).await;
        }
        Ok(database)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Brings the tables up to date. Several processes may call it at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            match MIGRATIONS.run(&self.pool).await {
                Ok(()) => return Ok(()),
                // PostgreSQL has a lock for this; on SQLite the loser of a race finds the work done at its next try.
                Err(sqlx::migrate::MigrateError::Execute(_) | sqlx::migrate::MigrateError::ExecuteMigration(..))
                    if self.kind == Kind::Sqlite && tries < 20 =>
                {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(25 * tries)).await;
                }
                Err(sqlx::migrate::MigrateError::Execute(error)) => return Err(error.into()),
                Err(error) => return Err(StoreError::Other(error.to_string())),
            }
        }
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let query = sqlx::query("SELECT 1").execute(&self.pool);
        match tokio::time::timeout(ACQUIRE, query).await {
            Ok(result) => Ok(result.map(|_| ())?),
            Err(_) => Err(StoreError::Unavailable("no answer".to_owned())),
        }
    }

    /// Closes connections, waiting for those in use.
    pub async fn close(&self) {
        self.link.close().await;
        self.writer.close().await;
        self.pool.close().await;
    }

    /// For what only reads.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// For what writes in one statement.
    pub(crate) fn writer(&self) -> &AnyPool {
        &self.writer
    }

    async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(match self.kind {
            // A transaction that reads first and writes later would fail when another process wrote in between.
            Kind::Sqlite => self.writer.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres => self.pool.begin().await?,
        })
    }

    /// Leaves nothing of what was deleted in files of this process: SQLite overwrites it, and keeps older pages in its log
    /// of writes until that is emptied.
    async fn forget(&self) -> Result<(), StoreError> {
        if self.kind == Kind::Sqlite {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&self.writer).await?;
        }
        Ok(())
    }

    /// Starts to read the whole as it is now, whatever is written meanwhile.
    async fn snapshot(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(match self.kind {
            Kind::Sqlite => self.pool.begin().await?,
            Kind::Postgres => self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
        })
    }

    /// Starts a change of identity, alone among all processes until it is committed or dropped (undone).
    pub async fn change(&self, actor: Actor) -> Result<Change, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE directory_version SET version = version + 1 WHERE id = 1").execute(&mut *tx).await?;
        Ok(Change { tx, actor, at: now() })
    }

    /// Starts a change of what no cache holds: the version of the directory stays as it is.
    pub async fn edit(&self, actor: Actor) -> Result<Change, StoreError> {
        Ok(Change { tx: self.begin().await?, actor, at: now() })
    }
}

/// A change under way. Dropped without [`Change::commit`], it never happened.
pub struct Change {
    tx: Transaction<'static, Any>,
    actor: Actor,
    at: i64,
}

impl Change {
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }

    /// When the change happens, Unix milliseconds.
    pub fn at(&self) -> i64 {
        self.at
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    async fn next_id(&mut self, sequence: &'static str) -> Result<i64, StoreError> {
        let query = sqlx::query_scalar("UPDATE sequences SET value = value + 1 WHERE name = $1 RETURNING value");
        Ok(query.bind(sequence).fetch_one(&mut *self.tx).await?)
    }
}

/// The URL to connect with. `sqlite` alone is a file in the data folder.
fn resolve(url: &str, data: &Path) -> Result<(String, Kind), StoreError> {
    let url = url.trim();
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok((url.to_owned(), Kind::Postgres));
    }
    let other = |error: std::io::Error, path: &Path| StoreError::Other(format!("{}: {error}", path.display()));
    let file = match url.strip_prefix("sqlite") {
        Some("") => data.join("guichet.db"),
        Some(rest) => {
            let path = rest.strip_prefix("://").or_else(|| rest.strip_prefix(':')).unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            if path.is_empty() || path == ":memory:" {
                return Err(StoreError::Other(
                    "database.url: name a file, as in sqlite:///var/lib/guichet/guichet.db".to_owned(),
                ));
            }
            path.into()
        }
        None => {
            return Err(StoreError::Other("database.url: use sqlite, sqlite://PATH or postgres://…".to_owned()));
        }
    };
    let file = std::path::absolute(&file).map_err(|error| other(error, &file))?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| other(error, folder))?;
    }
    let text = file.to_str().ok_or_else(|| StoreError::Other(format!("{}: not UTF-8", file.display())))?;
    let mut encoded = String::with_capacity(text.len() + 24);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok((format!("sqlite://{encoded}?mode=rwc"), Kind::Sqlite))
}
