//! The recorder's own connection, by the database's own driver: through the driver for any database each text is copied
//! four times on its way, and SQLite sits behind a thread and a queue, which together were a quarter of what recording
//! cost. On SQLite its calls block: only a thread that has nothing else to do may make them.

use sqlx::any::AnyArguments;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, Arguments, Connection, Executor, SqlStr};
use tokio::sync::Mutex;

use super::{ACQUIRE, Kind, StoreError};

/// What a column takes.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    Text(Option<&'v str>),
    Int(Option<i64>),
    Real(Option<f64>),
}

impl Value<'_> {
    const fn is_null(&self) -> bool {
        matches!(self, Value::Text(None) | Value::Int(None) | Value::Real(None))
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Value<'v> {
        Value::Text(Some(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Int(Some(number))
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Value::Int(Some(number)) => ValueRef::Integer(*number),
            Value::Real(Some(number)) => ValueRef::Real(*number),
            Value::Text(None) | Value::Int(None) | Value::Real(None) => ValueRef::Null,
        }))
    }
}

/// The end of a chain as it is stored: number, hash, next place.
pub type Last = (i64, String, i64);

/// Where statements that change something go, one after another, in a transaction that is already open. Their places come
/// in order: `$1`, `$2`… or `?`.
pub trait Writes: Send {
    /// Rows affected.
    fn run(&mut self, text: SqlStr, values: &[Value<'_>]) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Changes one row and gives it back.
    fn last(&mut self, text: SqlStr, values: &[Value<'_>]) -> impl Future<Output = Result<Last, StoreError>> + Send;
}

impl Writes for AnyConnection {
    async fn run(&mut self, text: SqlStr, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(sqlx::query_with(text, any(values)?).execute(&mut *self).await?.rows_affected())
    }

    async fn last(&mut self, text: SqlStr, values: &[Value<'_>]) -> Result<Last, StoreError> {
        Ok(sqlx::query_as_with(text, any(values)?).fetch_one(&mut *self).await?)
    }
}

/// An open connection.
pub enum Native {
    Sqlite(Box<rusqlite::Connection>),
    Postgres(Box<PgConnection>),
}

/// A statement of SQLite or the arguments of one of PostgreSQL, which takes its values one after another.
pub enum Binder<'s, 'c> {
    Sqlite(&'s mut rusqlite::Statement<'c>, usize),
    Postgres(&'s mut PgArguments),
}

impl Binder<'_, '_> {
    /// Gives the next place its value.
    pub fn put(&mut self, value: Value<'_>) -> Result<(), StoreError> {
        match self {
            Binder::Sqlite(statement, place) => {
                *place += 1;
                // What is not bound is NULL.
                if !value.is_null() {
                    statement.raw_bind_parameter(*place, value)?;
                }
                Ok(())
            }
            Binder::Postgres(arguments) => match value {
                Value::Text(text) => arguments.add(text),
                Value::Int(number) => arguments.add(number),
                Value::Real(number) => arguments.add(number),
            }
            .map_err(|error| StoreError::Other(error.to_string())),
        }
    }
}

impl Writes for Native {
    async fn run(&mut self, text: SqlStr, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.run_with(text, |binder| values.iter().try_for_each(|value| binder.put(*value))).await
    }

    async fn last(&mut self, text: SqlStr, values: &[Value<'_>]) -> Result<Last, StoreError> {
        match self {
            Native::Sqlite(connection) => {
                let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                let mut statement = connection.prepare_cached(text.as_str())?;
                Ok(statement.query_row(rusqlite::params_from_iter(values), read)?)
            }
            Native::Postgres(connection) => {
                let arguments = postgres(|binder| values.iter().try_for_each(|value| binder.put(*value)))?;
                Ok(sqlx::query_as_with(text, arguments).fetch_one(&mut **connection).await?)
            }
        }
    }
}

impl Native {
    /// The same with values that are made on the way.
    pub async fn run_with(
        &mut self,
        text: SqlStr,
        bind: impl FnOnce(&mut Binder<'_, '_>) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        match self {
            Native::Sqlite(connection) => {
                // Given back without its values, whatever becomes of it.
                let mut statement = connection.prepare_cached(text.as_str())?;
                bind(&mut Binder::Sqlite(&mut statement, 0))?;
                Ok(statement.raw_execute()? as u64)
            }
            Native::Postgres(connection) => {
                Ok(sqlx::query_with(text, postgres(bind)?).execute(&mut **connection).await?.rows_affected())
            }
        }
    }

    /// Opens a transaction; dropping the connection undoes it.
    pub async fn begin(&mut self) -> Result<(), StoreError> {
        self.say(match self {
            Native::Sqlite(_) => "BEGIN IMMEDIATE",
            Native::Postgres(_) => "BEGIN",
        })
        .await
    }

    pub async fn commit(&mut self) -> Result<(), StoreError> {
        self.say("COMMIT").await
    }

    pub async fn undo(&mut self) -> Result<(), StoreError> {
        self.say("ROLLBACK").await
    }

    async fn say(&mut self, text: &'static str) -> Result<(), StoreError> {
        match self {
            Native::Sqlite(connection) => connection.execute_batch(text)?,
            Native::Postgres(connection) => connection.execute(text).await.map(drop)?,
        }
        Ok(())
    }

    async fn close(self) -> Result<(), StoreError> {
        match self {
            Native::Sqlite(connection) => connection.close().map_err(|(_, error)| error)?,
            Native::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

fn postgres(bind: impl FnOnce(&mut Binder<'_, '_>) -> Result<(), StoreError>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    bind(&mut Binder::Postgres(&mut arguments))?;
    Ok(arguments)
}

fn any(values: &[Value<'_>]) -> Result<AnyArguments, StoreError> {
    let mut arguments = AnyArguments::default();
    for value in values {
        let added = match *value {
            Value::Text(text) => arguments.add(text.map(str::to_owned)),
            Value::Int(number) => arguments.add(number),
            Value::Real(number) => arguments.add(number),
        };
        added.map_err(|error| StoreError::Other(error.to_string()))?;
    }
    Ok(arguments)
}

#[derive(Clone)]
enum Options {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// One connection, opened when it is first used and again after a failure.
pub struct Link {
    options: Options,
    /// What is said to a new connection of SQLite.
    pragmas: String,
    open: Mutex<Option<Native>>,
}

impl Link {
    /// # Errors
    /// A URL that the driver does not read.
    pub fn new(kind: Kind, url: &str, pragmas: String) -> Result<Link, sqlx::Error> {
        let options = match kind {
            Kind::Sqlite => Options::Sqlite(url.parse()?),
            Kind::Postgres => Options::Postgres(url.parse()?),
        };
        Ok(Link { options, pragmas, open: Mutex::default() })
    }

    async fn connect(&self) -> Result<Native, StoreError> {
        match &self.options {
            Options::Sqlite(options) => {
                use rusqlite::OpenFlags;
                let flags =
                    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = rusqlite::Connection::open_with_flags(options.get_filename(), flags)?;
                connection.execute_batch(&self.pragmas)?;
                Ok(Native::Sqlite(Box::new(connection)))
            }
            Options::Postgres(options) => {
                match tokio::time::timeout(ACQUIRE, PgConnection::connect_with(options)).await {
                    Ok(connection) => Ok(Native::Postgres(Box::new(connection?))),
                    Err(_) => Err(StoreError::Unavailable("no answer".to_owned())),
                }
            }
        }
    }

    /// Does something on the connection, alone. After a failure, or when the future is dropped, it is closed, and with it
    /// whatever was not committed is undone.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&mut Native) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut place = self.open.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let done = work(&mut connection).await?;
        *place = Some(connection);
        Ok(done)
    }

    /// Closes it, once it is free.
    pub async fn close(&self) {
        if let Some(connection) = self.open.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "a connection to the database did not close well");
        }
    }
}
